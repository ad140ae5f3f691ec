"""Candidate passwords for keystores, from a file that only root or the agent's user can read.

Reader side: the passwords go to the parser's pipe and nowhere else. Their values are never in an
error, a log, a repr or a command line.

One line each: a path pattern, then a TAB or a colon, then the password up to the end of the line.
`*` and `?` match any characters, `/` too. Blank lines and lines that start with `#` are skipped.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from dataclasses import dataclass, replace

from keycensus_agent.errors import ConfigurationError

# What tools and their handbooks put into keystores, where nobody changed it: Java's cacerts and keytool's
# examples, examples of servers and frameworks, keys of Google's service accounts; and the empty one.
DEFAULT_PASSWORDS = ("changeit", "changeme", "password", "notasecret", "secret", "123456", "")
# Candidates for one file: each costs a key derivation, which its writer made slow on purpose.
_CANDIDATES_LIMIT = 16
_FILE_LIMIT = 1024 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, repr=False)
class PasswordFile:
    """Patterns of paths with the password for each, in the order of the file.

    `defaults` are tried on every file, after those that were written for it.
    """

    rows: tuple[tuple[re.Pattern[str], str], ...] = ()
    defaults: tuple[str, ...] = ()

    def passwords_for(self, path: bytes) -> tuple[str, ...]:
        """Return the candidates for the file at `path`, first line first, each once.

        At most 16 of the password file, and the defaults.
        """
        if not self.rows:
            return self.defaults
        name = os.fsdecode(path)
        matching = dict.fromkeys(password for pattern, password in self.rows if pattern.match(name))
        return tuple(dict.fromkeys((*tuple(matching)[:_CANDIDATES_LIMIT], *self.defaults)))


NO_PASSWORDS = PasswordFile()


def candidate_passwords(path: str | os.PathLike[str] | None, *, try_defaults: bool) -> PasswordFile:
    """Return what is to be tried: the password file if one is named, and the defaults if wanted."""
    passwords = read_password_file(path) if path is not None else NO_PASSWORDS
    return replace(passwords, defaults=DEFAULT_PASSWORDS) if try_defaults else passwords


def read_password_file(path: str | os.PathLike[str]) -> PasswordFile:
    """Read a password file; ConfigurationError names the file and every line that is wrong."""
    shown = os.fspath(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigurationError(
            f"can't open the password file {shown}: {error.strerror}"
        ) from None
    try:
        _check(shown, os.fstat(descriptor))
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return _parse(shown, file.read(_FILE_LIMIT))
    finally:
        os.close(descriptor)


def _check(shown: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"the password file {shown} is not a regular file")
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigurationError(
            f"the password file {shown} belongs to user {status.st_uid}: chown it to root"
        )
    if status.st_mode & _OTHERS:
        raise ConfigurationError(
            f"others can reach the password file {shown} (mode {status.st_mode & 0o7777:04o}): "
            f"chmod 600 it"
        )
    if status.st_size > _FILE_LIMIT:
        raise ConfigurationError(
            f"the password file {shown} is longer than {_FILE_LIMIT} bytes: split it"
        )


def _parse(shown: str, data: bytes) -> PasswordFile:
    rows: list[tuple[re.Pattern[str], str]] = []
    mistakes: list[str] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            line = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            mistakes.append(f"{shown}:{number}: not UTF-8")
            continue
        if not line.strip() or line.startswith("#"):
            continue
        pattern, separator, password = line.partition("\t" if "\t" in line else ":")
        if not separator or not pattern.startswith(("/", "*")):
            mistakes.append(
                f"{shown}:{number}: should be a path pattern, a TAB or a colon, and a password"
            )
            continue
        rows.append((re.compile(fnmatch.translate(pattern), re.DOTALL), password))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return PasswordFile(tuple(rows))
