"""A directory of secrets: private to its owner, and several files change together or not at all.

Runs in the link and in the commands enrol and leave. Directory 0700, files 0600, owned by the
caller; anything else is refused at the start, because a key that others could read may be theirs.
In the state directory of a run without systemd root works for the link's user, to whom the files then
belong; in a directory of that user's own, root works as that user (owner.py).

Several files are replaced as one: first a journal with all of them, then each, then the journal is
removed. Whoever finds a journal finishes its work, so that a key never stands beside another key's
certificate, wherever a crash happens.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from keycensus_agent.errors import IdentityError, StorageError, StorageFullError
from keycensus_agent.isolation.ownership import give_to_link
from keycensus_agent.isolation.users import link_user
from keycensus_agent.link.owner import as_owner_of
from keycensus_agent.text import safe_path

_JOURNAL = "journal.json"
_CHANGE_LOCK = "change.lock"
# What is kept for a look stays here, by another name: a link can write and rename nowhere else.
_ASIDE = "aside-"
_TEMPORARY = ".new"
# Certificates of a chain and a trust bundle are some kilobytes; more is not ours.
_FILE_LIMIT = 1 << 20
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretDirectory:
    """One directory of secrets.

    Every method raises IdentityError where something is not private, StorageFullError on a full
    file system, StorageError for other trouble of the file system.

    `path` names it. `here`: it is this process's working directory and is reached as such, for a
    process whose user may not pass the directories above it; `at` is the path to use.
    """

    def __init__(self, path: Path, *, here: bool = False) -> None:
        self.path = path
        self.at = Path() if here else path

    def exists(self) -> bool:
        """Whether there is such a directory."""
        with suppress(PermissionError):
            return self.at.is_dir()
        return False

    def create(self) -> None:
        """Make the directory (0700, with its parents) if it is missing, and check it."""
        if self.at != self.path:
            self.open()
            return
        with _own_storage(self.path):
            if not self.path.parent.exists():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        give_to_link(self.path)
        self.open()

    def open(self) -> None:
        """Check owner and mode of the directory and its files; finish what a crash cut off."""
        with _own_storage(self.path):
            _check_private(self.path, self.at.lstat(), directory=True)
            with self._held():
                for path in sorted(self.at.iterdir()):
                    # The change lock comes and goes without this one.
                    with suppress(FileNotFoundError):
                        _check_private(self.path / path.name, path.lstat(), directory=False)
                self._finish_journal()

    def read(self, *names: str) -> dict[str, bytes]:
        """Return the content of those files that exist, as of one moment."""
        with _own_storage(self.path), self._held():
            found = {name: self._read_one(name) for name in names}
            return {name: content for name, content in found.items() if content is not None}

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace these ASCII files, all or none; on the disk when this returns."""
        journal = {name: content.decode("ascii") for name, content in files.items()}
        with _own_storage(self.path), self._held():
            self._replace(_JOURNAL, json.dumps(journal).encode())
            self._finish_journal()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with _own_storage(self.path):
            (self.at / name).unlink(missing_ok=True)
            self._sync()

    def remove_all(self) -> None:
        """Remove the directory with its files."""
        with _own_storage(self.path):
            if not self.exists():
                return
            for path in list(self.path.iterdir()):
                path.unlink()
            self.path.rmdir()

    def put_aside(self, suffix: str, names: Sequence[str]) -> Path:
        """Rename those files that exist, in this order, to one beginning; return that path."""
        aside = f"{_ASIDE}{suffix}."
        with _own_storage(self.path), self._held():
            for name in names:
                with suppress(FileNotFoundError):
                    (self.at / name).rename(self.at / f"{aside}{name}")
            self._sync()
        return self.path / aside

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other processes from enrolling, renewing or leaving; StorageError if one just does.

        For as long as a call to the collector takes; readers are not kept waiting.
        """
        with _own_storage(self.path):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.at / _CHANGE_LOCK, flags, 0o600)
            self._belongs(descriptor)
        try:
            if not _lock_at_once(descriptor):
                raise StorageError(
                    "another keycensus-agent is just changing "
                    f"{safe_path(os.fsencode(self.path))}: wait until it has ended, and try again"
                )
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the files together for the milliseconds of a read or a replacement."""
        descriptor = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read_one(self, name: str) -> bytes | None:
        path = self.at / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _check_private(self.path / name, os.fstat(descriptor), directory=False)
            return file.read(_FILE_LIMIT)

    def _finish_journal(self) -> None:
        content = self._read_one(_JOURNAL)
        if content is None:
            return
        for name, text in json.loads(content).items():
            self._replace(name, text.encode("ascii"))
        (self.at / _JOURNAL).unlink()
        self._sync()

    def _replace(self, name: str, content: bytes) -> None:
        path = self.at / name
        temporary = path.with_name(name + _TEMPORARY)
        with suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._belongs(descriptor)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.rename(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        self._sync()

    def _belongs(self, descriptor: int) -> None:
        """Give a file that root made to whom the directory belongs."""
        if os.geteuid() == 0:
            owner = self.at.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _sync(self) -> None:
        descriptor = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_private(path: Path, facts: os.stat_result, *, directory: bool) -> None:
    shown = safe_path(os.fsencode(path))
    right = stat.S_ISDIR(facts.st_mode) if directory else stat.S_ISREG(facts.st_mode)
    if not right:
        kind = "directory" if directory else "regular file"
        raise IdentityError(f"{shown} is not a {kind}, and is not used: remove it, then try again")
    if facts.st_uid != os.geteuid() and not _is_links(facts.st_uid):
        raise IdentityError(
            f"{shown} belongs to user {facts.st_uid}, but this process runs as user "
            f"{os.geteuid()}; the identity is not used: run the command as its owner, or chown it"
        )
    if facts.st_mode & _FOR_OTHERS:
        mode = "0700" if directory else "0600"
        raise IdentityError(
            f"{shown} is open to group or others (mode {stat.S_IMODE(facts.st_mode):04o}); the "
            f"identity is not used: chmod {mode} {shown}, and if others may have read the key, "
            "`keycensus-agent leave` and enrol again"
        )


def _is_links(owner: int) -> bool:
    """Whether this is root, who may work for the link's user."""
    return os.geteuid() == 0 and owner == link_user().uid


@contextmanager
def _own_storage(path: Path) -> Iterator[None]:
    """Turn the file system's trouble into an error for people (STYLE: our own storage stops)."""
    try:
        with as_owner_of(path):
            yield
    except OSError as error:
        shown = safe_path(os.fsencode(path / (error.filename or "")))
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError(
                f"the file system of {shown} is full: make room; nothing was lost"
            ) from error
        raise StorageError(f"{shown}: {error.strerror or error}; check the directory") from error
    except ValueError as error:
        raise StorageError(
            f"{safe_path(os.fsencode(path))} is damaged: `keycensus-agent leave --force`, then enrol"
        ) from error
