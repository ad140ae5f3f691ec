"""A small root directory of a host that can't enrol, and the bundles that the real agent writes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fakes.pki import Issued

from keycensus_agent.cli import main


@dataclass
class BundledHost:
    """`root` is the host's file system; each bundle gets a name of its own beside it."""

    directory: Path
    name: str = "vault1"
    machine: str = "a" * 32
    bundles: int = 0

    def __post_init__(self) -> None:
        self.put("etc/hostname", self.name.encode())
        self.put("etc/machine-id", self.machine.encode())
        self.put("etc/os-release", b'ID=debian\nVERSION_ID="12"\n')

    @property
    def root(self) -> Path:
        return self.directory / self.name

    def put(self, path: str, data: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def put_pair(self, issued: Issued) -> None:
        self.put("etc/ssl/own.pem", issued.pem)
        self.put("etc/ssl/own.key", issued.key_pem)

    def bundle(self) -> Path:
        self.bundles += 1
        file = self.directory / f"{self.name}-{self.bundles}.kcb"
        assert main(["scan", "--root", str(self.root), "--bundle", str(file)]) == 0
        return file
