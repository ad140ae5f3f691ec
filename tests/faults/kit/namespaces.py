"""Two network namespaces with a cable between them that can be pulled without either side noticing.

    with cable() as (near, far, wire):
        ["ip", "netns", "exec", near.name, program, ...]
        wire.pull(); wire.plug()

Needs root and iproute2. Packets are lost while the cable is pulled; no RST, no FIN, no ICMP.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Namespace:
    """One end: a namespace and its IPv4 address there."""

    name: str
    address: str

    @property
    def prefix(self) -> list[str]:
        """What stands before a command line that is to run in here."""
        return ["ip", "netns", "exec", self.name]


@dataclass(frozen=True, slots=True)
class Wire:
    """The cable. The far end is what goes down: the near one keeps its address and its route."""

    far: Namespace

    def pull(self) -> None:
        """Lose every packet from now on."""
        _ip("-n", self.far.name, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Let packets through again."""
        _ip("-n", self.far.name, "link", "set", "cable", "up")


@contextmanager
def cable() -> Iterator[tuple[Namespace, Namespace, Wire]]:
    """Make both namespaces and the cable; remove them in the end."""
    number = os.getpid()
    near = Namespace(f"kc-near-{number}", "10.203.0.2")
    far = Namespace(f"kc-far-{number}", "10.203.0.1")
    try:
        for each in (near, far):
            _ip("netns", "add", each.name)
            _ip("-n", each.name, "link", "set", "lo", "up")
        _ip(
            *("-n", near.name, "link", "add", "cable", "type", "veth"),
            *("peer", "name", "cable", "netns", far.name),
        )
        for each in (near, far):
            _ip("-n", each.name, "address", "add", f"{each.address}/24", "dev", "cable")
            _ip("-n", each.name, "link", "set", "cable", "up")
        yield near, far, Wire(far)
    finally:
        for each in (near, far):
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", each.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
