"""A file system of a few megabytes, and a way to fill it to the last byte. Needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(point: Path, mebibytes: int) -> Iterator[Path]:
    """Mount a tmpfs of that size at `point`, which is made if it is not there."""
    point.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={mebibytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "keycensus-test", point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def fill(directory: Path) -> Path:
    """Take all the space there is; remove the file that is returned to give it back."""
    file = directory / "full"
    with file.open("wb", buffering=0) as stream:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                continue
    return file
