"""Disk errors and other clocks for programs that are not ours to patch: a library by LD_PRELOAD.

    preload = Preload.build(tmp_path)
    collector.start(environment=preload.environment)
    preload.fail(SYNC, errno.EIO, below=collector.state)
    ...
    preload.heal()

The library is compiled by the test (`preload.c`). It decides by a file that is mapped into the program
and into the test alike, so it can be switched while the program runs. What a program starts inherits
it with the environment; for the agent, which gives its children an environment of their own, there is
`interpreter`: a Python that loads the library by itself, whoever starts it.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Self

WRITE, SYNC = 1, 2

# struct control of preload.c: seven 64-bit numbers, then the prefix.
_NUMBERS = struct.Struct("=7q")
_PREFIX_BYTES = 512
_SIZE = _NUMBERS.size + _PREFIX_BYTES


class Preload:
    """The compiled library and the file that controls it."""

    def __init__(self, directory: Path, library: Path) -> None:
        self._directory = directory
        self._library = library
        self._control = directory / "control"
        self._control.write_bytes(bytes(_SIZE))
        # Whoever the program runs as must be able to map it.
        self._control.chmod(0o666)
        with self._control.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), _SIZE)
        self._shift = 0

    @classmethod
    def build(cls, directory: Path) -> Self:
        """Compile the library into a new directory below `directory`."""
        place = directory / "preload"
        place.mkdir()
        place.chmod(0o755)
        library = place / "faults.so"
        source = Path(__file__).with_name("preload.c")
        command = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run([*command, "-o", str(library), str(source), "-ldl"], check=True)
        return cls(place, library)

    @property
    def environment(self) -> dict[str, str]:
        """What a program's environment needs for the library to be loaded."""
        return {"LD_PRELOAD": str(self._library), "FAULTS_CONTROL": str(self._control)}

    def interpreter(self) -> Path:
        """Return a Python that loads the library, with the packages of the one that runs now.

        A script under the name of an interpreter: it says its own name to the real one, which so
        finds `pyvenv.cfg` and packages beside it, and starts its children by the same script.
        """
        home = self._directory / "python"
        script = home / "bin" / "python"
        if script.exists():
            return script
        script.parent.mkdir(parents=True)
        for name in ("lib", "pyvenv.cfg"):
            (home / name).symlink_to(Path(sys.prefix) / name)
        variables = " ".join(f"{name}='{value}'" for name, value in self.environment.items())
        real = Path(sys.executable).resolve()
        script.write_text(f"#!/bin/bash\nexport {variables}\nexec -a '{script}' '{real}' \"$@\"\n")
        script.chmod(0o755)
        return script

    def fail(
        self, operations: int, error: int, *, below: Path, after: int = 0, times: int = -1
    ) -> None:
        """Let operations on files whose path begins with `below` fail with the errno `error`.

        `after` of them still succeed, then `times` fail (all, if below 0).
        """
        prefix = os.fsencode(below)
        if len(prefix) >= _PREFIX_BYTES:
            raise ValueError("the path is too long for the library")
        self._mapped[_NUMBERS.size :] = prefix.ljust(_PREFIX_BYTES, b"\0")
        self._write(operations, error, after, times)

    def heal(self) -> None:
        """Let everything succeed again."""
        self._write(0, 0, 0, 0)

    def shift_clock(self, seconds: int) -> None:
        """Let the wall clock differ from the real one; steady clocks stay."""
        self._shift = seconds
        _NUMBERS.pack_into(self._mapped, 0, seconds, *_NUMBERS.unpack_from(self._mapped)[1:])

    @property
    def seen(self) -> int:
        """How many operations on the files of `fail` there were."""
        return int(_NUMBERS.unpack_from(self._mapped)[5])

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(_NUMBERS.unpack_from(self._mapped)[6])

    def _write(self, operations: int, error: int, after: int, times: int) -> None:
        # Off while the numbers change: the program reads them at any moment.
        _NUMBERS.pack_into(self._mapped, 0, self._shift, 0, error, after, times, 0, 0)
        struct.pack_into("=q", self._mapped, 8, operations)
