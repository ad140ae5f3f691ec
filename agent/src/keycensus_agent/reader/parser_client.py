"""The reader's side of the parser: starts the child, feeds it, and outlives it.

Reader side. The child parses hostile bytes and may hang, die or lie: it is given a wall-clock limit
per file, a file that ends it twice is reported as such and the others lose nothing, and what it
says is decoded strictly. Pipelined without threads: neither side ever waits for a full pipe. Archives are
not sent but handed over, as a descriptor that is open for reading.

1. `submit` queues a file; files go down the pipe in order, up to a number of bytes in flight.
2. Answers come back in order; each belongs to the oldest file that the child has.
3. If the child ends, the oldest file is the one it was on: it is sent again alone, in a fresh child,
   and the files behind it after that. If it ends that child too, the file gets a status.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from keycensus_agent.descriptors import OpenFile, send_with
from keycensus_agent.errors import ParserError
from keycensus_agent.isolation.evidence import Enforced, enforced
from keycensus_agent.isolation.privileges import spawning
from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser import pipe
from keycensus_agent.reader.passwords import NO_PASSWORDS, PasswordFile
from keycensus_agent.reader.patience import Patience

# What pipes take at once if the kernel lets them: fewer switches between the processes.
_PIPE_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024
_EXIT_SECONDS = 2.0
# With a process number it names that process's clock of processor time, as clock_getcpuclockid(3) does.
_CPU_CLOCK = 2
# What an archive counts among the bytes in flight: so few are open at a time.
_ARCHIVE_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """Bounds on the child. Seconds are wall-clock; the child bounds its own processor time."""

    bytes_in_flight: int = 8 * 1024 * 1024
    # Longer than the child's own limit of processor time, and begun anew while it works, so that a busy
    # machine is not blamed on the file.
    seconds_per_file: float = 30.0
    # Likewise, of an archive.
    seconds_per_archive: float = 90.0
    start_seconds: float = 30.0
    strikes: int = 2


@dataclass(slots=True, repr=False)
class _Job:
    ticket: int
    request: pipe.ParseRequest
    archive: OpenFile | None = None
    strikes: int = 0

    @property
    def weight(self) -> int:
        """What it counts among the bytes in flight."""
        return len(self.request.data) if self.archive is None else _ARCHIVE_BYTES


class _Child:
    """One parser process with its channels and what is half read and half written."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.stdin, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with spawning(command[0], __file__), theirs:
                self.process: subprocess.Popen[bytes] = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    cwd="/",
                    env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
                )
        except OSError as error:
            self.stdin.close()
            raise ParserError(f"can't start the parser {command[0]}: {error.strerror}") from error
        if self.process.stdout is None:
            raise ParserError("the parser was started without its pipe")
        self.stdout = self.process.stdout
        # It answers on its pipe; here it has nothing to say.
        self.stdin.shutdown(socket.SHUT_RD)
        self.stdin.setblocking(False)
        self.stdin.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_BYTES)
        os.set_blocking(self.stdout.fileno(), False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.ready = False
        # Bytes to send, and what descriptor goes with the first of them.
        self.output: deque[tuple[memoryview, int | None]] = deque()
        self.input = bytearray()

    def send(self, job: _Job) -> None:
        head, data = pipe.encode_request(job.request)
        descriptor = job.archive.descriptor if job.archive is not None else None
        self.output.append((memoryview(head), descriptor))
        if data:
            self.output.append((memoryview(data), None))

    def write(self) -> None:
        """Write as much as the socket takes; ConnectionError if the child is gone."""
        while self.output:
            data, descriptor = self.output[0]
            try:
                written = send_with(self.stdin, data, descriptor)
            except BlockingIOError:
                return
            if written == len(data):
                self.output.popleft()
            else:
                self.output[0] = (data[written:], None)

    def read(self) -> bool:
        """Read what there is; false at the end of the stream."""
        try:
            piece = os.read(self.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        self.input += piece
        return bool(piece)

    def next_answer(self) -> tuple[bytes, bytes] | None:
        """Take one whole frame from what was read: header and attachments."""
        if len(self.input) < pipe.PREFIX_BYTES:
            return None
        header_size, attachment_size = pipe.frame_sizes(bytes(self.input[: pipe.PREFIX_BYTES]))
        middle = pipe.PREFIX_BYTES + header_size
        end = middle + attachment_size
        if len(self.input) < end:
            return None
        with memoryview(self.input) as view:
            frame = bytes(view[pipe.PREFIX_BYTES : middle]), bytes(view[middle:end])
        del self.input[:end]
        return frame

    def end(self, *, kill: bool) -> int:
        """End the process, and return its status as `Popen.returncode`."""
        if kill:
            self.process.kill()
        self.stdin.close()
        self.stdout.close()
        try:
            return self.process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class ParserClient:
    """Parses files in a child process. Not for several threads.

    `passwords` gives the candidates for each path; `details` asks for what people want to see.
    `command` and `clock` (seconds, monotonic) are for tests.
    """

    def __init__(
        self,
        limits: ParserLimits | None = None,
        *,
        passwords: PasswordFile | None = None,
        details: bool = False,
        command: tuple[str, ...] = (sys.executable, "-I", "-B", "-m", "keycensus_agent.parser"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits or ParserLimits()
        self._passwords = passwords or NO_PASSWORDS
        self._details = details
        self._command = command
        self._patience = Patience(clock)
        self._child: _Child | None = None
        self._waiting: deque[_Job] = deque()
        self._sent: deque[_Job] = deque()
        self._done: list[tuple[int, Parsed]] = []
        self._bytes = 0
        self._number = 0
        self._failed_starts = 0
        # What held the last child that said it was ready; None before there was one.
        self.enforced: Enforced | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def in_flight(self) -> int:
        """Number of files submitted whose result was not handed out yet."""
        return len(self._waiting) + len(self._sent) + len(self._done)

    def submit(self, ticket: int, data: bytes, name: bytes) -> None:
        """Queue the bytes of the file at path `name`; its result comes with `ticket`.

        Waits while too many bytes are in flight. ParserError if the child can't be started.
        """
        while self._bytes and self._bytes + len(data) > self._limits.bytes_in_flight:
            self._step(wait=True)
        self._submit(ticket, self._request(name, data, None), None)

    def submit_archive(self, ticket: int, archive: OpenFile, name: bytes) -> None:
        """Queue an archive that is open for reading, to stay open until its result is there.

        Else as `submit`.
        """
        while self._bytes and self._bytes + _ARCHIVE_BYTES > self._limits.bytes_in_flight:
            self._step(wait=True)
        self._submit(ticket, self._request(name, b"", archive.size), archive)

    def _request(self, name: bytes, data: bytes, archive_size: int | None) -> pipe.ParseRequest:
        self._number += 1
        passwords = self._passwords.passwords_for(name)
        return pipe.ParseRequest(name, data, passwords, self._details, self._number, archive_size)

    def _submit(self, ticket: int, request: pipe.ParseRequest, archive: OpenFile | None) -> None:
        job = _Job(ticket, request, archive)
        self._waiting.append(job)
        self._bytes += job.weight
        # What it answers is taken by `results`, or when there is no room left.
        child = self._started()
        self._feed(child)
        self._write(child)

    def results(self, *, wait: bool) -> list[tuple[int, Parsed]]:
        """Return the results that are there, oldest first.

        With `wait`, at least one if any file is in flight. ParserError as `submit`.
        """
        self._step(wait=False)
        while wait and not self._done and (self._waiting or self._sent):
            self._step(wait=True)
        done, self._done = self._done, []
        return done

    @property
    def running(self) -> bool:
        """Whether there is a child."""
        return self._child is not None

    def use_passwords(self, passwords: PasswordFile) -> None:
        """Take the candidates of files that are submitted from now on from `passwords`."""
        self._passwords = passwords

    def cpu_seconds(self) -> float:
        """Return the processor time of the child so far; 0 if there is none."""
        if self._child is None:
            return 0.0
        try:
            return time.clock_gettime(~self._child.process.pid << 3 | _CPU_CLOCK)
        except OSError:
            return 0.0

    def close(self) -> None:
        """End the child at once. What is still in flight is forgotten."""
        busy = bool(self._waiting or self._sent)
        if self._child:
            self._child.end(kill=busy)
            self._child = None
        self._waiting.clear()
        self._sent.clear()
        self._done.clear()
        self._bytes = 0

    def _step(self, *, wait: bool) -> None:
        """Move bytes in both directions, once; with `wait`, after something can be moved."""
        if not self._waiting and not self._sent:
            return
        child = self._started()
        self._feed(child)
        self._exchange(child, wait=wait)

    def _started(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._command)
            self._patience.restart(0.0)
        return self._child

    def _write(self, child: _Child) -> None:
        try:
            child.write()
        except ConnectionError:
            # The child is gone; what it still said is in the other pipe.
            child.output.clear()

    def _feed(self, child: _Child) -> None:
        """Hand waiting files to the child; one that ended a child before goes alone."""
        while self._waiting:
            job = self._waiting[0]
            alone = job.strikes or (self._sent and self._sent[0].strikes)
            if self._sent and alone:
                return
            if not self._sent and child.ready:
                self._patience.restart(self.cpu_seconds())
            self._sent.append(self._waiting.popleft())
            child.send(job)

    def _exchange(self, child: _Child, *, wait: bool) -> None:
        seconds = self._seconds(child)
        left = self._patience.left(seconds)
        # Trying to read and write costs less than asking whether one could.
        reading, writing = _wait_for(child, left) if wait and left > 0 else (True, True)
        if writing:
            self._write(child)
        if not reading:
            return
        # Who was asleep for long finds answers that came in time.
        alive = child.read()
        try:
            answered = self._take_answers(child)
        except pipe.FrameError:
            self._ended(child, "crash")
            return
        if not alive:
            self._ended(child, "")
        elif answered:
            self._patience.restart(self.cpu_seconds())
        elif left <= 0 and not self._patience.extend(seconds, self.cpu_seconds()):
            self._ended(child, "limit-time")

    def _seconds(self, child: _Child) -> float:
        """Return how long the child may take for what it is at."""
        limits = self._limits
        if not child.ready:
            return limits.start_seconds
        is_archive = self._sent and self._sent[0].archive is not None
        return limits.seconds_per_archive if is_archive else limits.seconds_per_file

    def _take_answers(self, child: _Child) -> bool:
        """Take what the child has answered; tell whether it has."""
        answered = False
        while frame := child.next_answer():
            answered = True
            answer = pipe.decode_answer(*frame)
            if answer is None:
                if not child.ready:
                    # It has read no file yet: its own word still counts.
                    landlock = pipe.decode_ready(frame[0])
                    self.enforced = enforced(child.process.pid, landlock=landlock)
                child.ready = True
                self._failed_starts = 0
                continue
            number, parsed = answer
            if not self._sent or self._sent[0].request.number != number:
                raise pipe.FrameError("an answer to nothing")
            self._finish(self._sent.popleft(), parsed)
        return answered

    def _finish(self, job: _Job, parsed: Parsed) -> None:
        self._bytes -= job.weight
        self._done.append((job.ticket, parsed))

    def _ended(self, child: _Child, reason: str) -> None:
        """Deal with a child that ended or must end: judge the file it was on, keep the others."""
        status = child.end(kill=bool(reason))
        self._child = None
        if not child.ready:
            self._failed_starts += 1
            if self._failed_starts >= self._limits.strikes:
                raise ParserError(
                    f"the parser does not start (status {status}): "
                    f"run `{' '.join(self._command)}` to see why"
                )
        elif self._sent:
            culprit = self._sent[0]
            culprit.strikes += 1
            if culprit.strikes >= self._limits.strikes:
                self._sent.popleft()
                outcome = Parsed("", Status.MALFORMED, reason or _reason(status))
                self._finish(culprit, outcome)
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()


def _wait_for(child: _Child, seconds: float) -> tuple[bool, bool]:
    """Return whether the child can be read from and written to, waiting at most so long."""
    with selectors.PollSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if child.output:
            selector.register(child.stdin, selectors.EVENT_WRITE)
        ready = {key.fileobj for key, _ in selector.select(seconds)}
    return child.stdout in ready, child.stdin in ready


def _reason(status: int) -> str:
    """Return the stable word for how a child ended."""
    if status == pipe.OUT_OF_MEMORY:
        return "limit-memory"
    return "limit-cpu" if status == -signal.SIGXCPU else "crash"
