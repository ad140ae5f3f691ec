"""The parent's side of the limited child: start it, ask it, and replace it when it dies.

Runs in the collector, in a thread. A blob that ends the child twice is answered with facts that say
so ("crash", or "limit" for time and memory), and is not tried again under this catalogue version.
A child that can't be started, for instance because memory or processes ran out, says nothing about a
blob: whoever asked gets an error and asks again later.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any, Self

from keycensus_collector.catalogue.child import LIST_BYTES, MEMORY_STATUS, PART_LIMIT
from keycensus_collector.catalogue.facts import Facts, RevocationListFacts, RevokedEntry
from keycensus_collector.catalogue.parse import CAPS, unread
from keycensus_collector.catalogue.wire import (
    WireError,
    encode_frame,
    entries_from_json,
    facts_from_json,
    read_frame,
)

# Wall-clock limit for a child to say that it is ready; generous, since many things start at once with
# a machine.
START_SECONDS = 60.0
# Wall-clock limit for one request; longer than the child's processor limit on an idle machine.
SECONDS = 10.0
# The same for a long revocation list.
LIST_SECONDS = 120.0
_ATTEMPTS = 2
_PROBLEM_CHARACTERS = 200
_LIMIT_STATUSES = {MEMORY_STATUS, -signal.SIGXCPU, -signal.SIGKILL}
COMMAND = (sys.executable, "-I", "-m", "keycensus_collector.catalogue")


class ParserUnavailableError(Exception):
    """No child can be had now: it does not start, or the parser was closed."""


class ListLostError(Exception):
    """The entries of a revocation list ended before their end."""


class _ChildLostError(Exception):
    """The child died, hung or spoke nonsense; `problem` is the word for it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class CatalogueParser:
    """Parses and verifies in one child at a time, started when first needed. Thread-safe.

    `command` and the limits in seconds are what tests change; the command gets a socket as standard
    input. Every question raises ParserUnavailableError if there is no child to ask.
    """

    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        seconds: float = SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._command = tuple(command)
        self._seconds = seconds
        self._start_seconds = start_seconds
        self._closed = False
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.lost = 0  # children that did not end by themselves

    def parse(self, kind: int, data: bytes) -> Facts:
        """Return what the blob of `kind` (BlobKind's value) says, or why that is not known."""
        if len(data) > CAPS[kind]:
            return unread(kind, f"too big: {len(data)} bytes where {CAPS[kind]} are read")
        try:
            return facts_from_json(self._ask({"do": "parse", "kind": kind}, data)["facts"])
        except _ChildLostError as error:
            return unread(kind, error.problem)
        except (WireError, KeyError):
            return unread(kind, "crash")

    def are_issued(
        self, certificates: Sequence[bytes], pairs: Sequence[tuple[int, int]]
    ) -> list[bool | None]:
        """Return whether a certificate signed another, for each (child, parent) as places in the list.

        None if that can't be told. If all together kill the child, each pair is asked by itself.
        """
        try:
            issued = self._ask({"do": "verify", "pairs": pairs}, *certificates).get("issued")
        except _ChildLostError:
            issued = None
        if isinstance(issued, list) and len(issued) == len(pairs):
            return [verdict if isinstance(verdict, bool) else None for verdict in issued]
        if len(pairs) <= 1:
            return [None] * len(pairs)
        alone = [
            self.are_issued([certificates[child], certificates[parent]], [(0, 1)])
            for child, parent in pairs
        ]
        return [verdict for verdicts in alone for verdict in verdicts]

    def read_list(
        self, data: bytes, signers: Sequence[bytes]
    ) -> tuple[RevocationListFacts, list[bool | None]]:
        """Return what a revocation list says, and whether each of these certificates signed it."""
        nobody: list[bool | None] = [None] * len(signers)
        if len(data) > LIST_BYTES:
            text = f"too big: {len(data)} bytes where {LIST_BYTES} are read"
            return RevocationListFacts(problem=text, unusable=text), nobody
        try:
            answer = self._ask({"do": "list"}, data, *signers, seconds=LIST_SECONDS)
            facts, signed = facts_from_json(answer["facts"]), answer["signed"]
        except _ChildLostError as error:
            return RevocationListFacts(problem=error.problem, unusable=error.problem), nobody
        except (WireError, KeyError):
            return RevocationListFacts(problem="crash", unusable="crash"), nobody
        if not isinstance(facts, RevocationListFacts) or len(signed) != len(signers):
            return RevocationListFacts(problem="crash", unusable="crash"), nobody
        return facts, [verdict if isinstance(verdict, bool) else None for verdict in signed]

    def split(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return the certificates and revocation lists in DER, by kind; ValueError says what is wrong."""
        try:
            answer = self._ask({"do": "split"}, data, seconds=LIST_SECONDS)
        except _ChildLostError as error:
            raise ValueError(f"reading it ended by {error.problem}") from None
        if "problem" in answer:
            raise ValueError(str(answer["problem"])[:_PROBLEM_CHARACTERS])
        return [
            (str(kind), data[int(start) : int(end)]) for kind, start, end in answer.get("spans", [])
        ]

    def entries_of(self, data: bytes) -> Generator[list[RevokedEntry], None, None]:
        """Yield the entries of a revocation list in pieces; ListLostError if that ends before its end."""
        with self._lock:
            connection = self._socket or self._start_child()
            finished = False
            try:
                frame = self._exchange(
                    connection, encode_frame({"do": "entries"}, (data,)), LIST_SECONDS
                )
                while "end" not in frame:
                    yield entries_from_json(frame["entries"])
                    frame = _receive_frame(connection, time.monotonic() + LIST_SECONDS)
                finished = True
            except (OSError, EOFError, WireError, KeyError) as error:
                self._check_open()
                raise ListLostError(str(error)) from None
            finally:
                if not finished:
                    self.lost += 1
                    self._end_child()

    def close(self) -> None:
        """Kill the child, for good, without waiting for whoever asks it just now: they get an error."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
        # Else the one who asks does the rest, see `_ask`.
        if self._lock.acquire(blocking=False):
            try:
                self._end_child()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, request: dict[str, Any], *parts: bytes, seconds: float | None = None
    ) -> dict[str, Any]:
        frame = encode_frame(request, parts)
        try:
            with self._lock:
                return self._ask_twice(frame, seconds or self._seconds)
        finally:
            if self._closed:
                self.close()

    def _ask_twice(self, frame: bytes, seconds: float) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            connection = self._socket or self._start_child()
            try:
                return self._exchange(connection, frame, seconds)
            except (OSError, EOFError, WireError) as error:
                self._check_open()
                problem = self._lose_child(error)
                if attempt == _ATTEMPTS:
                    raise _ChildLostError(problem) from None
        raise AssertionError

    def _exchange(self, connection: socket.socket, frame: bytes, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        connection.settimeout(seconds)
        connection.sendall(frame)
        return _receive_frame(connection, deadline)

    def _check_open(self) -> None:
        if self._closed:
            raise ParserUnavailableError("the parser was closed")

    def _start_child(self) -> socket.socket:
        """Start the child and wait until it says that it is ready; return the socket to it."""
        try:
            connection = self._launch()
            _receive_frame(connection, time.monotonic() + self._start_seconds)
        except (OSError, EOFError, WireError) as error:
            self._end_child()
            self._check_open()
            raise ParserUnavailableError(
                "the process that parses certificates does not start "
                f"({error}); see that memory and processes are left"
            ) from error
        return connection

    def _launch(self) -> socket.socket:
        self._check_open()
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            self._child = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,  # a Ctrl-C at the terminal is the parent's to handle
            )
        if self._closed:  # meanwhile: `close` may not have seen this child
            self._child.kill()
        return ours

    def _lose_child(self, error: Exception) -> str:
        """Put the broken child away; return "limit" or "crash"."""
        self.lost += 1
        status = self._end_child()
        return "limit" if isinstance(error, TimeoutError) or status in _LIMIT_STATUSES else "crash"

    def _end_child(self) -> int | None:
        """Close the socket, which ends a healthy child; kill one that stays. Return its status."""
        child, self._child = self._child, None
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if child is None:
            return None
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def _receive_frame(connection: socket.socket, deadline: float) -> dict[str, Any]:
    def read(count: int) -> bytes:
        return _receive(connection, count, deadline)

    return read_frame(read, PART_LIMIT)[0]


def _receive(connection: socket.socket, count: int, deadline: float) -> bytes:
    received = bytearray()
    while len(received) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        piece = connection.recv(min(count - len(received), 1 << 18))
        if not piece:
            raise EOFError("it ended")
        received += piece
    return bytes(received)
