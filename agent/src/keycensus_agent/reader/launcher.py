"""Who starts links for a reader that has given up the network: a process forked before it did.

A filter on system calls is inherited, so a reader without network can't start a link that has one.
Without systemd (which starts links by itself) `run` forks this process first, as long as it has read
nothing but the configuration, so that there is nothing of a host's in it; it shares the reader's
memory until one of them writes, which keeps an idle agent small. Links are still programs, started by exec.

The reader asks for a link and hands over one end of a socket pair; it can't say whose identity or
which address: that, the launcher takes from the configuration itself. It ends with the reader, and
ends a link that outlives its conversation. When the launcher itself is killed, the link at work
ends its conversation; the reader can't start another launcher, says so, and leaves.

    reader → launcher   "start" with one descriptor, "stop", "reload"
    launcher → reader   "started PID", "failed TEXT"; "stopped" after "stop"
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from keycensus_agent.errors import ConfigurationError, LauncherError, LinkError
from keycensus_agent.reader.link_client import Connection, LinkArguments, SpawnedLink, spawn

_MESSAGE_BYTES = 4096
# To start a process, or to see one off, which has limits of its own.
_ANSWER_SECONDS = 15.0


class Launcher:
    """The reader's end."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control

    @classmethod
    def start(cls, settings: Callable[[], LinkArguments]) -> Self:
        """Fork the launcher; `settings` is asked there, for what links are started with.

        To be called with one thread, before the network is given up and before anything is read
        that the process with network must not have.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What is still to be printed is printed once; a stream may have been closed at birth.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            # Whatever happens, this process never goes on as a second reader.
            try:
                ours.close()
                _run(theirs, settings)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        return cls(pid, ours)

    def open(self) -> Connection:
        """Start a link and return our end of its socket.

        LinkError if it can't be started, LauncherError if the launcher is gone.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            answer = self._ask(b"start", theirs.fileno())
        except LauncherError:
            ours.close()
            raise
        finally:
            theirs.close()
        word, _, rest = answer.decode("utf-8", "replace").partition(" ")
        if word != "started":
            ours.close()
            raise LinkError(rest)
        return Connection(_LaunchedLink(int(rest), self), ours)

    def reload(self) -> None:
        """Have it read the configuration again; mistakes leave it with the old one."""
        with suppress(OSError):
            self._control.send(b"reload")

    def close(self) -> None:
        """End the launcher, and the link that it may still have."""
        self._control.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def see_off(self) -> None:
        """Wait until the link has ended; it is ended if it does not by itself."""
        with suppress(LauncherError):
            self._ask(b"stop")

    def _ask(self, message: bytes, *descriptors: int) -> bytes:
        try:
            socket.send_fds(self._control, [message], descriptors)
            ready, _, _ = select.select([self._control], [], [], _ANSWER_SECONDS)
            answer = self._control.recv(_MESSAGE_BYTES) if ready else b""
        except OSError:
            answer = b""
        if not answer:
            raise LauncherError(
                "the process that starts links has ended, and this one has given up the network "
                "and can't start another: start the agent again (a supervisor does so by itself). "
                "What was not reported waits."
            )
        return answer


class _LaunchedLink:
    """A link that is the launcher's child."""

    def __init__(self, pid: int, launcher: Launcher) -> None:
        self.pid = pid
        self._launcher = launcher

    def see_off(self) -> None:
        self._launcher.see_off()


# --- the launcher's own end ---------------------------------------------------------------------


def _run(control: socket.socket, settings: Callable[[], LinkArguments]) -> None:
    """Serve the reader until it is gone."""
    from keycensus_agent.isolation.profiles import enter_launcher

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A terminal's and a service manager's signals come to all processes; this one leaves when
        # the reader has, who may still have something to report. Not ignored: links would be born so.
        signal.signal(number, _pass_over)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    os.close(null)
    enter_launcher()
    current = settings()
    link: SpawnedLink | None = None
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 1)
        except OSError:
            message, descriptors = b"", []
        if message == b"reload":
            with suppress(ConfigurationError):
                current = settings()
            continue
        if link is not None:
            link.see_off()
            link = None
        if message == b"start" and descriptors:
            link = _start(control, current, descriptors[0])
        elif message == b"stop":
            control.send(b"stopped")
        else:
            return


def _start(control: socket.socket, settings: LinkArguments, descriptor: int) -> SpawnedLink | None:
    """Start a link with that descriptor, and tell the reader; None if that failed."""
    try:
        link = SpawnedLink(spawn(settings, descriptor))
    except LinkError as error:
        control.send(f"failed {error}".encode()[:_MESSAGE_BYTES])
        return None
    finally:
        os.close(descriptor)
    control.send(f"started {link.pid}".encode())
    return link


def _pass_over(_number: int, _frame: object) -> None:
    """Take a signal that is meant for the reader."""
