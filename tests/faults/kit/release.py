"""The last release, built from this repository's history into an environment of its own.

    released = Release.build(directory)
    agent.interpreter = [str(released.python)]

A release is a commit whose sources nobody changes any more, so its wheels need not be kept: they are
built anew by the tools of the environment that runs the tests, and nothing is fetched. The environment
has no other packages of ours; the libraries are those of the environment that runs the tests.
"""

from __future__ import annotations

import io
import subprocess
import sys
import sysconfig
import tarfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CHECKOUT = Path(__file__).resolve().parents[3]
# There is no tag yet: the last commit that was landed whole and on which the whole CI had passed.
COMMIT = "f87f7e7"
PROJECTS = ("protos", "agent", "collector")


@dataclass(frozen=True, slots=True)
class Release:
    """An environment with the agent and the collector of `COMMIT`."""

    python: Path

    @classmethod
    def build(cls, directory: Path) -> Self:
        """Build and install the release below `directory`, which others must be able to come to."""
        sources, wheels = directory / "sources", directory / "wheels"
        _unpack(COMMIT, sources)
        build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels))
        for project in PROJECTS:
            _run(*build, cwd=sources / project)
        target = directory / "environment"
        venv.create(target, symlinks=True)
        python = target / "bin" / "python"
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(target)}))
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python))
        _run(*pip, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl")))
        # Only this one directory is searched: the editable packages of the checkout are known to
        # files in it that are read for an environment's own directory alone.
        (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return cls(python)

    def run(self, *arguments: str) -> str:
        """Run the release's Python in isolated mode and return what it prints."""
        return _run(str(self.python), "-I", *arguments)


def _unpack(commit: str, target: Path) -> None:
    archive = subprocess.run(
        ["git", "-C", str(CHECKOUT), "archive", commit, *PROJECTS],
        capture_output=True,
        check=False,
    )
    text = archive.stderr.decode(errors="replace")
    assert archive.returncode == 0, (
        f"the last release, {commit}, is not in this clone's history (a shallow clone: git fetch"
        f" --unshallow): {text}"
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
