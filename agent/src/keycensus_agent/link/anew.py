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
from keycensus_agent.link.enrol import enrol_into
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.link.machine import ThisMachine
from keycensus_agent.link.token import TOKEN_TEXT_LIMIT, Token, parse_token
from keycensus_agent.text import safe_path

# Why an identity can't be used that a token mends.
_MENDED_BY_TOKEN = frozenset({"not-enrolled", "other-machine"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where to enrol ("host:port"), and the file with the token; both empty: nowhere.

    The file is opened by who may, and read, through `descriptor`, only when a token is needed;
    `trouble` says why it could not be opened.
    """

    address: str = ""
    token_file: Path | None = None
    descriptor: int = -1
    trouble: str = ""

    @classmethod
    def open(cls, address: str, token_file: Path | None) -> Invitation:
        """Open the file now, before this process gives up the right to."""
        if not address or token_file is None:
            return NO_INVITATION
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return cls(address, token_file, os.open(token_file, flags))
        except OSError as error:
            return cls(address, token_file, trouble=error.strerror or str(error))


NO_INVITATION = Invitation()


async def enrol_anew(
    store: IdentityStore,
    invitation: Invitation,
    proxy: str,
    why: IdentityError,
    *,
    machine: ThisMachine,
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
    token = _token(invitation, invitation.token_file, why)
    outcome = await enrol_into(
        store,
        invitation.address,
        token,
        machine.facts,
        proxy=proxy,
        machine=machine.prints,
        now=dt.datetime.now(dt.UTC),
    )
    log.info(
        "enrolled",
        agent_id=outcome.identity.agent_id,
        put_aside="" if outcome.put_aside is None else safe_path(os.fsencode(outcome.put_aside)),
    )
    return outcome.identity


def _token(invitation: Invitation, file: Path, why: IdentityError) -> Token:
    said = invitation.trouble
    if not said:
        try:
            text = os.pread(invitation.descriptor, TOKEN_TEXT_LIMIT, 0)
            return parse_token(text.decode("ascii", "replace"))
        except OSError as error:
            said = error.strerror or str(error)
        except UsageError as error:
            said = str(error)
    raise IdentityError(
        f"{why}. The token that the configuration names, {safe_path(os.fsencode(file))}, can't be "
        f"used: {said}",
        reason=why.reason,
    )
