"""What a provider's claims mean here: who it is, in which groups, and what these give. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keycensus_collector.access.permissions import ROLES
from keycensus_collector.oidc.refusals import SignInError, Whose, provider_trouble
from keycensus_collector.oidc.settings import Provider
from keycensus_collector.ownership.people import is_email
from keycensus_collector.text import safe_text

MOST_SUBJECT = 255  # ASCII characters (OpenID Connect Core 1.0, section 2)
_MOST_GROUPS = 10_000
_MOST_TEXT = 500
_MOST_FULL_NAME = 200


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account at a provider, as a sign-in shows it.

    `name`: the user's name to be, in lower case, unchecked; empty: the claim is missing. `email`: only
    one that the provider has verified. `role`: by groups; None: the configuration maps none, so that it
    is given by hand. `teams`: names, by groups.
    """

    issuer: str
    subject: str
    name: str
    full_name: str
    email: str
    role: str | None
    teams: frozenset[str]


def account_of(claims: Mapping[str, Any], provider: Provider) -> Account:
    """Return whose claims these are; SignInError if they may not sign in, or can't be understood."""
    groups = _groups(claims, provider)
    if provider.allowed_groups and groups.isdisjoint(provider.allowed_groups):
        raise _stays_out(provider, claims, "is in no group of those that may")
    role = None
    if provider.roles:
        order = list(ROLES)
        given = [provider.roles[group] for group in groups if group in provider.roles]
        role = max(given, key=order.index, default=provider.default_role)
        if not role:
            raise _stays_out(provider, claims, "is in no group that has a role, and may not")
    teams = {team for group in groups for team in provider.teams.get(group, ())}
    email = _text(claims, "email").lower()
    verified = provider.trust_email or claims.get("email_verified") in (True, "true")
    return Account(
        issuer=provider.issuer,
        subject=str(claims["sub"]),
        name=_text(claims, provider.user_claim).lower(),
        full_name=_text(claims, "name")[:_MOST_FULL_NAME],
        email=email if verified and is_email(email) else "",
        role=role,
        teams=frozenset(teams),
    )


def _stays_out(provider: Provider, claims: Mapping[str, Any], why: str) -> SignInError:
    name = safe_text(_text(claims, provider.user_claim))
    return SignInError(
        Whose.PERSON,
        "not-allowed",
        f"{name or 'this account'} {why} sign in here: ask whoever gives access to this collector",
        user=name,
    )


def _groups(claims: Mapping[str, Any], provider: Provider) -> frozenset[str]:
    """Return the groups; without the claim there are none.

    Entra ID puts a pointer instead where there are many (`_claim_names`; Core, section 5.6.2): that is
    not "no groups", and taking it for that would take roles and teams away.
    """
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and provider.groups_claim in elsewhere:
        raise provider_trouble(
            "groups-elsewhere",
            f"the provider sent a pointer instead of {provider.groups_claim}, as it does for who is "
            "in very many groups: let it send only the groups that are assigned to this application",
        )
    found = _find(claims, provider.groups_claim)
    groups = [found] if isinstance(found, str) else found or []
    if (
        not isinstance(groups, list)
        or len(groups) > _MOST_GROUPS
        or not all(isinstance(group, str) for group in groups)
    ):
        raise provider_trouble(
            "claim",
            f"the claim {provider.groups_claim} is no list of at most {_MOST_GROUPS:,} names",
        )
    return frozenset(groups)


def _find(claims: Mapping[str, Any], name: str) -> object:
    """Return a claim by its name, or by names with dots between, one inside the other."""
    if name in claims:
        return claims[name]
    inner: object = claims
    for part in name.split("."):
        inner = inner.get(part) if isinstance(inner, Mapping) else None
    return inner


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = _find(claims, name)
    return value.strip() if isinstance(value, str) and len(value) <= _MOST_TEXT else ""
