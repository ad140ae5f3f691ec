"""Whose the identity is: root acts as the link's user where it touches the files.

Runs in the commands enrol and leave, which root calls. In packages the identity lies in a directory
of the link's own user. Root works there as that user: files come out as the link's, and a link that
was taken over can't lead root anywhere by what it planted in its directory.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = 0


@contextmanager
def as_owner_of(directory: Path) -> Iterator[None]:
    """Be the owner of `directory`, or of what will be its parent, if root is who calls.

    For all threads of the process, and for the moment of a file operation only: nothing can be
    imported meanwhile where the interpreter is for root alone. Root takes its rights back at the
    end; anyone else stays who they are.
    """
    owner, group = _owner_of(directory)
    if os.geteuid() != _ROOT or owner == _ROOT:
        yield
        return
    groups, own_group = os.getgroups(), os.getegid()
    os.setgroups([group])
    os.setegid(group)
    os.seteuid(owner)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(own_group)
        os.setgroups(groups)


def _owner_of(directory: Path) -> tuple[int, int]:
    """Return user and group of the nearest directory that is there."""
    for path in (directory, *directory.parents):
        try:
            facts = path.lstat()
        except FileNotFoundError:
            continue
        try:
            return facts.st_uid, pwd.getpwuid(facts.st_uid).pw_gid
        except KeyError:
            return facts.st_uid, facts.st_gid
    return _ROOT, _ROOT
