"""Blobs that nothing names go after a day; everything else stays."""

from __future__ import annotations

import pytest
from fakes.agent_stream import (
    Desk,
    FakeAgent,
    Line,
    file_of,
    long_file,
    place_change,
    place_row,
)
from sqlalchemy import insert, select

from keycensus_collector.intake import collecting
from keycensus_collector.intake.collecting import Collecting
from keycensus_collector.store.schema import (
    blob,
    manifest,
    manifest_entry,
    manifest_part,
    public_key,
)

pytestmark = pytest.mark.usefixtures("each_database_in_full")

DAY = 86_400
NAMED, UNNAMED = file_of(b"named", b"both"), file_of(b"unnamed", b"both")


def stored(desk: Desk) -> set[tuple[int, bytes]]:
    return {(row.kind, row.hash) for row in desk.rows(select(blob.c.kind, blob.c.hash))}


async def both(desk: Desk) -> tuple[FakeAgent, Line]:
    who = desk.enrol()
    line = await desk.connect(who)
    await who.report(line, {b"/named": NAMED})
    await who.offer(line, UNNAMED)
    return who, line


async def collect(desk: Desk) -> int:
    """Go over everything, often enough for what becomes unnamed by going."""
    one = Collecting(desk.reporter._intake)
    removed = 0
    for round_ in range(3):
        removed += await one.step(round_ * collecting.ROUND_SECONDS)
    return removed


async def test_what_nothing_names_goes_after_a_day(desk: Desk) -> None:
    _, line = await both(desk)
    assert await collect(desk) == 0
    desk.clock.advance(DAY + 1)
    assert await collect(desk) == 2
    assert stored(desk) == set(NAMED.blobs)
    assert [row.hash for row in desk.rows(select(manifest.c.hash))] == [NAMED.manifest]
    assert len(desk.rows(select(manifest_entry.c.position))) == 2
    await line.leave()


async def test_what_a_place_once_held_stays_for_its_history(desk: Desk) -> None:
    who, line = await both(desk)
    await who.report(line, {b"/named": None})
    desk.clock.advance(DAY + 1)
    await collect(desk)
    assert set(NAMED.blobs) <= stored(desk)
    await line.leave()


async def test_a_batch_that_names_it_at_last_gets_it_again(desk: Desk) -> None:
    who, line = await both(desk)
    desk.clock.advance(DAY + 1)
    await collect(desk)
    change = place_change(b"/late", place_row(b"/late", UNNAMED.manifest))
    ack = await who.send_batch(line, change)
    assert [(item.result, item.reason) for item in ack.items] == [("retry", "missing-blob")]
    ack = await who.report(line, {b"/late": UNNAMED})
    assert list(ack.items) == []
    assert set(UNNAMED.blobs) <= stored(desk)
    await line.leave()


async def test_parts_go_with_their_whole_and_not_before(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    kept, gone = long_file(file_of(b"1"), file_of(b"2")), long_file(file_of(b"3"), file_of(b"2"))
    await who.report(line, {b"/kept": kept})
    await who.offer(line, gone)
    desk.clock.advance(DAY + 1)
    assert await collect(desk) == 3
    assert stored(desk) == set(kept.blobs)
    assert len(desk.rows(select(manifest_part.c.part))) == 2
    await line.leave()


async def test_what_the_catalogue_read_of_it_goes_too(desk: Desk) -> None:
    key = bytes(range(32))
    with desk.store.write() as connection:
        connection.execute(insert(blob).values(hash=key, kind=3, data=b"spki", received_ms=0))
        connection.execute(
            insert(public_key).values(
                key_id=key,
                algorithm="ec",
                bits=256,
                curve="",
                problem="",
                catalogue_version=1,
                first_seen_ms=0,
                live_places=0,
                retained_places=0,
                hosts=0,
                folded_ms=0,
            )
        )
    assert await collect(desk) == 1
    assert desk.rows(select(public_key)) == []


async def test_ranges_are_taken_one_after_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_RANGE", 2)
    _, line = await both(desk)
    desk.clock.advance(DAY + 1)
    one = Collecting(desk.reporter._intake)
    # Five blobs are three ranges; the next round is an hour later.
    assert sum([await one.step(0.0) for _ in range(3)]) >= 1
    assert await one.step(1.0) == 0
    await line.leave()


async def test_a_look_up_that_began_before_does_not_bring_back_the_memory(desk: Desk) -> None:
    cache = desk.reporter._intake.cache
    generation = cache.generation
    cache.forget([UNNAMED.manifest])
    cache.mark_complete([UNNAMED.manifest], generation)
    assert cache.not_known_complete({UNNAMED.manifest}) == {UNNAMED.manifest}
    cache.mark_complete([UNNAMED.manifest], cache.generation)
    assert cache.not_known_complete({UNNAMED.manifest}) == set()
