"""Whose the identity is: root acts as the link's user where it touches the files.

Runs in the commands enrol and leave, which root calls. As systemd units the link has a user and a
directory of its own, and the identity lies there. Root works there as that user: files come out as
the link's, and a link that was taken over can't lead root anywhere by what it planted.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keycensus_agent.isolation.users import LINK_USER

_ROOT = 0


@contextmanager
def as_owner_of(directory: Path) -> Iterator[None]:
    """Be the link's user if root calls and `directory` lies, or will lie, in one of that user's.

    For all threads of the process, and for the moment of a file operation only: nothing can be
    imported meanwhile where the interpreter is for root alone. Root takes its rights back at the
    end; anyone else, and root elsewhere, stays who they are.
    """
    link = _link_user() if os.geteuid() == _ROOT else None
    if link is None or _owner_above(directory) != link.pw_uid:
        yield
        return
    groups, own_group = os.getgroups(), os.getegid()
    os.setgroups([link.pw_gid])
    os.setegid(link.pw_gid)
    os.seteuid(link.pw_uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(own_group)
        os.setgroups(groups)


def _link_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(LINK_USER)
    except KeyError:
        return None


def _owner_above(directory: Path) -> int:
    """Return the owner of the nearest directory above that is there."""
    for path in directory.parents:
        try:
            return path.lstat().st_uid
        except FileNotFoundError:
            continue
    return _ROOT
