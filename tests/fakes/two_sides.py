"""One agent's state and one collector's store, both real, joined without network: for fault tests.

`Host` has a disk that is a dict, and sweeps it as the agent does; `Counter` serves its conversations
with intake over a real database. Either side can be copied, lost and brought back from a copy, and
a conversation can be cut anywhere. `Oracle` knows what was ever true (FAULTS.md, I1 to I4, I7).
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fakes.agent_stream import Desk, FakeAgent, MemoryLine, file_of
from sqlalchemy import select

from keycensus_agent.errors import LinkError
from keycensus_agent.model import (
    Blob,
    BlobKind,
    FileFacts,
    Gap,
    Place,
    Status,
)
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.reconcile import suspect
from keycensus_agent.reader.report.sync import Circumstances, Conversation, Outcome
from keycensus_agent.reader.state import State
from keycensus_agent.relay import FrameKind
from keycensus_collector.intake.model import Limits
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import gap, host, place, place_version, session
from keycensus_proto.v1 import report_pb2

DAY_SECONDS = 86_400
MOUNT = b"m" * 16
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a conversation breaks: after so many requests, or before so many-th response.

    `late`: what the agent sent last is still under way, and may arrive when it is long gone.
    """

    requests: int = 1_000_000
    responses: int = 1_000_000
    late: bool = False


NO_CUT = Cut()


class Counter:
    """A collector's store and reporter; `connect` gives a conversation's connection of frames."""

    def __init__(self, directory: Path, empty: Path, limits: Limits | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self._database = directory / "collector.db"
        self._limits = limits or Limits()
        shutil.copy(empty, self._database)
        self._open()
        self.peer = self.desk.enrol("one").peer
        self.late: list[tuple[MemoryLine, report_pb2.ReportRequest]] = []

    def _open(self) -> None:
        self.desk = Desk(Store.open(f"sqlite:///{self._database}"), self._limits)

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        return self.loop.run_until_complete(coroutine)

    def connect(self, cut: Cut = NO_CUT) -> Frames:
        return Frames(self, cut)

    def restart(self) -> None:
        """Forget everything that is not in the store; open streams are gone."""
        self._end_lines()
        self.desk.restart()

    def copy(self, to: Path) -> Path:
        self._closed(lambda: shutil.copy(self._database, to))
        return to

    def restore(self, copy: Path) -> None:
        self._closed(lambda: shutil.copy(copy, self._database))

    def _closed(self, work: Callable[[], object]) -> None:
        self._end_lines()
        clock = self.desk.clock
        self.desk.store.close()
        work()
        self._open()
        self.desk.clock = clock
        self.desk.restart()

    def _end_lines(self) -> None:
        for line, _ in self.late:
            self.run(line.break_off())
        self.late.clear()

    def deliver_late(self) -> None:
        """Let what was under way arrive on its old stream."""
        for line, request in self.late:
            self.run(line.send(request))
            self.run(asyncio.sleep(0.05))
            self.run(line.break_off())
        self.late.clear()

    def close(self) -> None:
        self._end_lines()
        self.desk.store.close()
        self.loop.close()


class Frames:
    """One conversation's connection: the frames of a link, straight into intake."""

    def __init__(self, counter: Counter, cut: Cut) -> None:
        self._counter, self._cut = counter, cut
        self._requests = self._responses = 0
        self._opened = self._broken = False
        self.sent: list[report_pb2.ReportRequest] = []

        async def begin() -> MemoryLine:
            return counter.desk.line(FakeAgent(counter.peer))

        self._line = counter.run(begin())

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        if self._broken:
            raise LinkError("the link has ended")
        if kind is FrameKind.END:
            self._counter.run(self._line.leave())
            return
        request = report_pb2.ReportRequest.FromString(payload)
        self._requests += 1
        if self._requests > self._cut.requests:
            self._break(request)
            raise LinkError("the link has ended")
        self.sent.append(request)
        self._counter.run(self._line.send(request))

    def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
        if not self._opened:
            self._opened = True
            return FrameKind.OPEN, b"{}"
        if self._broken:
            return FrameKind.CLOSED, b'{"reason": "unreachable", "text": "the stream broke"}'
        if timeout == 0.0:
            return None
        answer = self._counter.run(self._line.receive())
        self._responses += 1
        if self._responses > self._cut.responses:
            self._break(None)
            return self.receive(timeout)
        if answer is None:
            return FrameKind.CLOSED, b'{"reason": "done", "text": ""}'
        return FrameKind.MESSAGE, answer.SerializeToString()

    def _break(self, request: report_pb2.ReportRequest | None) -> None:
        self._broken = True
        if self._cut.late and request is not None:
            self._counter.late.append((self._line, request))
        else:
            self._counter.run(self._line.break_off())


class Disk:
    """What is on a host: names and contents, and directories that can't be listed now."""

    def __init__(self) -> None:
        self.files: dict[bytes, bytes] = {}
        self.hidden: set[bytes] = set()
        self.ever: dict[bytes, set[bytes]] = defaultdict(set)  # manifests under each name
        self.removed: set[bytes] = set()

    def write(self, path: bytes, content: bytes) -> None:
        self.files[path] = content
        self.ever[path].add(file_of(content).manifest)

    def remove(self, path: bytes) -> None:
        if self.files.pop(path, None) is not None:
            self.removed.add(path)

    def is_hidden(self, path: bytes) -> bool:
        return path.rpartition(b"/")[0] in self.hidden


@dataclass
class Host:
    """An agent's state over a disk. `now_ms` is its clock."""

    directory: Path
    disk: Disk = field(default_factory=Disk)
    cap_bytes: int = 1 << 20
    now_ms: int = 1_790_000_000_000
    # The requests of the last conversation.
    sent: list[report_pb2.ReportRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.start()

    @property
    def database(self) -> Path:
        return self.directory / "state.db"

    def start(self) -> None:
        """Start the agent: as its service does, with nothing seen yet."""
        self.state = State.open(self.database)
        self.outbox = Outbox(self.state, cap_bytes=self.cap_bytes)
        self.findings = Findings(self.state, self.outbox, lambda: self.now_ms)
        self.swept = False
        if self.state.suspicious:
            suspect(self.state)

    def stop(self) -> None:
        self.state.close()

    def lose_state(self) -> None:
        self.stop()
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        self.start()

    def copy(self, to: Path) -> Path:
        self.stop()
        shutil.copytree(self.directory, to)
        self.start()
        return to

    def restore(self, copy: Path) -> None:
        self.stop()
        shutil.rmtree(self.directory)
        shutil.copytree(copy, self.directory)
        self.start()

    def look_at(self, paths: set[bytes]) -> None:
        """Sweep a disk of which only these names changed since the last sweep."""
        with self.state.transaction():
            for path in sorted(paths):
                known = self.findings.at(path)
                if path in self.disk.files:
                    self._store(path, self.disk.files[path])
                elif known is not None:
                    self.findings.lose(known, "removed")
            self.outbox.enforce_cap()

    def sweep(self, *, whole: bool = True) -> None:
        """Compare the disk with what is known; half of it, or all of it."""
        disk = self.disk
        names = sorted(disk.files)
        seen = names if whole else names[: len(names) // 2]
        with self.state.transaction():
            for path in seen:
                if not disk.is_hidden(path):
                    self._store(path, disk.files[path])
            if not whole:
                return
            for (path,) in self.state.connection.execute("SELECT path FROM place").fetchall():
                known = self.findings.at(path)
                if known is not None and path not in disk.files and not disk.is_hidden(path):
                    self.findings.lose(known, "removed")
            gaps = [Gap(prefix, "unlisted", "EACCES") for prefix in sorted(disk.hidden)]
            self.findings.settle_gaps(gaps)
            self.state.put_number("complete", 1)
            self.outbox.enforce_cap()
        self.swept = True

    def _store(self, path: bytes, content: bytes) -> None:
        file = file_of(content)
        facts = FileFacts(1, 2, 0o100600, 0, 0, len(content), 20, 30, 1)
        row = Place(path, Status.READ, facts, manifest=file.manifest, format="pem")
        blobs = tuple(
            Blob(BlobKind(kind), hash_, data) for (kind, hash_), data in file.blobs.items()
        )
        self.findings.store(row, MOUNT, blobs)

    def talk(self, counter: Counter, cut: Cut = NO_CUT) -> Outcome:
        counter.desk.clock.advance(1)
        outcome = self._talk_once(counter, cut)
        return self._talk_once(counter, cut) if outcome.start_over else outcome

    def _talk_once(self, counter: Counter, cut: Cut) -> Outcome:
        counters = {
            "outbox-dropped": self.state.get_number("outbox_dropped"),
            "outbox-unlisted": self.state.get_number("outbox_unlisted"),
        }
        circumstances = Circumstances(b"", b"B" * 16, counters, lambda: self.now_ms, self.swept)
        frames = counter.connect(cut)
        self.sent = frames.sent
        return Conversation(self.state, self.outbox, frames, circumstances).converse()

    def settle(self, counter: Counter, rounds: int = 3) -> None:
        """Let faults end: sweep and report, a few days long."""
        for _ in range(rounds):
            self.sweep()
            outcome = self.talk(counter)
            assert outcome.ok, outcome
            self.now_ms += 2 * DAY_SECONDS * 1000
            counter.desk.clock.advance(2 * DAY_SECONDS)


def standing(desk: Desk, host_no: int) -> dict[bytes, bytes]:
    """Return what stands at the collector: manifest by path."""
    rows = desk.rows(
        select(place.c.path, place.c.manifest).where(
            place.c.host_no == host_no, place.c.gone_ms.is_(None)
        )
    )
    return {row.path.encode(): row.manifest for row in rows}


def row_hashes(desk: Desk, host_no: int) -> dict[bytes, bytes]:
    rows = desk.rows(
        select(place.c.path_hash, place.c.row_hash).where(
            place.c.host_no == host_no, place.c.gone_ms.is_(None)
        )
    )
    return {row.path_hash: row.row_hash for row in rows}


def check_history(desk: Desk, host_no: int, disk: Disk) -> None:
    """Nothing was invented (I2, I3), and nothing is gone that was always there."""
    rows = desk.rows(
        select(place.c.path, place_version.c.manifest, place_version.c.row)
        .join(place, place.c.place_no == place_version.c.place_no)
        .where(place.c.host_no == host_no)
    )
    for path, manifest, row in rows:
        if row:
            assert manifest in disk.ever[path.encode()], f"{path} never held that"
        else:
            assert path.encode() in disk.removed, f"{path} is gone and was never removed"


def check_exact(counter: Counter, who: Host) -> None:
    """Hold the collector against the disk and against the agent's own rows (I1, I3)."""
    desk, host_no = counter.desk, counter.peer.host_no
    expected = {path: file_of(content).manifest for path, content in who.disk.files.items()}
    assert standing(desk, host_no) == expected
    own = dict(who.state.connection.execute("SELECT key, row_hash FROM place"))
    assert row_hashes(desk, host_no) == own
    open_gaps = desk.rows(
        select(gap.c.prefix).where(gap.c.host_no == host_no, gap.c.to_ms.is_(None))
    )
    assert {row.prefix.encode() for row in open_gaps} == who.disk.hidden


def duplicates(counter: Counter) -> int:
    """How many batches came again (I8)."""
    return int(counter.desk.one(select(session.c.duplicates)))


def host_counters(counter: Counter) -> dict[str, int]:
    """Return the host's counters as the collector has them."""
    text = counter.desk.one(select(host.c.counters).where(host.c.host_no == counter.peer.host_no))
    counters: dict[str, int] = json.loads(text)
    return counters
