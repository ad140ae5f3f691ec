from __future__ import annotations

import json
from dataclasses import replace

from fakes.agent_stream import (
    PLACE,
    START_MS,
    Desk,
    batch,
    expect,
    file_of,
    listing,
    place_change,
    place_row,
    sha256,
)
from sqlalchemy import select, update

from keycensus_agent.model import Gap
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    host,
    host_state,
    intake_batch,
    session,
)
from keycensus_proto.v1 import inventory_pb2


async def test_a_hello_is_answered_with_where_the_agent_stands(desk: Desk) -> None:
    agent_ = desk.enrol()
    line = desk.line(agent_)
    ack = await agent_.greet(line)
    assert (ack.deployment, ack.database_id) == ("test", bytes(range(16)))
    assert (ack.session, ack.last_sequence, len(ack.nonce)) == (1, 0, 16)
    assert ack.collector_time_unix_ms == START_MS
    assert (ack.max_message_bytes, ack.max_batch_bytes) == (1 << 20, 1 << 19)
    assert (ack.heartbeat_seconds, ack.batch_credit > 0) == (900, True)
    assert list(ack.trust.current) == [b"anchor"]
    assert not ack.list_wanted
    await line.leave()
    assert (await agent_.greet(desk.line(agent_))).session == 2


async def test_host_facts_are_claims_that_reach_the_host_escaped(desk: Desk) -> None:
    agent_ = desk.enrol()
    facts = inventory_pb2.HostFacts(
        name="web1\n",
        machine_hash=sha256(b"machine"),
        operating_system="Debian",
        operating_system_version="12",
        kernel="6.1",
        agent_version="0.2.0",
        labels={"role": "web\u202e"},
    ).SerializeToString()
    await desk.connect(agent_, host_facts=facts, agent_time_unix_ms=START_MS + 5000)
    (row,) = desk.rows(select(host))
    assert (row.name, row.operating_system, row.kernel) == ("web1\\x0a", "Debian 12", "6.1")
    assert (row.agent_version, row.machine_hash) == ("0.2.0", sha256(b"machine"))
    assert (row.facts, row.clock_skew_ms) == (facts, 5000)
    labels = json.loads(row.labels)
    assert labels == {"token": {"env": "prod"}, "host": {"role": "web\\u202e"}}


async def test_facts_that_are_none_keep_the_stream_and_the_old_facts(desk: Desk) -> None:
    agent_ = desk.enrol()
    await desk.connect(agent_)
    await desk.connect(agent_, host_facts=b"\xff\xff", agent_time_unix_ms=-(2**63))
    assert desk.one(select(host.c.name)) == "web1"


async def test_a_silent_host_that_speaks_is_active_again_as_an_interval(desk: Desk) -> None:
    agent_ = desk.enrol()
    with desk.store.write() as connection:
        connection.execute(update(host).values(state="silent"))
        connection.execute(update(host_state).values(state="silent"))
    desk.clock.advance(60)
    await desk.connect(agent_)
    assert desk.one(select(host.c.state)) == "active"
    assert desk.one(select(host.c.last_seen_ms)) == START_MS + 60_000
    rows = desk.rows(select(host_state).order_by(host_state.c.from_ms))
    assert [(row.state, row.to_ms) for row in rows] == [
        ("silent", START_MS + 60_000),
        ("active", None),
    ]


async def test_a_lost_reply_to_a_hello_is_harmless(desk: Desk) -> None:
    agent_ = desk.enrol()
    first = await agent_.greet(desk.line(agent_))
    agent_.nonce = b""
    repeated = await agent_.greet(desk.line(agent_))
    assert repeated.nonce == first.nonce
    # The pending nonce becomes current when it is used; its reply is lost, too.
    third = await agent_.greet(desk.line(agent_))
    agent_.nonce = first.nonce
    again = await agent_.greet(desk.line(agent_))
    assert third.nonce != first.nonce
    assert again.nonce == third.nonce
    assert not again.list_wanted


async def test_an_older_nonce_is_a_restored_snapshot_and_is_to_be_listed(desk: Desk) -> None:
    agent_ = desk.enrol()
    old = (await agent_.greet(desk.line(agent_))).nonce
    await agent_.greet(desk.line(agent_))
    await agent_.greet(desk.line(agent_))
    agent_.nonce = old
    assert (await agent_.greet(desk.line(agent_))).list_wanted
    # It stays wanted until a list has come.
    assert (await agent_.greet(desk.line(agent_))).list_wanted


async def test_a_new_instance_begins_at_sequence_zero_and_is_to_be_listed(desk: Desk) -> None:
    agent_ = desk.enrol()
    line = await desk.connect(agent_, complete=True)
    await agent_.report(line, {b"/a.pem": file_of(b"der")})
    await line.leave()
    agent_.instance, agent_.nonce, agent_.sequence, agent_.acknowledged = b"n" * 16, b"", 0, 0
    line = desk.line(agent_)
    ack = await agent_.greet(line)
    assert (ack.last_sequence, ack.list_wanted, list(ack.lost_acks)) == (0, True, [])
    assert desk.one(select(session.c.complete)) is False
    # Its first batch has the number that the old instance used.
    await agent_.report(line, {b"/a.pem": file_of(b"der")})
    assert desk.one(select(session.c.last_sequence)) == 1
    await line.leave()


async def test_a_gap_alone_makes_an_older_state_too(desk: Desk) -> None:
    from fakes.agent_stream import gap_change

    agent_ = desk.enrol()
    line = await desk.connect(agent_)
    await agent_.send_batch(line, gap_change(Gap(b"/srv", "unlisted")))
    agent_.instance, agent_.nonce = b"n" * 16, b""
    assert (await agent_.greet(desk.line(agent_))).list_wanted


async def test_acks_that_the_agent_lost_are_repeated_and_confirmed_ones_dropped(
    desk: Desk,
) -> None:
    agent_ = desk.enrol()
    line = await desk.connect(agent_)
    requests = [
        batch(number, place_change(b"/p", place_row(b"/p", sha256(b"%d" % number))))
        for number in (1, 2, 3, 4)
    ]
    acks = [await agent_.send_again(line, request) for request in requests]
    agent_.acknowledged = 2
    answer = await agent_.greet(desk.line(agent_))
    assert answer.last_sequence == 4
    assert list(answer.lost_acks) == acks[2:]
    kept = [row.sequence for row in desk.rows(select(intake_batch))]
    assert kept == [2, 3, 4]
    # One that was confirmed and dropped is still known to be committed.
    line = await desk.connect(agent_)
    assert not (await agent_.send_again(line, requests[0])).items


async def test_a_confirmation_of_what_never_came_drops_no_number(desk: Desk) -> None:
    agent_ = desk.enrol()
    line = await desk.connect(agent_)
    await agent_.send_batch(line, place_change(b"/p", place_row(b"/p")))
    agent_.acknowledged = 2**64 - 1
    await agent_.greet(desk.line(agent_))
    assert len(desk.rows(select(intake_batch))) == 1


async def test_a_renewed_certificate_takes_over_at_its_first_stream(desk: Desk) -> None:
    agent_ = desk.enrol()
    await desk.connect(agent_)
    old = agent_.peer
    desk.clock.advance(60)
    agent_.peer = replace(old, serial=desk.issue(old.agent_no, "new"))
    await desk.connect(agent_)
    states = {row.serial: row.state for row in desk.rows(select(agent_certificate))}
    assert states == {old.serial: "void", agent_.peer.serial: "current"}
    agent_.peer = old
    line = desk.line(agent_)
    await line.send(agent_.hello())
    assert (await expect(line, "refusal")).reason == "unknown"


async def test_who_may_not_write_is_refused_at_the_hello(desk: Desk) -> None:
    agent_ = desk.enrol()
    for state, reason in (("banned", "banned"), ("left", "unknown"), ("evicted", "unknown")):
        with desk.store.write() as connection:
            connection.execute(update(agent).values(state=state))
        line = desk.line(agent_)
        await line.send(agent_.hello())
        assert (await expect(line, "refusal")).reason == reason
        assert await line.receive() is None
    assert desk.rows(select(session)) == []


async def test_another_protocol_and_a_misshapen_hello_are_refused(desk: Desk) -> None:
    agent_ = desk.enrol()
    for fields, reason in (
        ({"protocol_version": 2}, "upgrade"),
        ({"instance": b"short"}, "protocol"),
        ({"boot_id": bytes(17)}, "protocol"),
        ({"nonce": bytes(1000)}, "protocol"),
    ):
        line = desk.line(agent_)
        await line.send(agent_.hello(**fields))
        assert (await expect(line, "refusal")).reason == reason


async def test_complete_is_kept_and_reaches_the_host(desk: Desk) -> None:
    agent_ = desk.enrol()
    await desk.connect(agent_)
    assert desk.one(select(host.c.complete)) is False
    await desk.connect(agent_, complete=True)
    await desk.connect(agent_)
    assert desk.one(select(session.c.complete)) is True
    assert desk.one(select(host.c.complete)) is True


async def test_an_instance_that_returns_with_removals_alone_begins_at_zero(desk: Desk) -> None:
    agent_ = desk.enrol()
    line = await desk.connect(agent_)
    await agent_.report(line, {b"/a.pem": file_of(b"der")})
    desk.clock.advance(60)
    first, second = agent_.instance, b"n" * 16
    agent_.instance, agent_.nonce, agent_.complete = second, b"", True
    line = await desk.connect(agent_)
    await line.send(listing(PLACE, {}))
    assert (await expect(line, "difference")).removed == 1
    for instance, reached in ((b"3" * 16, 0), (second, 0), (first, 1)):
        agent_.instance, agent_.nonce = instance, b""
        assert (await agent_.greet(desk.line(agent_))).last_sequence == reached
