"""Random changes to a tree, and what is in it afterwards: the truth that an agent is held against.

Every change is one that programs make: write, rewrite, rename over, move, remove, chmod, hard link, link
turned, directory made with a file in it, moved, removed. Deterministic for a seed.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fakes.certificates import Leaf

_NAMES = ("a", "b", "c", "d")
_DEEPEST = 4
_MODES = (0o600, 0o640, 0o644)


@dataclass(frozen=True, slots=True)
class Truth:
    """One place as the disk has it: SHA-256 of its certificates, mode of the file, target of a link."""

    artifacts: frozenset[str]
    mode: int
    target: str


@dataclass(slots=True)
class Churn:
    """Changes the tree at `top`, a directory within the scanned root `root`."""

    root: Path
    top: Path
    leaves: Sequence[Leaf]
    dice: random.Random
    operations: int = field(default=0, init=False)

    def step(self) -> None:
        """Make one change; one that can't be made now (a name is taken) is made another time."""
        change = self.dice.choice(
            (
                *(self._write, self._write, self._rewrite, self._replace, self._move_file),
                *(self._remove_file, self._chmod, self._hard_link, self._link, self._turn_link),
                *(self._make_deep, self._move_directory, self._remove_directory, self._text),
            )
        )
        with suppress(OSError, shutil.Error):
            change()
        self.operations += 1

    # --- what there is ------------------------------------------------------------------------

    def _directories(self) -> list[Path]:
        return [self.top, *sorted(path for path in self.top.rglob("*") if _is_directory(path))]

    def _directory(self) -> Path:
        return self.dice.choice(self._directories())

    def _files(self) -> list[Path]:
        return sorted(
            path for path in self.top.rglob("*") if path.is_file() and not path.is_symlink()
        )

    def _file(self) -> Path:
        files = self._files()
        if not files:
            raise FileNotFoundError
        return self.dice.choice(files)

    def _name(self, suffix: str) -> str:
        return self.dice.choice(_NAMES) + suffix

    def _content(self) -> bytes:
        return self.dice.choice(self.leaves).pem

    # --- changes ------------------------------------------------------------------------------

    def _write(self) -> None:
        (self._directory() / self._name(".pem")).write_bytes(self._content())

    def _rewrite(self) -> None:
        self._file().write_bytes(self._content())

    def _text(self) -> None:
        self._file().write_bytes(b"nothing to see here, at all, in this text\n")

    def _replace(self) -> None:
        file = self._file()
        fresh = file.with_name(".fresh")
        fresh.write_bytes(self._content())
        fresh.rename(file)

    def _move_file(self) -> None:
        self._file().rename(self._directory() / self._name(".pem"))

    def _remove_file(self) -> None:
        self._file().unlink()

    def _chmod(self) -> None:
        self._file().chmod(self.dice.choice(_MODES))

    def _hard_link(self) -> None:
        (self._directory() / self._name("-hard.pem")).hardlink_to(self._file())

    def _link(self) -> None:
        file, place = self._file(), self._directory()
        (place / self._name("-link.pem")).symlink_to(os.path.relpath(file, place))

    def _turn_link(self) -> None:
        links = sorted(path for path in self.top.rglob("*-link.pem") if path.is_symlink())
        if not links:
            return
        link, file = self.dice.choice(links), self._file()
        fresh = link.with_name(".turned")
        fresh.symlink_to(os.path.relpath(file, link.parent))
        fresh.rename(link)

    def _make_deep(self) -> None:
        place = self._directory()
        if len(place.relative_to(self.top).parts) >= _DEEPEST:
            return
        deep = place / self._name("") / self._name("")
        deep.mkdir(parents=True, exist_ok=True)
        (deep / self._name(".pem")).write_bytes(self._content())

    def _move_directory(self) -> None:
        directories = self._directories()
        moved, place = self.dice.choice(directories), self.dice.choice(directories)
        if moved != self.top and len(place.relative_to(self.top).parts) < _DEEPEST:
            moved.rename(place / self._name(""))

    def _remove_directory(self) -> None:
        directory = self._directory()
        # Not too often, or there is nothing left to be changed.
        if directory != self.top and self.dice.random() < 0.3:
            shutil.rmtree(directory)

    # --- the truth ----------------------------------------------------------------------------

    def truth(self) -> Mapping[str, Truth]:
        """Return what an agent should have found below the top, by path within the root."""
        holds = {leaf.pem: frozenset({leaf.sha256.hex()}) for leaf in self.leaves}
        found: dict[str, Truth] = {}
        for directory, _, names in os.walk(self.top):
            for name in names:
                path = Path(directory, name)
                try:
                    artifacts = holds.get(path.read_bytes())
                except OSError:
                    continue
                if artifacts is None:
                    continue
                target = ""
                if path.is_symlink():
                    target = "/" + str(path.resolve().relative_to(self.root.resolve()))
                within = "/" + str(path.relative_to(self.root))
                found[within] = Truth(artifacts, path.stat().st_mode & 0o7777, target)
        return found


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
