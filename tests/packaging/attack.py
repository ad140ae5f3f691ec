"""What someone who took over a process would try; run in the place of a service's program.

    attack.py NAME=ARGUMENT...

Prints one JSON object: each attempt's name with "done", or the name of the error it ended with. It
needs nothing but Python, and harms nothing if it succeeds.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_ADDR_NO_RANDOMIZE = 0x0040000
_PERSONALITY_NOW = 0xFFFFFFFF
_NETLINK_SOCK_DIAG = 4


def _libc(name: str, *arguments: int | bytes | None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(library, name)(*arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def _open_socket(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def _listen(_: str) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass


def _read(path: str) -> None:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as plain as can be
        file.read(1)


def _write(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)
    Path(path).unlink()


def _set_user_id_bit(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    Path(path).unlink()
    os.fchmod(descriptor, 0o4700)
    os.close(descriptor)


def _write_and_execute(_: str) -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _personality(_: str) -> None:
    now = _libc("personality", _PERSONALITY_NOW)
    _libc("personality", now | _ADDR_NO_RANDOMIZE)


ATTEMPTS: dict[str, Callable[[str], object]] = {
    "internet": lambda _: _open_socket(socket.AF_INET),
    "internet-6": lambda _: _open_socket(socket.AF_INET6),
    "netlink": lambda _: _open_socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG),
    "packets": lambda _: _open_socket(socket.AF_PACKET, socket.SOCK_DGRAM),
    "vsock": lambda _: _open_socket(socket.AF_VSOCK),
    "listen": _listen,
    "user-namespace": lambda _: _libc("unshare", _CLONE_NEWUSER),
    "become-root": lambda _: os.setuid(0),
    "priority": lambda _: os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0)),
    "write-and-execute": _write_and_execute,
    "personality": _personality,
    "host-name": lambda _: _libc("sethostname", b"x", 1),
    "set-user-id": _set_user_id_bit,
}


def main() -> None:
    """Try what the arguments name, "read…" and "write…" with a path each, and print how it went."""
    outcome = {}
    for argument in sys.argv[1:]:
        name, _, target = argument.partition("=")
        attempt = ATTEMPTS.get(name) or (_write if name.startswith("write") else _read)
        try:
            attempt(target)
            outcome[name] = "done"
        except OSError as error:
            outcome[name] = errno.errorcode.get(error.errno or 0, str(error))
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
