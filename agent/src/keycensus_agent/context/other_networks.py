"""Who listens in network namespaces that are not the agent's: nobody there is asked what it presents.

Runs in the reader, without a privilege: sock_diag(7) lists the sockets of the asker's namespace only, and to
join another takes CAP_SYS_ADMIN, but /proc/PID/net/tcp has those of PID's namespace for everybody to read
(proc(5)). Whose namespace it is says the file's inode: each has files of its own, while ns/net
is shown to who may trace. Processes that are hidden (hidepid) are not seen, nor is their namespace.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from keycensus_agent.context.control_groups import name_of

_PROC = Path("/proc")
_PROCESSES = 32_768
_NAMESPACES = 4_096
_LISTENERS = 256
_TABLES = ("tcp", "tcp6")
_LISTEN = b"0A"


@dataclass(frozen=True, slots=True)
class OtherNetwork:
    """A network namespace with listeners: its unit or container, or a process; "address:port" of each."""

    name: str
    listen: tuple[str, ...]


def other_networks(proc: Path = _PROC) -> Iterator[OtherNetwork]:
    """Yield the network namespaces other than the agent's own in which something listens by TCP.

    None where there is no /proc.
    """
    try:
        seen = {_namespace(proc / "self")}
    except OSError:
        return
    numbers = sorted(int(each.name) for each in proc.iterdir() if each.name.isdigit())
    for number in numbers[:_PROCESSES]:
        process = proc / str(number)
        try:
            namespace = _namespace(process)
            if namespace in seen:
                continue
            seen.add(namespace)
            listen = tuple(islice(_listening(process), _LISTENERS))
            if listen:
                yield OtherNetwork(_name(process), listen)
        except OSError:
            continue  # ended meanwhile
        if len(seen) > _NAMESPACES:
            return


def _namespace(process: Path) -> int:
    return (process / "net/tcp").stat().st_ino


def _listening(process: Path) -> Iterator[str]:
    for table in _TABLES:
        try:
            file = (process / "net" / table).open("rb")
        except FileNotFoundError:
            continue  # a kernel without IPv6
        with file:
            for line in islice(file, 1, None):
                _, local, _, state, *_ = line.split()
                if state != _LISTEN:
                    break  # the kernel lists listeners first
                yield _endpoint(local)


def _endpoint(text: bytes) -> str:
    """Return "address:port" of an address as the kernel writes it: words in its own byte order."""
    words, _, port = text.partition(b":")
    packed = bytes.fromhex(words.decode())
    if sys.byteorder == "little":
        packed = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    address = ipaddress.ip_address(packed)
    return f"{f'[{address}]' if address.version == 6 else address}:{int(port, 16)}"


def _name(process: Path) -> str:
    for line in (process / "cgroup").read_bytes().splitlines():
        if found := name_of(line.split(b":", 2)[-1]):
            return found
    return (process / "comm").read_bytes().strip().decode("utf-8", "replace")
