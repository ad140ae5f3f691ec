"""Usages of a host: intervals, what was presented, and what is not fit."""

from __future__ import annotations

import json

import pytest
from fakes.agent_stream import START_MS, Desk, FakeAgent, Line, file_of, sha256
from sqlalchemy import select

from keycensus_collector.intake.model import Change, MalformedError
from keycensus_collector.intake.usage_rows import NAMES, PLACES, usage_change, usage_key
from keycensus_collector.store.schema import blob, refusal, usage, usage_place
from keycensus_proto.v1.inventory_pb2 import ROW_CLASS_USAGE, Handshake, Usage
from keycensus_proto.v1.report_pb2 import Ack
from keycensus_proto.v1.report_pb2 import Change as WireChange

pytestmark = pytest.mark.usefixtures("each_database_in_full")

BINDING = b"nginx\0nginx.service\0/etc/nginx/nginx.conf\0certificate\0www.example.com\0*:443"
PLACE = sha256(b"/etc/nginx/tls.pem")


def binding(**fields: object) -> Usage:
    return Usage(
        binding=BINDING,
        service="nginx",
        unit="nginx.service",
        configuration=b"/etc/nginx/nginx.conf",
        line=7,
        directive="certificate",
        places=[PLACE],
        server_names=["www.example.com"],
        **fields,  # type: ignore[arg-type]
    )


def answer(at_ms: int, verdict: str = "served") -> Handshake:
    return Handshake(
        at_unix_ms=at_ms, address="127.0.0.1:443", chain=[sha256(b"leaf")], verdict=verdict
    )


async def report(who: FakeAgent, line: Line, message: Usage | None) -> Ack:
    change = WireChange(row_class=ROW_CLASS_USAGE, key=usage_key(BINDING), cause="content")
    if message is None:
        change.gone.reason = "removed"
    else:
        change.row = message.SerializeToString()
    return await who.send_batch(line, change)


async def test_an_answer_that_was_only_given_again_begins_no_new_interval(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await report(who, line, binding(handshake=answer(1)))
    desk.clock.advance(60)
    again = binding(handshake=answer(2))
    await report(who, line, again)
    (row,) = desk.rows(select(usage))
    assert (row.from_ms, row.to_ms, row.asked_ms) == (START_MS, None, 2)
    # The digest is over what the agent has now.
    assert row.row_hash == sha256(again.SerializeToString())
    assert (row.service, row.configuration, row.line) == ("nginx", "/etc/nginx/nginx.conf", 7)
    assert [one.path_hash for one in desk.rows(select(usage_place))] == [PLACE]
    await line.leave()


async def test_another_verdict_or_place_ends_the_interval(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await report(who, line, binding(handshake=answer(1)))
    desk.clock.advance(60)
    await report(who, line, binding(handshake=answer(2, "not-reloaded")))
    desk.clock.advance(60)
    moved = binding(handshake=answer(2, "not-reloaded"))
    moved.places[:] = [sha256(b"/elsewhere")]
    await report(who, line, moved)
    desk.clock.advance(60)
    await report(who, line, None)
    rows = desk.rows(select(usage).order_by(usage.c.usage_no))
    assert [(row.verdict, row.from_ms - START_MS, row.to_ms - START_MS) for row in rows] == [
        ("served", 0, 60_000),
        ("not-reloaded", 60_000, 120_000),
        ("not-reloaded", 120_000, 180_000),
    ]
    assert json.loads(rows[1].handshakes)[0]["chain"] == [sha256(b"leaf").hex()]
    await line.leave()


async def test_what_was_presented_must_be_there_first_and_stays_as_a_blob(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    presented = file_of(b"presented, and on no disk")
    message = binding(handshake=answer(1), manifest=presented.manifest)
    ack = await report(who, line, message)
    assert [(item.result, item.reason) for item in ack.items] == [("retry", "missing-blob")]
    assert desk.rows(select(usage)) == []
    await who.offer(line, presented)
    assert list((await report(who, line, message)).items) == []
    stored = {row.data for row in desk.rows(select(blob))}
    assert b"presented, and on no disk" in stored
    await line.leave()


async def test_a_usage_that_can_not_be_is_refused_with_its_configuration(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    message = binding()
    message.server_names.extend(["x"] * NAMES)
    ack = await report(who, line, message)
    assert [(item.result, item.reason) for item in ack.items] == [("refused", "malformed")]
    (row,) = desk.rows(select(refusal))
    assert (row.row_class, row.path) == (2, "/etc/nginx/nginx.conf")
    await line.leave()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"service": "s" * 300},
        {"places": [b"short"]},
        {"places": [bytes(32)] * (PLACES + 1)},
        {"manifest": b"short"},
        {"configuration": b"/etc/\0"},
        {"handshake": Handshake(chain=[b"short"])},
        {"handshake": Handshake(at_unix_ms=2**62)},
        {"more_handshakes": [Handshake()] * 65},
    ],
)
def test_each_bound_is_kept(spoilt: dict[str, object]) -> None:
    message = Usage(binding=BINDING, **spoilt)  # type: ignore[arg-type]
    change = Change(0, 2, usage_key(BINDING), message.SerializeToString(), "content", 0, 0)
    with pytest.raises(MalformedError):
        usage_change(change)


def test_text_is_escaped_and_the_key_is_computed_here() -> None:
    message = Usage(binding=BINDING, unit="evil\x1b[2J", configuration=b"/etc/\xff\n.conf")
    row = message.SerializeToString()
    columns = dict(usage_change(Change(0, 2, usage_key(BINDING), row, "", 0, 0)).columns)
    assert (columns["unit"], columns["configuration"]) == ("evil\\x1b[2J", "/etc/\\xff\\x0a.conf")
    with pytest.raises(MalformedError):
        usage_change(Change(0, 2, usage_key(b"another"), row, "", 0, 0))
    with pytest.raises(MalformedError):
        usage_change(Change(0, 2, usage_key(BINDING), b"\xff", "", 0, 0))
    with pytest.raises(MalformedError):
        usage_change(Change(0, 2, b"short", None, "", 0, 0))
