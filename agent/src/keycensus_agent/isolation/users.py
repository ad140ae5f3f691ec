"""Which users the agent's processes become when root starts them.

A package makes the two users. Without one (a container, cron out of a virtual environment) numbers
stand in for them. Users are looked up in /etc/passwd itself: asking the name service could mean
asking the network, on every run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

# Made by packaging/systemd/keycensus-agent.sysusers.
AGENT_USER = "keycensus-agent"
LINK_USER = "keycensus-agent-link"
_ACCOUNTS = "/etc/passwd"
_ACCOUNTS_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class User:
    """A user and its group, by number."""

    uid: int
    gid: int


# Linux's own convention, also for what no account names.
NOBODY = User(65534, 65534)
# The reader owns its state, and whoever else runs as nobody must not. This number is nobody's: above
# what systemd gives to dynamic users (61184 to 65519), below nobody's own (systemd.io/UIDS-GIDS).
UNNAMED_READER = User(65533, 65533)


def reader_user() -> User:
    """Return whom the reader becomes: the agent's user, or a number that nobody else has."""
    return _named(AGENT_USER) or UNNAMED_READER


def parser_user() -> User:
    """Return whom a parser becomes that root started: the agent's user, or nobody."""
    return _named(AGENT_USER) or NOBODY


def link_user() -> User:
    """Return whom the link becomes: its own user, or nobody."""
    return _named(LINK_USER) or NOBODY


def _named(name: str) -> User | None:
    try:
        with os.fdopen(os.open(_ACCOUNTS, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            lines = file.read(_ACCOUNTS_LIMIT).splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(b":")
        if fields[0] == name.encode() and len(fields) > 3:
            try:
                found = User(int(fields[2]), int(fields[3]))
            except ValueError:
                return None
            # An entry of that name with root's rights is no user of ours.
            return found if found.uid and found.gid else None
    return None
