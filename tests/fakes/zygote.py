"""Processes of our commands without the second that each spends on its imports.

    zygote = zygote_of("keycensus_collector")
    done = zygote.run("token", "create", "--config", file)
    process = zygote.start("serve", "--config", file, stdout=log)

A zygote is a process that has imported a distribution and waits. Asked for a command line, it forks; the
child runs what `python -m` runs, with the arguments, environment and files it is given. It is a process
like any other, to be sent signals and killed. What it does not do is start: where a test is about an
interpreter, a preloaded library, a failpoint (read by an import) or the start itself, it runs the command.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# What a command imports only when it needs it, beside its own modules.
_LATE = {
    "keycensus_collector": (
        "keycensus_proto.v1.enrolment_pb2_grpc",
        "keycensus_proto.v1.report_pb2_grpc",
        "logging.config",
        "sqlalchemy.dialects.sqlite",
        "uvicorn.lifespan.on",
        "uvicorn.loops.asyncio",
        "uvicorn.protocols.http.h11_impl",
    ),
    "keycensus_client": ("encodings.idna", "httpx", "rich.table"),
}
_REQUEST_BYTES = 1 << 20


class ForkedProcess:
    """A process that a zygote forked: what tests ask of a `subprocess.Popen`."""

    def __init__(self, status: int) -> None:
        self._status = status
        told = os.read(status, 20)
        assert told, "the zygote has ended; it said why on standard error"
        self.pid = int(told)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or minus the signal, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; subprocess.TimeoutExpired if that takes too long."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            told = os.read(self._status, 20)
            assert told, f"who waits for process {self.pid} was killed"
            self.returncode = int(told)
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Request:
    """A command line, and where it runs; its standard files come beside it."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str


class Zygote:
    """A running zygote of one distribution; ends with the process that made it."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, package, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            # gRPC reads its own when it is imported; the collector's command says so before that.
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "GRPC_VERBOSITY": "NONE"},
        )
        theirs.close()

    def start(
        self,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ForkedProcess:
        """Start a command line; files that are not given are /dev/null."""
        request = _Request(
            arguments, dict(os.environ if environment is None else environment), str(Path.cwd())
        )
        status, theirs = os.pipe()
        with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 - no path, a device
            files = [(file or nothing).fileno() for file in (stdin, stdout, stderr)]
            socket.send_fds(self._socket, [_encoded(request)], [*files, theirs])
        os.close(theirs)
        return ForkedProcess(status)

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end."""
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin.encode())
            given.seek(0)
            process = self.start(
                *arguments, stdin=given, stdout=out, stderr=err, environment=environment
            )
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            return subprocess.CompletedProcess(
                [self._package, *arguments], status, _text(out), _text(err)
            )

    def close(self) -> None:
        """End it; what it forked goes on."""
        self._socket.close()
        self._process.wait()


@functools.cache
def zygote_of(package: str) -> Zygote:
    """Return this process's zygote of a distribution, which starts when it is first asked for."""
    zygote = Zygote(package)
    atexit.register(zygote.close)
    return zygote


def _encoded(request: _Request) -> bytes:
    return json.dumps([request.arguments, request.environment, request.directory]).encode()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


# --- in the zygote ------------------------------------------------------------------------------


def _main() -> None:
    package, fd = sys.argv[1], int(sys.argv[2])
    _import_all(package)
    with socket.socket(fileno=fd) as ours:
        while received := _receive(ours):
            request, files = received
            if os.fork() == 0:
                break
            for file in files:
                os.close(file)
            _reap()
        else:
            return
    _become(package, request, files)


def _import_all(package: str) -> None:
    """Import a distribution's modules, and what they import late."""
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    for name in _LATE[package]:
        importlib.import_module(name)
    # Else the first collection in a child writes to, and so copies, all of it.
    gc.freeze()


def _receive(ours: socket.socket) -> tuple[_Request, list[int]] | None:
    """Wait for a request and its four files; nothing when the test process is gone."""
    text, files, _, _ = socket.recv_fds(ours, _REQUEST_BYTES, 4)
    if not text:
        return None
    arguments, environment, directory = json.loads(text)
    return _Request(tuple(arguments), environment, directory), files


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(package: str, request: _Request, files: list[int]) -> None:
    """Fork once more: the parent tells pid and exit status, the child becomes the command."""
    *standard, status = files
    child = os.fork()
    if child:
        os.write(status, b"%-20d" % child)
        _, ended = os.waitpid(child, 0)
        os.write(status, b"%-20d" % os.waitstatus_to_exitcode(ended))
        os._exit(0)
    os.close(status)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv[1:] = request.arguments
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
