"""Enrol by ourselves where the configuration names a token: a new machine, or one from an image.

Runs in the link. An image may carry the identity of the machine that it was made on; waking on another
one, that identity is put aside, and this machine gets one of its own.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from keycensus_agent.errors import IdentityError, UsageError
from keycensus_agent.host_facts import MachinePrints, gather
from keycensus_agent.link.enrol import enrol_into
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.link.token import TOKEN_TEXT_LIMIT, Token, parse_token
from keycensus_agent.text import safe_path
from keycensus_proto.v1 import inventory_pb2

# Why an identity can't be used that a token mends.
_MENDED_BY_TOKEN = frozenset({"not-enrolled", "other-machine"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where to enrol ("host:port"), and the file with the token; both empty: nowhere."""

    address: str = ""
    token_file: Path | None = None


NO_INVITATION = Invitation()


async def enrol_anew(
    store: IdentityStore,
    invitation: Invitation,
    proxy: str,
    why: IdentityError,
    *,
    machine: MachinePrints,
) -> Identity:
    """Return an identity of this machine's own in place of one that can't be used, stored.

    `why` says what is wrong with the present one; it is raised again where no token is configured.
    """
    if (
        invitation.token_file is None
        or not invitation.address
        or why.reason not in _MENDED_BY_TOKEN
    ):
        raise why
    token = _token(invitation.token_file, why)
    outcome = await enrol_into(
        store,
        invitation.address,
        token,
        own_facts(),
        proxy=proxy,
        machine=machine,
        now=dt.datetime.now(dt.UTC),
    )
    log.info(
        "enrolled",
        agent_id=outcome.identity.agent_id,
        put_aside="" if outcome.put_aside is None else safe_path(os.fsencode(outcome.put_aside)),
    )
    return outcome.identity


def _token(file: Path, why: IdentityError) -> Token:
    try:
        with file.open("rb") as opened:
            return parse_token(opened.read(TOKEN_TEXT_LIMIT).decode("ascii", "replace"))
    except (OSError, UsageError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise IdentityError(
            f"{why}. The token that the configuration names, {safe_path(os.fsencode(file))}, can't be "
            f"used: {said}",
            reason=why.reason,
        ) from error


def own_facts() -> bytes:
    """Return what this host says of itself for the time until its first report says more."""
    facts = gather(b"/", {}, ())
    return inventory_pb2.HostFacts(
        name=facts.name,
        machine_hash=facts.machine_hash,
        operating_system=facts.operating_system,
        operating_system_version=facts.operating_system_version,
        kernel=facts.kernel,
        architecture=facts.architecture,
        kind=facts.kind,
        agent_version=facts.agent_version,
    ).SerializeToString()
