"""Lays out libraries: the pinned wheels of others, checked by their hashes, and our own two.

Wheels are unpacked, not installed: what is in the package is what was hashed, byte for byte, and
nothing of the machine that builds. Source: the binary distribution format (PEP 427).
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from keycensus_deb.release import CHECKOUT

REQUIREMENTS = CHECKOUT / "packaging" / "deb" / "requirements.txt"
OURS = ("protos", "agent")
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


class BuildError(Exception):
    """The package can't be built; the text says why and what to do."""


def run(
    *command: str, environment: Mapping[str, str] | None = None, directory: Path = CHECKOUT
) -> str:
    """Run a command to its end and return its output; raises BuildError with what it said."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=directory
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def fetch_wheels(python: str, target: Path, environment: Mapping[str, str]) -> None:
    """Put the wheels of all libraries into `target`: others' by their pins, ours as they are here."""
    fetch = ("download", "--no-deps", "--only-binary=:all:", "--python-version", python)
    pinned = ("--require-hashes", "-r", str(REQUIREMENTS))
    run(*_PIP, *fetch, *pinned, "-d", str(target), environment=environment)
    for project in OURS:
        build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
        run(
            *build,
            "--directory",
            str(target),
            environment=environment,
            directory=CHECKOUT / project,
        )


def unpack_all(wheels: Path, target: Path) -> None:
    """Unpack all wheels of a directory into `target`, which is made."""
    target.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        unpack(wheel, target)


def unpack(wheel: Path, target: Path) -> None:
    """Unpack a wheel; one with files for other places than the library directory is refused."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".data/" in name or name.startswith("/") or ".." in name.split("/"):
                raise BuildError(
                    f"{wheel.name} has {name}, which has no place in a library directory"
                )
        archive.extractall(target)
