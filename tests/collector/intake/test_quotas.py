"""What one agent may cost, and what becomes of the rest: each row answered, nothing held up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.agent_stream import (
    CERTIFICATE,
    GAP,
    MANIFEST,
    PLACE,
    Desk,
    FakeAgent,
    Line,
    batch,
    expect,
    file_of,
    gap_change,
    listing,
    place_change,
    place_row,
    sha256,
)
from sqlalchemy import select

from keycensus_agent.model import Gap, Scope, place_key
from keycensus_collector.intake import convert, refusals
from keycensus_collector.intake.model import Limits, Message
from keycensus_collector.intake.quota import Quota
from keycensus_collector.store.schema import blob, gap, place, refusal
from keycensus_proto.v1 import report_pb2

MakeDesk = Callable[[Limits], Desk]
LEAF = file_of(b"leaf")


def row(path: bytes, mode: int = 0o644) -> report_pb2.Change:
    return place_change(path, place_row(path, mode=mode))


def answers(ack: report_pb2.Ack) -> list[tuple[int, str, str]]:
    return [(item.index, item.result, item.reason) for item in ack.items]


def refused(desk: Desk) -> list[tuple[str, str, int]]:
    rows = desk.rows(select(refusal.c.path, refusal.c.reason, refusal.c.times))
    return sorted((row.path, row.reason, row.times) for row in rows)


def standing(desk: Desk) -> list[str]:
    return sorted(
        row.path for row in desk.rows(select(place.c.path).where(place.c.gone_ms.is_(None)))
    )


async def test_rows_beyond_a_hosts_room_are_refused_one_by_one(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(rows_per_host=3))
    who = desk.enrol()
    line = await desk.connect(who)
    ack = await who.send_batch(line, *(row(b"/%d" % number) for number in range(5)))
    assert answers(ack) == [(3, "refused", "quota"), (4, "refused", "quota")]
    assert standing(desk) == ["/0", "/1", "/2"]
    assert refused(desk) == [("/3", "quota", 1), ("/4", "quota", 1)]
    # What stands may still change and go, and then there is room.
    ack = await who.send_batch(line, row(b"/0", 0o600), place_change(b"/1", None), row(b"/3"))
    assert answers(ack) == [(2, "refused", "quota")]
    assert refused(desk) == [("/3", "quota", 2), ("/4", "quota", 1)]
    ack = await who.send_batch(line, row(b"/3"))
    assert answers(ack) == []
    assert standing(desk) == ["/0", "/2", "/3"]
    assert refused(desk) == [("/4", "quota", 1)]
    await line.leave()


async def test_gaps_count_too_and_one_host_has_no_part_in_anothers_room(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Limits(rows_per_host=2))
    greedy, modest = desk.enrol("greedy"), desk.enrol("modest")
    line = await desk.connect(greedy)
    gaps = [gap_change(Gap(b"/gap%d" % number, "unlisted")) for number in range(3)]
    ack = await greedy.send_batch(line, row(b"/0"), *gaps)
    assert answers(ack) == [(2, "refused", "quota"), (3, "refused", "quota")]
    assert len(desk.rows(select(gap.c.key))) == 1
    other = await desk.connect(modest)
    assert answers(await modest.send_batch(other, row(b"/0"), row(b"/1"))) == []
    for each in (line, other):
        await each.leave()


async def test_the_room_is_counted_anew_after_a_restart(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(rows_per_host=2))
    who = desk.enrol()
    await who.send_batch(await desk.connect(who), row(b"/0"), row(b"/1"))
    desk.restart()
    line = await desk.connect(who)
    assert answers(await who.send_batch(line, row(b"/2"))) == [(0, "refused", "quota")]
    await line.leave()


async def test_when_the_days_bytes_are_used_up_items_are_refused_and_the_rest_goes_on(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Limits(blob_bytes_per_day=2000))
    who = desk.enrol()
    line = await desk.connect(who)
    large, next_one = file_of(b"x" * 3000), file_of(b"y" * 3000)
    ack = await who.report(line, {b"/large": large})
    assert answers(ack) == []
    ack = await who.report(line, {b"/next": next_one})
    assert answers(ack) == [(0, "refused", "quota")]
    assert (MANIFEST, next_one.manifest) not in who.sent, "it is not even asked for"
    # What is stored already costs nothing, and neither do rows without content.
    ack = await who.report(line, {b"/again": large})
    assert answers(ack) == []
    assert answers(await who.send_batch(line, row(b"/bare"))) == []
    assert refused(desk) == [("/next", "quota", 1)]
    await line.leave()


async def test_another_agent_is_not_refused_for_it(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(blob_bytes_per_day=2000))
    greedy, modest = desk.enrol("greedy"), desk.enrol("modest")
    await greedy.report(await desk.connect(greedy), {b"/large": file_of(b"x" * 3000)})
    line = await desk.connect(modest)
    assert answers(await modest.report(line, {b"/small": LEAF})) == []
    await line.leave()


async def ends_busy(line: Line) -> bool:
    while (answer := await line.receive()) is not None:
        if answer.WhichOneof("message") == "refusal":
            assert answer.refusal.retry_after_seconds > 0
            return answer.refusal.reason == "busy"
    return False


async def test_batches_without_end_are_slowed_and_then_told_to_come_back(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Limits(batches_per_second=0.1, batches_burst=2, patience_seconds=0.5))
    who = desk.enrol()
    line = await desk.connect(who)
    for number in range(1, 6):
        await line.send(batch(number))
    assert await ends_busy(line)


async def test_streams_one_after_another_are_slowed_and_then_told_to_come_back(
    make_desk: MakeDesk,
) -> None:
    limits = Limits(hellos_per_second=0.1, hellos_burst=2, patience_seconds=0.2)
    desk = make_desk(limits)
    who = desk.enrol()
    for _ in range(3):
        line = await desk.connect(who)
        await line.leave()
    assert await ends_busy(desk.line(who))


async def test_offers_without_end_are_told_to_come_back(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(rows_per_second=1, rows_burst=50, patience_seconds=0.5))
    who = desk.enrol()
    line = await desk.connect(who)
    for number in range(3):
        await who.send_offer(line, [sha256(b"%d %d" % (number, at)) for at in range(40)])
    assert await ends_busy(line)


def test_a_burst_is_taken_at_its_peak_and_what_comes_after_at_the_rate() -> None:
    quota = Quota(Limits(rows_per_second=10, rows_burst=1000, rows_peak=100), 0.0)
    assert quota.take_rows(100, 0.0) == 0  # a second's worth of the peak
    assert quota.take_rows(100, 0.0) == 1
    assert quota.take_rows(800, 10.0) == 7
    assert quota.take_rows(200, 20.0) == 1
    # The burst is used up: now it is the rate that counts.
    assert quota.take_rows(100, 25.0) == 5
    assert quota.take_rows(100, 1000.0) == 0


async def test_offers_whose_blobs_never_come_are_told_to_come_back(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(unfit_per_day=10, patience_seconds=0.2))
    who = desk.enrol()
    line = await desk.connect(who)
    await who.send_offer(line, [sha256(b"%d" % number) for number in range(20)])
    await who.supply(line, await expect(line, "want"))
    assert await ends_busy(line)
    # The day's count is the agent's, not the stream's.
    line = await desk.connect(who)
    await who.send_offer(line, [sha256(b"another")])
    await who.supply(line, await expect(line, "want"))
    assert await ends_busy(line)


async def test_a_day_of_rows_is_told_to_come_back(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(rows_per_day=10, patience_seconds=0.2))
    who = desk.enrol()
    line = await desk.connect(who)
    await line.send(batch(1, *(row(b"/%d" % number) for number in range(30))))
    assert await ends_busy(line)
    assert standing(desk) == []


# --- what was refused shows --------------------------------------------------------------------


async def refuse_some(desk: Desk, who: FakeAgent) -> Line:
    """Have one row refused for each reason there is."""
    line = await desk.connect(who)
    lacking, other = file_of(b"never comes"), file_of(b"comes as something else")
    who.files |= {(MANIFEST, lacking.manifest): lacking.blobs[MANIFEST, lacking.manifest]}
    who.files |= other.blobs | {(CERTIFICATE, sha256(b"comes as something else")): b"!"}
    await who.send_offer(line, [lacking.manifest, other.manifest])
    while not (want := await expect(line, "want")).satisfied:
        await who.supply(line, want)
    ack = await who.send_batch(
        line,
        row(b"/fine"),
        place_change(b"/lacking", place_row(b"/lacking", lacking.manifest)),
        place_change(b"/other", place_row(b"/other", other.manifest)),
        place_change(b"/wrong\x1b", place_row(b"/wrong\x1b"), key=bytes(32)),
        place_change(b"/nonsense", b"\xff\xff", key=sha256(b"nonsense")),
    )
    assert [item.reason for item in ack.items] == [
        "missing-blob",
        "hash-mismatch",
        "malformed",
        "malformed",
    ]
    return line


async def test_each_row_that_was_not_taken_is_kept_with_its_path_and_reason(desk: Desk) -> None:
    line = await refuse_some(desk, desk.enrol())
    assert refused(desk) == [
        ("", "malformed", 1),
        ("/lacking", "missing-blob", 1),
        ("/other", "hash-mismatch", 1),
        ("/wrong\\x1b", "malformed", 1),
    ]
    await line.leave()


async def test_a_row_that_is_taken_at_last_is_refused_no_more(desk: Desk) -> None:
    who = desk.enrol()
    await (await refuse_some(desk, who)).leave()
    line = await desk.connect(who)
    await who.report(line, {b"/lacking": LEAF, b"/other": None})
    assert [path for path, _, _ in refused(desk)] == ["", "/wrong\\x1b"]
    await line.leave()


async def test_a_complete_list_clears_what_the_host_does_not_have(desk: Desk) -> None:
    who = desk.enrol()
    line = await refuse_some(desk, who)
    await who.send_batch(line, complete=True)
    desk.clock.advance(60)
    key = place_key(Scope(), b"/lacking")
    await line.send(listing(PLACE, {key: sha256(b"whatever")}))
    await expect(line, "difference")
    assert refused(desk) == [("/lacking", "missing-blob", 1)]
    await line.send(listing(GAP, {}))
    await expect(line, "difference")
    await line.leave()


async def test_of_a_host_that_sends_unfit_rows_without_end_some_are_kept(
    desk: Desk,
) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    for start in range(0, refusals.KEPT + 200, 400):
        rows = (
            place_change(b"/x", b"\xff", key=sha256(b"%d" % number))
            for number in range(start, start + 400)
        )
        await who.send_batch(line, *rows)
    assert len(desk.rows(select(refusal.c.key))) == refusals.KEPT
    await line.leave()


async def test_blobs_over_the_days_bytes_are_not_stored(make_desk: MakeDesk) -> None:
    desk = make_desk(Limits(blob_bytes_per_day=500))
    who = desk.enrol()
    line = await desk.connect(who)
    many = file_of(*(b"%d" % number * 300 for number in range(10)))
    ack = await who.report(line, {b"/many": many})
    assert answers(ack) == [(0, "refused", "quota")]
    stored = sum(len(row.data) for row in desk.rows(select(blob.c.data)))
    assert stored < 500 + 1500
    await line.leave()


def hollow(size: int) -> dict[str, report_pb2.ReportRequest]:
    """Return messages of `size` items each, of two bytes where nothing has to stand in them."""
    counters = report_pb2.Counters(values={f"{number:x}": 1 for number in range(size)})
    return {
        "batch": batch(1, *[report_pb2.Change()] * size),
        "listing": report_pb2.ReportRequest(
            listing=report_pb2.Listing(rows=[report_pb2.RowHash()] * size)
        ),
        "cannot_supply": report_pb2.ReportRequest(
            cannot_supply=report_pb2.CannotSupply(blobs=[report_pb2.WantedBlob()] * size)
        ),
        "heartbeat": report_pb2.ReportRequest(heartbeat=report_pb2.Heartbeat(counters=counters)),
    }


@pytest.mark.parametrize("what", sorted(hollow(0)))
async def test_a_message_of_too_many_items_ends_the_stream_before_they_are_looked_at(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    looked_at: list[str] = []
    decode = convert.message_of

    def noted(request: report_pb2.ReportRequest) -> Message | None:
        looked_at.append(str(request.WhichOneof("message")))
        return decode(request)

    monkeypatch.setattr(convert, "message_of", noted)
    line = await desk.connect(desk.enrol())
    await line.send(hollow(10_000)[what])
    refusal = await expect(line, "refusal")
    assert (refusal.reason, refusal.text) == ("protocol", f"a {what} of 10000 items")
    assert looked_at == ["hello"]


async def test_who_sent_too_many_items_pays_for_them_before_anything_else_is_decoded(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Limits(rows_burst=5_000, rows_per_second=100, patience_seconds=0.01))
    who = desk.enrol()
    line = await desk.connect(who)
    await line.send(hollow(10_000)["listing"])
    assert (await expect(line, "refusal")).reason == "protocol"
    line = desk.line(who)
    await line.send(who.hello())
    refusal = await expect(line, "refusal")
    assert (refusal.reason, refusal.retry_after_seconds) == ("busy", 50)


async def test_blobs_that_do_not_come_count_as_rows_whether_they_were_wanted_or_not(
    make_desk: MakeDesk,
) -> None:
    desk = make_desk(Limits(rows_burst=2_000, rows_per_second=10, patience_seconds=0.01))
    line = await desk.connect(desk.enrol())
    for _ in range(3):
        await line.send(hollow(1_000)["cannot_supply"])
    assert (await expect(line, "refusal")).reason == "busy"
