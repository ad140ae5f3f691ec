"""What `collector.toml` says of providers of OpenID Connect: `[oidc.NAME]`, a section for each. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from keycensus_collector.access.permissions import ROLES
from keycensus_collector.config_reader import Reader, absolute_path, one_of

# Signatures with a private key only: with HS256 whoever reads the client secret, and with a careless
# library whoever knows the provider's public key, could write tokens; "none" is no signature.
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
)
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")
# How a person of the list of people is found for an account, in this order.
LINKS = ("subject", "email", "name")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_TEAM = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}\Z")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}\Z")  # RFC 6749, section 3.3
_MOST_TEXT = 500
_MOST_LISTED = 1_000
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, and what its accounts become here.

    `roles`, `teams`: by the name of a group. `default_role`: of who is in no group of `roles`; empty:
    they stay out. `allowed_groups`: who is in none of them stays out; empty: no such condition.
    `link_people`: how an account is found to be a person, of `LINKS`.
    """

    name: str
    issuer: str = ""
    client_id: str = ""
    client_secret_file: Path | None = None
    title: str = ""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    algorithms: tuple[str, ...] = _DEFAULT_ALGORITHMS
    ca_file: Path | None = None
    userinfo: bool = False
    user_claim: str = "preferred_username"
    groups_claim: str = "groups"
    trust_email: bool = False
    link_people: tuple[str, ...] = ("subject", "email")
    allowed_groups: tuple[str, ...] = ()
    default_role: str = ""
    sees: str = "all"
    roles: Mapping[str, str] = field(default_factory=dict)
    teams: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    end_session: bool = False

    @property
    def how(self) -> str:
        """How sessions and the audit log name the way that leads over this provider."""
        return f"oidc:{self.name}"


@dataclass(frozen=True, slots=True)
class SignIn:
    """All providers, and the address at which browsers reach this collector: "https://HOST[:PORT]"."""

    url: str = ""
    providers: Mapping[str, Provider] = field(default_factory=dict)


def provider_sections(table: object) -> dict[str, object]:
    """Return the sections `[oidc.NAME]` by their full names, as `Reader` wants them."""
    sections = table if isinstance(table, dict) else {}
    return {f"oidc.{name}": section for name, section in sections.items()}


def read_sign_in(reader: Reader, table: object, *, default_url: str) -> SignIn:
    """Return what stands in `[oidc.NAME]` and `names.url`; mistakes are the reader's."""
    url = reader.take("names", "url", _origin, default_url)
    names = list(table) if isinstance(table, dict) else []
    if not isinstance(table, dict):
        reader.mistake("oidc", "write a table [oidc.NAME] for each provider")
    if names and not url:
        reader.mistake(
            "names.url", 'write the address of this collector, as in "https://census.example.com"'
        )
    providers = {name: _provider(reader, name) for name in names}
    by_subject = [each.name for each in providers.values() if "subject" in each.link_people]
    if len(by_subject) > 1:
        reader.mistake(
            f"oidc.{by_subject[-1]}.link_people",
            'subjects in the list of people are of one provider: leave "subject" out of all others',
        )
    return SignIn(url, providers)


def _provider(reader: Reader, name: str) -> Provider:
    section, given = f"oidc.{name}", Provider(name)
    if not _NAME.match(name):
        reader.mistake(section, "use 1 to 32 of a-z, 0-9 and - for the name of a provider")

    def take(key: str, check: Callable[[object], _Value], default: _Value) -> _Value:
        return reader.take(section, key, check, default)

    provider = Provider(
        name=name,
        issuer=reader.need(section, "issuer", _issuer, '"https://sso.example.com/realms/corp"'),
        client_id=reader.need(section, "client_id", _text, '"keycensus"'),
        client_secret_file=take("client_secret_file", absolute_path, None),
        title=take("title", _text, name),
        scopes=take("scopes", _scopes, given.scopes),
        algorithms=take("algorithms", _some_of(ALGORITHMS), given.algorithms),
        ca_file=take("ca_file", absolute_path, None),
        userinfo=take("userinfo", _flag, given.userinfo),
        user_claim=take("user_claim", _text, given.user_claim),
        groups_claim=take("groups_claim", _text, given.groups_claim),
        trust_email=take("trust_email", _flag, given.trust_email),
        link_people=take("link_people", _some_of(LINKS, least=0), given.link_people),
        allowed_groups=take("allowed_groups", _texts, ()),
        default_role=take("default_role", one_of(("", *ROLES)), given.default_role),
        sees=take("sees", one_of(("all", "teams")), given.sees),
        roles=take("roles", _roles, {}),
        teams=take("teams", _teams, {}),
        end_session=take("end_session", _flag, given.end_session),
    )
    if not provider.roles and not provider.default_role:
        reader.mistake(
            f"{section}.default_role",
            "nobody could sign in: write a role for everybody, or groups in "
            f'[{section}.roles], as in census-admins = "admin"',
        )
    return provider


def _issuer(value: object) -> str:
    text = _text(value)
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            "write an https:// address without ? and #, letter by letter as the provider"
        )
    return text


def _origin(value: object) -> str:
    text = _text(value)
    parts = urlsplit(text)
    if parts.scheme != "https" or text != f"https://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError('write "https://HOST" or "https://HOST:PORT", without a path')
    return text.lower()


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("write a text in one line")
    if len(value) > _MOST_TEXT:
        raise ValueError(f"write at most {_MOST_TEXT} characters")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MOST_LISTED:
        raise ValueError(f'write a list of at most {_MOST_LISTED:,} texts, as in ["one", "two"]')
    return tuple(_text(each) for each in value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")  # noqa: TRY004 - told
    return value


def _scopes(value: object) -> tuple[str, ...]:
    scopes = _texts(value)
    if "openid" not in scopes or not all(map(_SCOPE.match, scopes)):
        raise ValueError('write a list with "openid" in it, as in ["openid", "profile", "email"]')
    return scopes


def _some_of(words: tuple[str, ...], *, least: int = 1) -> Callable[[object], tuple[str, ...]]:
    def check(value: object) -> tuple[str, ...]:
        chosen = _texts(value)
        if len(chosen) < least or not set(chosen) <= set(words):
            raise ValueError(f"write a list of some of: {', '.join(words)}")
        return chosen

    return check


def _roles(value: object) -> dict[str, str]:
    role = one_of(tuple(ROLES))
    return {group: role(given) for group, given in _table(value).items()}


def _teams(value: object) -> dict[str, tuple[str, ...]]:
    teams: dict[str, tuple[str, ...]] = {}
    for group, given in _table(value).items():
        names = (given,) if isinstance(given, str) else _texts(given)
        if not names or not all(map(_TEAM.match, names)):
            raise ValueError(f"{group!r}: write the name of a team, or a list of some")
        teams[group] = names
    return teams


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or len(value) > _MOST_LISTED:
        raise ValueError(f'write a table of at most {_MOST_LISTED:,} groups, as in group = "name"')
    return value
