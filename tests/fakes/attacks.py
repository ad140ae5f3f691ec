"""What injected code would try, run in a process that became one of the agent's by its own calls.

    python attacks.py PROFILE LANDLOCK PORT FILE...    PROFILE: none, reader, link:DIR, parser

Prints one JSON object: the name of each attempt, and "done" or the name of the errno that refused it.
PORT listens on loopback; each FILE is opened for reading.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from keycensus_agent.isolation import profiles
from keycensus_agent.isolation.syscalls import architecture
from keycensus_agent.parser import sandbox

_LIBC = ctypes.CDLL(None, use_errno=True)
_EXEC_ONLY = mmap.PROT_READ | mmap.PROT_EXEC


def enter(profile: str, *, landlock: bool) -> None:
    name, _, directory = profile.partition(":")
    if name == "reader":
        profiles.enter_reader()
    elif name == "link":
        os.chdir(directory)
        profiles.enter_link(".", landlock=landlock)
    elif name == "parser":
        sandbox.enter(landlock=landlock)


def system_call(name: str, *arguments: object) -> None:
    target = architecture(platform.machine())
    assert target is not None
    words = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if _LIBC.syscall(ctypes.c_long(target.numbers[name]), *words) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def execute() -> None:
    """Exec in a child where one can be made, in this process where not: then it must be refused."""
    try:
        pid = os.fork()
    except OSError:
        os.execv("/bin/true", ["true"])  # noqa: S606 - as an attacker would
    if pid == 0:
        try:
            os.execv("/bin/true", ["true"])  # noqa: S606 - as an attacker would
        except OSError as error:
            os._exit(error.errno or 255)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))


def open_family(family: int, kind: int) -> Callable[[], None]:
    return lambda: socket.socket(family, kind).close()


def open_file(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def open_pair() -> None:
    for end in socket.socketpair():
        end.close()


def listen() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()


def thread() -> None:
    try:
        worker = threading.Thread(target=lambda: None)
        worker.start()
    except RuntimeError:
        raise OSError(errno.EPERM, "no thread") from None
    worker.join()


def write_here() -> None:
    Path("attack").write_bytes(b"x")
    Path("attack").unlink()


def attempts(made: socket.socket, port: int, files: list[str]) -> dict[str, Callable[[], object]]:
    """Return what is tried, in order; `made` is a socket from before."""
    return {
        **{f"open {file}": partial(open_file, file) for file in files},
        "connect": lambda: made.connect(("127.0.0.1", port)),
        "unix": open_family(socket.AF_UNIX, socket.SOCK_STREAM),
        "inet": open_family(socket.AF_INET, socket.SOCK_STREAM),
        "inet6": open_family(socket.AF_INET6, socket.SOCK_DGRAM),
        "netlink": open_family(socket.AF_NETLINK, socket.SOCK_RAW),
        "packet": open_family(socket.AF_PACKET, socket.SOCK_RAW),
        "socketpair": open_pair,
        "listen": listen,
        "io_uring": lambda: system_call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
        "bpf": lambda: system_call("bpf", 0, ctypes.create_string_buffer(128), 128),
        "user namespace": lambda: system_call("unshare", 0x10000000),
        "memory file": lambda: system_call("memfd_create", ctypes.c_char_p(b"x"), 0),
        "foreign memory": lambda: system_call("process_vm_readv", os.getpid(), 0, 0, 0, 0, 0),
        "kill": lambda: os.kill(os.getpid(), 0),
        "write here": write_here,
        "new code": lambda: mmap.mmap(-1, 4096, prot=_EXEC_ONLY).close(),
        "thread": thread,
        "fork": fork,
        "exec": execute,
        # The last one: who is traced stops at every signal from then on.
        "trace": lambda: system_call("ptrace", 0, 0, 0, 0),
    }


def main() -> None:
    profile, landlock, port, *files = sys.argv[1:]
    made = socket.socket()
    tried = attempts(made, int(port), files)
    found = {}
    enter(profile, landlock=landlock == "landlock")
    for name, attempt in tried.items():
        found[name] = "done"
        try:
            attempt()
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno or 0, str(error))
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(found).encode())


if __name__ == "__main__":
    main()
