"""Where a secret goes that is shown once: to standard output, or into a new file for this user alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from keycensus_client.errors import UsageError


@contextmanager
def keep_secret(file: Path | None) -> Iterator[Callable[[str, str], None]]:
    """Give what takes a secret, and what is said of it. The file is made first, and removed if it has none in the end.

    UsageError, before there is any secret, if the file is there or can't be made.
    """
    if file is None:
        yield _print
        return
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise UsageError(f"{file} can't be made: {error.strerror}; name another file") from None
    with os.fdopen(descriptor, "w") as opened:

        def write(secret: str, said: str) -> None:
            opened.write(secret + "\n")
            click.echo(f"{file}: {said}")

        try:
            yield write
        except BaseException:
            file.unlink()
            raise


def _print(secret: str, said: str) -> None:
    click.echo(secret)
    click.echo(said, err=True)
