"""The reader's side of the link: start it, exchange frames with it, and see it off.

Runs in the reader, which has no network: the link is another process, reached by one AF_UNIX socket.
systemd starts it, for each connection to the link's socket, or the launcher (launcher.py), or a process
that still has its network itself, each with a socket pair and an environment of its own. No threads:
everything waits in `poll`, with a limit.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from keycensus_agent.config import Config
from keycensus_agent.errors import LinkError
from keycensus_agent.isolation.evidence import Enforced, enforced
from keycensus_agent.relay import (
    HEADER_BYTES,
    FrameKind,
    closed_payload,
    decode_header,
    encode_frame,
)
from keycensus_agent.text import safe_path

# What of our environment the link may know: its way out, and how to show text.
_KEPT_VARIABLES = frozenset(
    {
        "grpc_proxy",
        "http_proxy",
        "https_proxy",
        "no_grpc_proxy",
        "no_proxy",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "NO_COLOR",
        "PATH",
        "TZ",
    }
)
_PIECE_BYTES = 1 << 16
# A link that takes nothing for so long is stuck: keepalive (80 s) would have ended a dead stream.
_SEND_TIMEOUT_SECONDS = 120.0
# How long a link that was told to leave may take, then how long one that was terminated.
_LEAVE_SECONDS = 2.0
_TERMINATE_SECONDS = 1.0
# systemd answers at once; a full queue of its socket means that it starts nothing any more.
_CONNECT_SECONDS = 10.0
_UNIT = "keycensus-agent-link"
_SPAWNED_ENDED = "the link process ended unexpectedly"
_SYSTEMDS_ENDED = (
    f"the link that systemd started ended without a word: `journalctl -u '{_UNIT}@*'` says why"
)


@dataclass(frozen=True, slots=True)
class LinkArguments:
    """What a link is started with; `address` ("host:port", or empty) and `proxy` as configured."""

    identity_directory: Path
    address: str = ""
    proxy: str = field(default="", repr=False)
    log_format: str = "auto"
    log_level: str = "info"


def link_arguments(config: Config) -> LinkArguments:
    """Return what the configuration says of links."""
    return LinkArguments(
        config.identity_directory,
        config.collector.address,
        config.collector.proxy,
        config.log.format,
        config.log.level,
    )


class LinkProcess(Protocol):
    """A link, whoever its parent is."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def see_off(self) -> None:
        """Wait for its end: it is ended if it does not end by itself soon."""


class SpawnedLink:
    """A link that is this process's child."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def see_off(self) -> None:
        """Reap it: after 2 s by SIGTERM, after another by SIGKILL."""
        for wait, end in (
            (_LEAVE_SECONDS, self._process.terminate),
            (_TERMINATE_SECONDS, self._process.kill),
        ):
            try:
                self._process.wait(wait)
            except subprocess.TimeoutExpired:
                end()
        self._process.wait()


class Connection:
    """Our end of a link's socket, and the link process if it is our child and not systemd's."""

    def __init__(self, process: LinkProcess | None, connection: socket.socket) -> None:
        self._process = process
        self._socket = connection
        self._socket.setblocking(False)
        self._inbound = bytearray()
        self._frames: deque[tuple[FrameKind, bytes]] = deque()
        self._closed: bytes | None = None
        # What held the link when it said OPEN; None before.
        self.enforced: Enforced | None = None

    @property
    def pid(self) -> int:
        """The link's process id, 0 if it is systemd's."""
        return self._process.pid if self._process else 0

    def fileno(self) -> int:
        """Return the descriptor to poll; when it is readable, call `receive(0)` until None."""
        return self._socket.fileno()

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Hand a frame to the link, waiting for as long as it is slow.

        Frames that arrive meanwhile are kept for `receive`, so that two full sockets can't wait for
        each other. LinkError if the link is gone or stuck; `receive` then says why. ValueError if
        the payload is over the limit.
        """
        rest = memoryview(encode_frame(kind, payload))
        until = time.monotonic() + _SEND_TIMEOUT_SECONDS
        while rest:
            if self._closed is not None:
                raise LinkError("the link has ended")
            ready = self._poll(select.POLLIN | select.POLLOUT, until - time.monotonic())
            if not ready:
                raise LinkError("the link takes no more messages")
            if ready & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._take()
            if ready & select.POLLOUT:
                rest = rest[self._push(rest) :]

    def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
        """Return the next frame, or None after `timeout` seconds.

        A link that ends without a word gives a CLOSED frame of reason "stopped", made here. CLOSED
        is the last frame, and is returned again by every further call.
        """
        until = time.monotonic() + timeout
        while not self._frames:
            if self._closed is not None:
                return FrameKind.CLOSED, self._closed
            if not self._poll(select.POLLIN, until - time.monotonic()):
                return None
            self._take()
        return self._frames.popleft()

    def close(self) -> None:
        """End the link process, and wait for its end.

        One that is systemd's ends by itself, since its connection has ended.
        """
        self._socket.close()
        if self._process is not None:
            self._process.see_off()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poll(self, events: int, timeout: float) -> int:
        poll = select.poll()
        poll.register(self._socket, events)
        found = poll.poll(max(0.0, timeout) * 1000)
        return found[0][1] if found else 0

    def _push(self, data: memoryview) -> int:
        try:
            return self._socket.send(data[:_PIECE_BYTES])
        except BlockingIOError:
            return 0
        except OSError:
            # It is gone; what it said last is still there to be read.
            while self._closed is None:
                self._take()
            return 0

    def _take(self) -> None:
        """Read what is there into frames."""
        try:
            piece = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._end_without_a_word()
            return
        self._inbound += piece
        try:
            self._cut_frames()
        except ValueError as error:
            self._closed = closed_payload("protocol", f"the link sent what is no frame: {error}")

    def _cut_frames(self) -> None:
        while len(self._inbound) >= HEADER_BYTES:
            kind, length = decode_header(bytes(self._inbound[:HEADER_BYTES]))
            end = HEADER_BYTES + length
            if len(self._inbound) < end:
                return
            payload = bytes(self._inbound[HEADER_BYTES:end])
            del self._inbound[:end]
            if kind is FrameKind.CLOSED:
                self._closed = payload
                return
            if kind is FrameKind.OPEN:
                self._see_what_holds_it(payload)
            self._frames.append((kind, payload))

    def _see_what_holds_it(self, opened: bytes) -> None:
        """Look at our own link; one that is systemd's has no process that we know of."""
        if self._process is not None:
            self.enforced = enforced(self._process.pid, landlock=_landlock(opened))

    def _end_without_a_word(self) -> None:
        if self._closed is None:
            text = _SPAWNED_ENDED if self._process else _SYSTEMDS_ENDED
            self._closed = closed_payload("stopped", text)


class LinkClient:
    """Starts link processes, or has systemd start them."""

    @staticmethod
    def connect(path: Path) -> Connection:
        """Connect to the socket for which systemd starts a link, and return our end.

        That link reads the configuration by itself. LinkError if there is no socket, or nobody
        listens at it, or this user may not connect.
        """
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.settimeout(_CONNECT_SECONDS)
        try:
            ours.connect(os.fspath(path))
        except OSError as error:
            ours.close()
            raise LinkError(_no_link(path, error)) from error
        return Connection(None, ours)

    @staticmethod
    def spawn(
        identity_directory: Path,
        address: str = "",
        *,
        proxy: str = "",
        log_format: str = "auto",
        log_level: str = "info",
    ) -> Connection:
        """Start a link for one connection and return our end; OPEN or CLOSED comes as a frame.

        The arguments are those of LinkArguments. LinkError if the process can't be started.
        """
        settings = LinkArguments(identity_directory, address, proxy, log_format, log_level)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            process = spawn(settings, theirs.fileno())
        except LinkError:
            ours.close()
            raise
        finally:
            theirs.close()
        return Connection(SpawnedLink(process), ours)


def spawn(settings: LinkArguments, descriptor: int) -> subprocess.Popen[bytes]:
    """Start the link's program with its end of a socket pair; LinkError if that fails."""
    command = [sys.executable, "-I", "-B", "-m", "keycensus_agent.link", "--fd", str(descriptor)]
    command += ["--identity", str(settings.identity_directory.absolute())]
    command += ["--address", settings.address]
    command += ["--log-format", settings.log_format, "--log-level", settings.log_level]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env=_environment(os.environ, settings.proxy),
            cwd="/",
        )
    except OSError as error:
        raise LinkError(f"the link process can't be started: {error.strerror}") from error


def _environment(own: Mapping[str, str], proxy: str) -> dict[str, str]:
    kept = {name: value for name, value in own.items() if name in _KEPT_VARIABLES}
    return kept | {"GRPC_VERBOSITY": "NONE", "KEYCENSUS_PROXY": proxy}


def _landlock(opened: bytes) -> int:
    """Return the version of Landlock that an OPEN frame names, 0 if it names none."""
    try:
        return int(json.loads(opened)["landlock"])
    except (ValueError, KeyError, TypeError):
        return 0


def _no_link(path: Path, error: OSError) -> str:
    """Return what keeps us from the link's socket, and what to do."""
    shown = safe_path(os.fsencode(path))
    if isinstance(error, PermissionError):
        return (
            f"user {os.geteuid()} may not connect to {shown}: only the agent's service may; "
            f"see SocketUser= in {_UNIT}.socket"
        )
    if isinstance(error, FileNotFoundError):
        what = "is not there"
    elif isinstance(error, ConnectionRefusedError):
        what = "answers nobody"
    else:
        what = f"can't be reached ({error.strerror or error})"
    return (
        f"the link's socket {shown} {what}: `systemctl start {_UNIT}.socket`, and `systemctl "
        f"enable {_UNIT}.socket` for the next boot; without systemd, leave [link] socket out of the "
        "configuration"
    )
