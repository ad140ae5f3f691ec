from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from fakes.agent_stream import (
    START_MS,
    Desk,
    batch,
    entry,
    expect,
    file_of,
    file_with,
    gap_change,
    long_file,
    place_change,
    place_row,
    sha256,
)
from sqlalchemy import func, select, update

from keycensus_agent.model import Gap, Scope, place_key
from keycensus_collector.store.schema import (
    gap,
    holding,
    host,
    intake_batch,
    manifest_entry,
    place,
    place_past,
    place_version,
    session,
    usage,
    work,
)
from keycensus_proto.v1 import inventory_pb2, report_pb2

pytestmark = pytest.mark.usefixtures("each_database")

NGINX = b"/etc/nginx/tls.pem"
LEAF, OTHER, ROOT = b"leaf der", b"other leaf der", b"root der"


async def test_a_place_is_written_with_its_first_version_its_holding_and_work(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    ack = await agent.report(line, {NGINX: file_of(LEAF, ROOT)}, cause="first")
    assert (ack.sequence, len(ack.items)) == (1, 0)
    (row,) = desk.rows(select(place))
    assert (row.path, row.scope_kind, row.mode, row.owner) == (
        "/etc/nginx/tls.pem",
        "host",
        0o644,
        "root",
    )
    assert (row.first_seen_ms, row.gone_ms) == (START_MS, None)
    (version,) = desk.rows(select(place_version))
    assert (version.place_no, version.cause, version.to_ms) == (row.place_no, "first", None)
    assert sha256(version.row) == row.row_hash
    held = desk.rows(select(holding).order_by(holding.c.artifact))
    assert [(one.artifact, one.kind, one.live, one.retained, one.roles) for one in held] == [
        (artifact, "certificate", 1, 0, 1) for artifact in sorted((sha256(LEAF), sha256(ROOT)))
    ]
    batch_no = desk.one(select(intake_batch.c.batch_no))
    assert (("batch", batch_no)) in [(one.kind, one.number) for one in desk.rows(select(work))]
    await line.leave()


async def test_an_unchanged_row_writes_nothing(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await agent.report(line, {NGINX: file_of(LEAF)})
    before = desk.rows(select(place)), desk.rows(select(place_version)), desk.rows(select(holding))
    desk.clock.advance(60)
    await agent.report(line, {NGINX: file_of(LEAF)})
    after = desk.rows(select(place)), desk.rows(select(place_version)), desk.rows(select(holding))
    assert before == after
    await line.leave()


async def test_a_change_ends_the_old_version_and_moves_the_holding(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await agent.report(line, {NGINX: file_of(LEAF, ROOT)})
    desk.clock.advance(60)
    await agent.report(line, {NGINX: file_of(OTHER, ROOT)})
    versions = desk.rows(select(place_version).order_by(place_version.c.version_no))
    assert [(one.from_ms, one.to_ms) for one in versions] == [
        (START_MS, START_MS + 60_000),
        (START_MS + 60_000, None),
    ]
    # What it was stands in columns too, for questions about that day.
    (past,) = desk.rows(select(place_past))
    assert (past.from_ms, past.to_ms) == (START_MS, START_MS + 60_000)
    assert (past.manifest, past.mode, past.owner) == (versions[0].manifest, 0o644, "root")
    held = {one.artifact: one.live for one in desk.rows(select(holding))}
    assert held == {sha256(OTHER): 1, sha256(ROOT): 1}
    await line.leave()


async def test_a_place_that_went_stays_for_its_history(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await agent.report(line, {NGINX: file_of(LEAF)})
    desk.clock.advance(60)
    await agent.report(line, {NGINX: None})
    assert desk.one(select(place.c.gone_ms)) == START_MS + 60_000
    last = desk.rows(select(place_version).order_by(place_version.c.version_no))[-1]
    assert (last.row, last.manifest, last.to_ms) == (b"", b"", None)
    assert desk.rows(select(holding)) == []
    (past,) = desk.rows(select(place_past))
    assert (past.from_ms, past.to_ms) == (START_MS, START_MS + 60_000)
    # It comes back with the very same bytes.
    desk.clock.advance(60)
    await agent.report(line, {NGINX: file_of(LEAF)})
    (row,) = desk.rows(select(place))
    assert (row.gone_ms, row.first_seen_ms) == (None, START_MS)
    assert [one.live for one in desk.rows(select(holding))] == [1]
    await line.leave()


async def test_several_states_of_a_place_in_one_batch_are_kept_in_order(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    first, second = file_of(LEAF), file_of(OTHER)
    await agent.offer(line, first, second)
    rows = [
        place_row(NGINX, first.manifest),
        None,
        place_row(NGINX, second.manifest),
    ]
    await agent.send_batch(line, *(place_change(NGINX, row) for row in rows))
    versions = desk.rows(select(place_version).order_by(place_version.c.version_no))
    assert [one.row for one in versions] == [row or b"" for row in rows]
    assert [one.to_ms for one in versions] == [START_MS, START_MS, None]
    assert desk.one(select(place.c.manifest)) == second.manifest
    assert [one.artifact for one in desk.rows(select(holding))] == [sha256(OTHER)]
    await line.leave()


async def test_a_place_that_came_and_went_in_one_batch_is_known_and_gone(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    one = file_of(LEAF)
    await agent.offer(line, one)
    await agent.send_batch(
        line, place_change(NGINX, place_row(NGINX, one.manifest)), place_change(NGINX, None)
    )
    assert desk.one(select(place.c.gone_ms)) == START_MS
    assert desk.rows(select(holding)) == []
    await line.leave()


async def test_gone_of_an_unknown_place_is_nothing(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    ack = await agent.report(line, {b"/never/seen": None})
    assert list(ack.items) == []
    assert desk.rows(select(place)) == []
    await line.leave()


async def test_trust_stores_hold_nothing_and_retained_copies_count_apart(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await agent.report(line, {b"/etc/ssl/cert.pem": file_of(ROOT)}, role="trust-store")
    assert desk.rows(select(holding)) == []
    await agent.report(line, {NGINX: file_of(ROOT)})
    await agent.report(line, {b"/root/old.pem": file_of(ROOT)}, use="retained", role="unknown")
    (row,) = desk.rows(select(holding))
    assert (row.live, row.retained, row.roles) == (1, 1, 1 | 8)
    # A role that no place has any more is taken away, though other places remain.
    await agent.report(line, {NGINX: None})
    (row,) = desk.rows(select(holding))
    assert (row.live, row.retained, row.roles) == (0, 1, 8)
    await line.leave()


async def test_a_role_stays_while_another_place_has_it(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await agent.report(line, {b"/a.pem": file_of(ROOT), b"/b.pem": file_of(ROOT)})
    await agent.report(line, {b"/c.pem": file_of(ROOT)}, role="ca")
    await agent.report(line, {b"/a.pem": None})
    (row,) = desk.rows(select(holding))
    assert (row.live, row.roles) == (2, 1 | 4)
    await line.leave()


async def test_a_key_and_its_public_half_are_held_apart(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    spki = b"an spki"
    private = file_with([(3, entry("private-key", spki, size=0), spki)])
    public = file_with([(3, entry("public-key", spki, size=0), spki)])
    await agent.report(line, {b"/k": private, b"/k.pub": public})
    held = {one.kind: one.live for one in desk.rows(select(holding))}
    assert held == {"private-key": 1, "public-key": 1}
    await line.leave()


async def test_a_long_file_is_held_through_its_parts_each_artifact_once(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    whole = long_file(file_of(LEAF, ROOT), file_of(OTHER, ROOT))
    ack = await agent.report(line, {NGINX: whole})
    assert list(ack.items) == []
    held = {one.artifact: one.live for one in desk.rows(select(holding))}
    assert held == {sha256(LEAF): 1, sha256(OTHER): 1, sha256(ROOT): 1}
    desk.restart()
    line = await desk.connect(agent)
    await agent.report(line, {NGINX: None})
    assert desk.rows(select(holding)) == []
    await line.leave()


async def test_an_item_whose_manifest_is_not_there_is_to_be_sent_again(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    unknown = file_of(LEAF).manifest
    changes = [
        place_change(NGINX, place_row(NGINX, unknown)),
        place_change(b"/ok", place_row(b"/ok", status="locked")),
        # A later state of a place that waits must not overtake it.
        place_change(NGINX, None),
    ]
    ack = await agent.send_batch(line, *changes, complete=True)
    assert [(one.index, one.result, one.reason) for one in ack.items] == [
        (0, "retry", "missing-blob"),
        (2, "retry", "missing-blob"),
    ]
    assert [row.path for row in desk.rows(select(place))] == ["/ok"]
    # What the sweep found is not all here, so nothing may be concluded from what is missing.
    assert desk.one(select(session.c.complete)) is False
    await line.leave()


async def test_a_duplicate_gets_the_stored_ack_and_writes_nothing(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    request = batch(1, place_change(NGINX, place_row(NGINX, sha256(b"not there"))))
    first = await agent.send_again(line, request)
    again = await agent.send_again(line, request)
    assert first == again
    assert len(first.items) == 1
    assert desk.one(select(intake_batch.c.duplicates)) == 1
    assert desk.one(select(session.c.duplicates)) == 1
    assert desk.rows(select(place)) == []
    await line.leave()


async def test_a_sequence_with_a_hole_is_refused_and_ends_the_stream(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await line.send(batch(2, place_change(b"/a", place_row(b"/a"))))
    refusal = await expect(line, "refusal")
    assert refusal.reason == "out-of-sequence"
    assert await line.receive() is None
    assert desk.rows(select(place)) == []


async def test_batches_replayed_three_times_in_any_order_leave_one_state(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    rows = [place_row(NGINX, status="read", mode=mode) for mode in (0o600, 0o640, 0o644)]
    requests = [batch(number, place_change(NGINX, row)) for number, row in enumerate(rows, 1)]
    for request in requests:
        await agent.send_again(line, request)
    before = desk.rows(select(place)), desk.rows(select(place_version))
    for order in list(itertools.permutations(requests))[:3]:
        for request in order:
            await agent.send_again(line, request)
    assert (desk.rows(select(place)), desk.rows(select(place_version))) == before
    assert desk.one(select(func.sum(intake_batch.c.duplicates))) == 9
    await line.leave()


async def test_a_payload_cannot_name_another_host(desk: Desk) -> None:
    one, other = desk.enrol("web1"), desk.enrol("web2")
    lines = [await desk.connect(one), await desk.connect(other)]
    await asyncio.gather(
        one.report(lines[0], {NGINX: file_of(LEAF)}),
        other.report(lines[1], {NGINX: file_of(OTHER)}),
    )
    mine = select(place.c.manifest).where(place.c.host_no == one.peer.host_no)
    assert desk.one(mine) == file_of(LEAF).manifest
    # The same key, gone, by the other agent: only its own row goes.
    await other.report(lines[1], {NGINX: None})
    assert desk.rows(select(place.c.gone_ms).where(place.c.host_no == one.peer.host_no)) == [
        (None,)
    ]
    for line in lines:
        await line.leave()


async def test_a_key_of_another_row_is_refused_and_blocks_nothing(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    foreign = place_key(Scope("container", b"db"), NGINX)
    ack = await agent.send_batch(
        line,
        place_change(NGINX, place_row(NGINX), key=foreign),
        place_change(b"/ok", place_row(b"/ok")),
        report_pb2.Change(row_class=inventory_pb2.RowClass.ValueType(77), key=bytes(32), row=b"x"),
    )
    assert [(one.index, one.result, one.reason) for one in ack.items] == [
        (0, "refused", "malformed"),
        (2, "refused", "malformed"),
    ]
    assert [row.path for row in desk.rows(select(place))] == ["/ok"]
    await line.leave()


async def test_gaps_are_intervals(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    one = Gap(b"/srv/a", "unreadable", "EACCES")
    await agent.send_batch(line, gap_change(one))
    await agent.send_batch(line, gap_change(one))
    desk.clock.advance(60)
    await agent.send_batch(line, gap_change(Gap(b"/srv/a", "unreadable", "EPERM")))
    desk.clock.advance(60)
    await agent.send_batch(line, gap_change(one, gone=True))
    rows = desk.rows(select(gap).order_by(gap.c.gap_no))
    assert [(row.detail, row.from_ms - START_MS, row.to_ms - START_MS) for row in rows] == [
        ("EACCES", 0, 60_000),
        ("EPERM", 60_000, 120_000),
    ]
    assert (rows[0].prefix, rows[0].prefix_raw) == ("/srv/a", b"/srv/a")
    await line.leave()


async def test_usages_are_kept_as_they_came(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    binding = b"nginx\0nginx.service"
    key = sha256(b"keycensus usage v1\0" + binding)
    change = report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_USAGE,
        key=key,
        row=inventory_pb2.Usage(binding=binding).SerializeToString(),
    )
    await agent.send_batch(line, change)
    assert [(row.key, row.to_ms) for row in desk.rows(select(usage))] == [(key, None)]
    change.gone.reason = "removed"
    await agent.send_batch(line, change)
    assert [row.to_ms for row in desk.rows(select(usage))] == [START_MS]
    await line.leave()


async def test_counters_completeness_and_host_facts_reach_the_host(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    facts = inventory_pb2.HostFacts(
        name="db\x1b[31m", operating_system="Debian", operating_system_version="12"
    )
    change = report_pb2.Change(
        row_class=inventory_pb2.ROW_CLASS_HOST, key=bytes(32), row=facts.SerializeToString()
    )
    await agent.send_batch(line, change, complete=True, counters={"files": 7})
    (row,) = desk.rows(select(host))
    assert (row.name, row.operating_system, row.complete) == ("db\\x1b[31m", "Debian 12", True)
    assert json.loads(row.counters) == {"files": 7}
    assert desk.one(select(session.c.complete)) is True
    await line.leave()


async def test_an_old_stream_writes_nothing_after_a_newer_one(desk: Desk) -> None:
    agent = desk.enrol()
    old = await desk.connect(agent)
    # The newer stream is at another process: this one has not heard of it.
    with desk.store.write() as connection:
        connection.execute(update(session).values(session=session.c.session + 1))
    await old.send(batch(1, place_change(NGINX, place_row(NGINX))))
    assert (await expect(old, "refusal")).reason == "superseded"
    assert desk.rows(select(place)) == []


async def test_sizes_and_text_are_kept_within_what_the_columns_take(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    path = b"/etc/\xff\x00bad"
    good = "/caf\u00e9/\u202e".encode() + b"/\xff.pem"
    long_path = b"/" + b"a" * 4096
    ack = await agent.send_batch(
        line,
        place_change(path, place_row(path)),
        place_change(good, place_row(good, mode=0xFFFFFFFF, size=2**64 - 1, owner="", uid=7)),
        place_change(long_path, place_row(long_path)),
        place_change(b"relative", place_row(b"relative")),
        place_change(b"/m", place_row(b"/m", b"short")),
        place_change(b"/w", place_row(b"/w", owner="x" * 257)),
    )
    assert [one.index for one in ack.items] == [0, 2, 3, 4, 5]
    (row,) = desk.rows(select(place))
    assert row.path == "/caf\u00e9/\\u202e/\\xff.pem"
    assert (row.mode, row.owner) == (0o7777, "7")
    await line.leave()


async def test_a_manifest_entry_keeps_hostile_text_escaped_and_numbers_in_range(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    hostile = entry("certificate", LEAF, member=b"\x1b]0;\xff", bits=2**32 - 1, size=2**64 - 1)
    await agent.report(line, {NGINX: file_with([(2, hostile, LEAF)])})
    (row,) = desk.rows(select(manifest_entry))
    assert (row.member, row.bits, row.size) == ("\\x1b]0;\\xff", 2**31 - 1, 2**63 - 1)
    await line.leave()


async def test_a_first_sweep_of_a_host_that_is_known_in_part_keeps_what_is_known(
    desk: Desk,
) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    known, changed = b"/known.pem", b"/changed.pem"
    await agent.report(line, {known: file_of(LEAF), changed: file_of(LEAF)})
    numbers = {row.path: row.place_no for row in desk.rows(select(place))}
    desk.clock.advance(60)
    places = {known: file_of(LEAF), changed: file_of(OTHER), b"/new.pem": file_of(ROOT)}
    await agent.report(line, dict(places), cause="first")
    rows = {row.path: row for row in desk.rows(select(place))}
    assert {path: rows[path].place_no for path in numbers} == numbers
    assert rows["/known.pem"].changed_ms == START_MS
    assert rows["/changed.pem"].manifest == file_of(OTHER).manifest
    assert len(desk.rows(select(place_version))) == 4
    assert {row.artifact: row.live for row in desk.rows(select(holding))} == {
        sha256(LEAF): 1,
        sha256(OTHER): 1,
        sha256(ROOT): 1,
    }
    await line.leave()
