from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import pytest
from fakes.agent_stream import (
    GAP,
    HOST,
    PLACE,
    USAGE,
    Desk,
    FakeAgent,
    Line,
    expect,
    file_of,
    gap_change,
    gap_row,
    listing,
    place_change,
    place_row,
    sha256,
)
from sqlalchemy import select

from keycensus_agent.model import Gap, Scope, gap_key, place_key
from keycensus_collector.intake import reconcile
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.reconcile import is_covered
from keycensus_collector.store.schema import gap, holding, intake_batch, place, place_version, work
from keycensus_proto.v1 import inventory_pb2, report_pb2

pytestmark = pytest.mark.usefixtures("each_database")


def key_of(path: bytes) -> bytes:
    return place_key(Scope(), path)


async def three_places(desk: Desk, who: FakeAgent, line: Line) -> dict[bytes, bytes]:
    """Report three places; return their row hashes by path."""
    file = file_of(b"leaf")
    paths = [b"/a.pem", b"/srv/b.pem", b"/c.pem"]
    await who.report(line, dict.fromkeys(paths, file), complete=True)
    desk.clock.advance(60)
    return {path: sha256(place_row(path, file.manifest)) for path in paths}


def keyed(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key_of(path): row_hash for path, row_hash in rows.items()}


def digest_of(row_class: int, rows: dict[bytes, bytes]) -> report_pb2.ReportRequest:
    joined = b"".join(key + rows[key] for key in sorted(rows))
    return report_pb2.ReportRequest(
        digest=report_pb2.Digest(
            row_class=inventory_pb2.RowClass.ValueType(row_class),
            count=len(rows),
            digest=hashlib.sha256(joined).digest(),
        )
    )


async def test_an_equal_digest_is_answered_with_nothing_and_another_with_a_wish(
    desk: Desk,
) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed(await three_places(desk, who, line))
    facts = inventory_pb2.HostFacts(name="web1").SerializeToString()
    for request in (
        digest_of(PLACE, rows),
        digest_of(GAP, {}),
        digest_of(USAGE, {}),
        digest_of(HOST, {bytes(32): sha256(facts)}),
    ):
        await line.send(request)
    rows.popitem()
    await line.send(digest_of(PLACE, rows))
    assert (await expect(line, "list_request")).row_class == PLACE
    await line.leave()


async def test_what_a_complete_list_lacks_is_gone(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = await three_places(desk, who, line)
    del rows[b"/c.pem"]
    await line.send(listing(PLACE, keyed(rows)))
    difference = await expect(line, "difference")
    assert (list(difference.keys), difference.removed, difference.more) == ([], 1, False)
    gone = desk.rows(select(place.c.path).where(place.c.gone_ms.is_not(None)))
    assert gone == [("/c.pem",)]
    last = desk.rows(select(place_version).order_by(place_version.c.version_no))[-1]
    assert (last.row, last.cause) == (b"", "reconcile")
    assert [row.live for row in desk.rows(select(holding))] == [2]
    # The fold hears of it as of any batch; the agent's own sequence goes on.
    assert last.batch_no in [row.number for row in desk.rows(select(work))]
    assert sorted(row.sequence for row in desk.rows(select(intake_batch))) == [-1, 1]
    await who.report(line, {b"/d.pem": file_of(b"leaf")})
    # The same list again removes nothing more, a second removal is its own batch.
    desk.clock.advance(60)
    await line.send(listing(PLACE, keyed(rows)))
    assert (await expect(line, "difference")).removed == 1
    await line.leave()


async def test_what_the_list_has_and_we_lack_is_wanted_again(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed(await three_places(desk, who, line))
    changed, new = key_of(b"/a.pem"), key_of(b"/new.pem")
    rows |= {changed: bytes(32), new: bytes(32)}
    await line.send(listing(PLACE, rows))
    difference = await expect(line, "difference")
    assert set(difference.keys) == {changed, new}
    assert difference.removed == 0
    await line.leave()


async def test_nothing_is_removed_before_list_and_session_are_complete(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await who.report(line, {b"/a.pem": file_of(b"leaf")})
    desk.clock.advance(60)
    await line.send(listing(PLACE, {}, complete=True))
    assert (await expect(line, "difference")).removed == 0
    await who.send_batch(line, complete=True)
    await line.send(listing(PLACE, {}, complete=False))
    assert (await expect(line, "difference")).removed == 0
    await line.send(listing(PLACE, {}, complete=True))
    assert (await expect(line, "difference")).removed == 1
    await line.leave()


async def test_nothing_is_removed_under_a_gap(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await three_places(desk, who, line)
    await who.send_batch(line, gap_change(Gap(b"/srv", "unmounted")))
    desk.clock.advance(60)
    await line.send(listing(PLACE, {}))
    assert (await expect(line, "difference")).removed == 2
    standing = desk.rows(select(place.c.path).where(place.c.gone_ms.is_(None)))
    assert standing == [("/srv/b.pem",)]
    # The gap was not true any more: the list of gaps closes it, and places are asked for again.
    await line.send(listing(GAP, {}))
    assert (await expect(line, "list_request")).row_class == PLACE
    assert (await expect(line, "difference")).removed == 1
    await line.send(listing(PLACE, {}))
    assert (await expect(line, "difference")).removed == 1
    await line.leave()


async def test_a_listed_gap_stays(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    one = Gap(b"/srv", "unlisted", "EIO")
    await who.send_batch(line, gap_change(one), complete=True)
    await line.send(listing(GAP, {gap_key(one): sha256(gap_row(one))}))
    assert (await expect(line, "difference")).removed == 0
    assert desk.one(select(gap.c.to_ms)) is None
    await line.leave()


async def test_a_list_in_pieces_is_merged_piece_by_piece(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    paths = [b"/%d.pem" % number for number in range(20)]
    await who.send_batch(
        line, *(place_change(path, place_row(path)) for path in paths), complete=True
    )
    desk.clock.advance(60)
    rows = {key_of(path): sha256(place_row(path)) for path in paths}
    keys = sorted(rows)
    lost, changed = keys[4], keys[13]
    kept = [key for key in keys if key != lost]
    rows[changed] = bytes(32)
    for start in range(0, len(kept), 5):
        piece = {key: rows[key] for key in kept[start : start + 5]}
        await line.send(listing(PLACE, piece, more=start + 5 < len(kept)))
    difference = await expect(line, "difference")
    assert (list(difference.keys), difference.removed) == ([changed], 1)
    gone = select(place.c.path_hash).where(place.c.gone_ms.is_not(None))
    assert desk.rows(gone) == [(lost,)]
    await line.leave()


async def test_what_was_reported_while_the_list_came_is_not_removed(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed(await three_places(desk, who, line))
    first = min(rows)
    await line.send(listing(PLACE, {first: rows.pop(first)}, more=True))
    desk.clock.advance(1)
    await who.report(line, {b"/late.pem": file_of(b"leaf")})
    await line.send(listing(PLACE, rows))
    assert (await expect(line, "difference")).removed == 0
    await line.leave()


async def test_a_list_that_is_not_sorted_ends_the_stream_and_removes_nothing(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed(await three_places(desk, who, line))
    request = listing(PLACE, rows)
    request.listing.rows.reverse()
    await line.send(request)
    assert (await expect(line, "refusal")).reason == "protocol"
    line = await desk.connect(who)
    request = listing(PLACE, {max(rows): bytes(32)}, more=True)
    await line.send(request)
    await line.send(listing(PLACE, {min(rows): bytes(32)}))
    assert (await expect(line, "refusal")).reason == "protocol"
    assert desk.rows(select(place).where(place.c.gone_ms.is_(None)))


async def test_a_complete_list_settles_a_new_instance(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed(await three_places(desk, who, line))
    await line.leave()
    who.instance, who.nonce, who.sequence, who.acknowledged = b"n" * 16, b"", 0, 0
    who.complete = True
    assert (await who.greet(desk.line(who))).list_wanted
    line = desk.line(who)
    assert (await who.greet(line)).list_wanted
    await line.send(listing(PLACE, rows))
    await expect(line, "difference")
    await line.leave()
    assert not (await who.greet(desk.line(who))).list_wanted


async def test_usages_that_a_list_lacks_are_removed(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    change = report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_USAGE,
        key=sha256(b"keycensus usage v1\0b"),
        row=inventory_pb2.Usage(binding=b"b").SerializeToString(),
    )
    await who.send_batch(line, change, complete=True)
    await line.send(listing(USAGE, {}))
    assert (await expect(line, "difference")).removed == 1
    # Of the host's facts there is always one row; it is never removed.
    await line.send(listing(HOST, {}))
    assert (await expect(line, "difference")).removed == 0
    await line.send(listing(9, {}))
    assert (await expect(line, "refusal")).reason == "protocol"


async def test_another_hosts_rows_are_not_in_the_comparison(desk: Desk) -> None:
    one, other = desk.enrol("web1"), desk.enrol("web2")
    lines = [await desk.connect(one), await desk.connect(other)]
    await asyncio.gather(three_places(desk, one, lines[0]), three_places(desk, other, lines[1]))
    desk.clock.advance(60)
    await lines[0].send(listing(PLACE, {}))
    assert (await expect(lines[0], "difference")).removed == 3
    standing = desk.rows(select(place.c.host_no).where(place.c.gone_ms.is_(None)))
    assert {row.host_no for row in standing} == {other.peer.host_no}
    for line in lines:
        await line.leave()


async def test_a_list_that_lacks_much_here_is_answered_in_pieces(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "WANTED_KEYS", 3)
    who = desk.enrol()
    line = await desk.connect(who)
    rows = keyed({b"/%d.pem" % number: sha256(b"%d" % number) for number in range(10)})
    keys = sorted(rows)
    await line.send(listing(PLACE, {key: rows[key] for key in keys[:5]}, more=True))
    await line.send(listing(PLACE, {key: rows[key] for key in keys[5:]}))
    told: list[bytes] = []
    while True:
        difference = await expect(line, "difference")
        assert len(difference.keys) <= 3
        told += difference.keys
        if not difference.more:
            break
    assert told == keys
    await line.leave()


async def test_an_empty_offer_is_answered_after_the_digests_before_it(desk: Desk) -> None:
    """By this an agent knows that its digests were equal: nothing else would say so."""
    who = desk.enrol()
    line = await desk.connect(who)
    await three_places(desk, who, line)
    for row_class in (PLACE, GAP, USAGE):
        await line.send(digest_of(row_class, {}))
    await who.send_offer(line, [])
    assert (await expect(line, "list_request")).row_class == PLACE
    want = await expect(line, "want")
    assert (want.offer, want.satisfied) == (who.offers, True)
    await line.leave()


async def test_digests_without_end_are_slowed_like_any_rows(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(rows_per_second=0.1, rows_burst=12, patience_seconds=1.0))
    who = desk.enrol()
    line = await desk.connect(who)
    rows = await three_places(desk, who, line)
    for _ in range(20):
        await line.send(digest_of(PLACE, keyed(rows)))
    answer = await line.receive()
    assert answer is not None
    assert answer.refusal.reason == "busy"


def test_a_prefix_covers_itself_and_what_is_below_it_and_no_neighbour() -> None:
    prefixes = {"/srv/a", "/mnt/x.pem"}
    assert is_covered("/srv/a", prefixes)
    assert is_covered("/srv/a/b/c.pem", prefixes)
    assert is_covered("/mnt/x.pem", prefixes)
    assert not is_covered("/srv/ab", prefixes)
    assert not is_covered("/srv", prefixes)
    assert is_covered("/anything", {"/"})
