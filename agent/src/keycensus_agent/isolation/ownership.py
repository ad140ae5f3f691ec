"""Whose the agent's own directories are, when root starts what then becomes somebody else.

Runs as root, before the change of user. Root gives away only what it made itself or a user of ours
had, and follows no link: the directories may have been under a process that was taken over.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from keycensus_agent.errors import ConfigurationError
from keycensus_agent.isolation.privileges import stays_root
from keycensus_agent.isolation.users import NOBODY, UNNAMED_READER, User, link_user, reader_user
from keycensus_agent.text import safe_path

_FORMER_OWNERS = frozenset({0, NOBODY.uid, UNNAMED_READER.uid})
# What the state directory holds; anything else says that it is not the agent's alone.
_OWN_NAMES = ("state", "identity", "status", "lost+found")


def prepare_state(directory: Path) -> None:
    """Make the state directory if need be, and give its parts to the reader and the link.

    Nothing happens unless this is root. ConfigurationError if the directory holds something else:
    then it is not given to anybody.
    """
    if os.geteuid() != 0:
        return
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "state").mkdir(mode=0o700, exist_ok=True)
        names = (path.name for path in directory.iterdir())
        foreign = sorted(name for name in names if not name.startswith(_OWN_NAMES))
        if foreign:
            raise ConfigurationError(
                f"the state directory {safe_path(os.fsencode(directory))} holds other files than "
                f'the agent\'s ("{safe_path(os.fsencode(foreign[0]))}"): give the agent a directory '
                "of its own ([state] directory, or --state-dir)"
            )
    if stays_root():
        return
    give(directory / "state", reader_user())
    give_to_link(directory / "identity")
    give(directory, reader_user())


def give_to_link(directory: Path) -> None:
    """Make the user that the link becomes the owner of the identity directory."""
    if not stays_root():
        give(directory, link_user())


def give(directory: Path, user: User) -> None:
    """Make `user` the owner of a directory and of the regular files in it, where root may."""
    if os.geteuid() != 0:
        return
    with suppress(OSError):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(directory, flags | os.O_DIRECTORY)
        try:
            for path in directory.iterdir():
                with suppress(OSError):
                    _give_one(os.open(path.name, flags, dir_fd=descriptor), user)
            _give_open(descriptor, user)
        finally:
            os.close(descriptor)


def _give_one(descriptor: int, user: User) -> None:
    try:
        facts = os.fstat(descriptor)
        # A second name could be one of the system's files.
        if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
            _give_open(descriptor, user)
    finally:
        os.close(descriptor)


def _give_open(descriptor: int, user: User) -> None:
    if os.fstat(descriptor).st_uid in _FORMER_OWNERS - {user.uid}:
        os.fchown(descriptor, user.uid, user.gid)
