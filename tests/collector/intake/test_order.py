"""Whatever is sent again, in whatever order, over streams and restarts: the tables are the model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from fakes.agent_stream import (
    Desk,
    File,
    MemoryLine,
    batch,
    file_of,
    place_change,
    place_row,
    sha256,
)
from fakes.databases import new_store
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from keycensus_collector.intake.model import Limits
from keycensus_collector.store.schema import holding, place, place_version
from keycensus_proto.v1 import report_pb2

_PATHS = [b"/a.pem", b"/b.pem", b"/c.pem"]
_FILES = [file_of(b"leaf 1", b"root"), file_of(b"leaf 2", b"root"), file_of(b"leaf 3")]


class Collector(RuleBasedStateMachine):
    """Sends, duplicates, reorders, drops and restarts, beside a dictionary that is right."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.desk = Desk(new_store(Path(self.directory.name)), Limits())
        self.agent = self.desk.enrol()
        self.line: MemoryLine | None = None
        self.sent: list[report_pb2.ReportRequest] = []
        self.disk: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        self.run(self._leave())
        self.desk.store.close()
        self.loop.close()
        self.directory.cleanup()

    def run(self, coroutine: object) -> object:
        assert asyncio.iscoroutine(coroutine)
        return self.loop.run_until_complete(coroutine)

    async def _leave(self) -> None:
        if self.line is not None:
            await self.line.leave()
            self.line = None

    @initialize()
    def connect(self) -> None:
        async def work() -> None:
            await self._leave()
            self.line = await self.desk.connect(self.agent)

        self.run(work())

    @rule(
        changes=st.lists(
            st.tuples(st.sampled_from(_PATHS), st.sampled_from([*_FILES, None])), max_size=5
        )
    )
    def report(self, changes: list[tuple[bytes, File | None]]) -> None:
        """Send the next batch, which may hold several states of one place."""
        self.desk.clock.advance(1)
        messages = []
        for path, file in changes:
            row = None if file is None else place_row(path, file.manifest)
            messages.append(place_change(path, row))
            self.disk.pop(path, None)
            if file is not None:
                self.disk[path] = file.manifest

        async def work() -> None:
            assert self.line is not None
            await self.agent.offer(self.line, *_FILES)
            self.agent.sequence += 1
            self.sent.append(batch(self.agent.sequence, *messages))
            ack = await self.agent.send_again(self.line, self.sent[-1])
            assert not ack.items

        self.run(work())

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Send old batches again, in any order."""
        if not self.sent:
            return
        old = data.draw(st.lists(st.sampled_from(range(len(self.sent))), max_size=4))

        async def work() -> None:
            assert self.line is not None
            for at in old:
                ack = await self.agent.send_again(self.line, self.sent[at])
                assert ack.sequence == at + 1

        self.run(work())

    @rule()
    def skip_ahead(self) -> None:
        """Send a batch that comes too early; the stream ends, nothing is written."""

        async def work() -> None:
            assert self.line is not None
            early = batch(self.agent.sequence + 2, place_change(_PATHS[0], None))
            await self.line.send(early)
            answer = await self.line.receive()
            assert answer is not None
            assert answer.refusal.reason == "out-of-sequence"
            self.line = None

        self.run(work())
        self.connect()

    @rule()
    def cut(self) -> None:
        """Lose the connection."""

        async def work() -> None:
            assert self.line is not None
            await self.line.break_off()
            self.line = None

        self.run(work())
        self.connect()

    @rule()
    def restart(self) -> None:
        """Restart the collector, which remembers only what is in its store."""
        self.run(self._leave())
        self.desk.restart()
        self.connect()

    @invariant()
    def the_tables_say_what_is_on_disk(self) -> None:
        standing = self.desk.rows(
            select(place.c.path, place.c.manifest).where(place.c.gone_ms.is_(None))
        )
        assert {row.path.encode(): row.manifest for row in standing} == self.disk
        open_versions = self.desk.rows(
            select(place_version.c.manifest).where(
                place_version.c.to_ms.is_(None), place_version.c.row != b""
            )
        )
        assert sorted(row.manifest for row in open_versions) == sorted(self.disk.values())
        held: dict[bytes, int] = {}
        for manifest in self.disk.values():
            (file,) = (file for file in _FILES if file.manifest == manifest)
            for kind, hash_ in file.blobs:
                if kind != 1:
                    held[hash_] = held.get(hash_, 0) + 1
        rows = self.desk.rows(select(holding.c.artifact, holding.c.live))
        assert {row.artifact: row.live for row in rows} == held


TestCollector = Collector.TestCase
TestCollector.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_files_of_the_model_differ() -> None:
    assert len({sha256(file.manifest) for file in _FILES}) == len(_FILES)
