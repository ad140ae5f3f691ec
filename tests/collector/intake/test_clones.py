"""Clones, restored snapshots and healthy agents on bad lines, against the real session and store."""

from __future__ import annotations

import os
import random

import pytest
from fakes.agent_stream import START_MS, Desk, FakeAgent, file_of
from sqlalchemy import select, update

from keycensus_collector.intake import contacts
from keycensus_collector.intake.model import Hello, Limits
from keycensus_collector.intake.session import TurnedAway, Welcome, open_session
from keycensus_collector.store.schema import agent, agent_contact, audit, place
from keycensus_proto.v1 import inventory_pb2

# `make faults-long` takes a thousand.
AGENTS = int(os.environ.get("KEYCENSUS_COPIES", "150"))


def copy_of(original: FakeAgent) -> FakeAgent:
    """Return an agent on a copy of the machine's disk."""
    return FakeAgent(
        original.peer, instance=original.instance, nonce=original.nonce, sequence=original.sequence
    )


async def refused(desk: Desk, who: FakeAgent, **fields: object) -> tuple[str, str]:
    line = desk.line(who)
    await line.send(who.hello(**fields))
    answer = await line.receive()
    assert answer is not None
    assert answer.WhichOneof("message") == "refusal", answer
    return answer.refusal.reason, answer.refusal.text


def boot(number: int) -> bytes:
    return number.to_bytes(16, "big")


def facts(name: str) -> bytes:
    return inventory_pb2.HostFacts(name=name).SerializeToString()


async def test_two_copies_that_both_report_are_both_refused_and_shown(desk: Desk) -> None:
    first = desk.enrol()
    line = await desk.connect(first, boot_id=boot(1))
    await first.report(line, {b"/a.pem": file_of(b"der")})
    await line.leave()
    second = copy_of(first)
    for who, number in ((first, 1), (first, 1), (second, 2)):
        await (
            await desk.connect(who, boot_id=boot(number), host_facts=facts(f"m{number}"))
        ).leave()
    assert (await refused(desk, first, boot_id=boot(1), host_facts=facts("m1")))[0] == "cloned"
    reason, text = await refused(desk, second, boot_id=boot(2), host_facts=facts("m2"))
    assert reason == "cloned"
    assert "agent rekey" in text
    state, why = desk.rows(select(agent.c.state, agent.c.state_reason))[0]
    assert (state, why) == ("cloned", "a newer state came back after an older one")
    machines = desk.rows(
        select(agent_contact.c.name, agent_contact.c.boot_id, agent_contact.c.verdict).where(
            agent_contact.c.name.like("m%")
        )
    )
    assert {(name, boot_id) for name, boot_id, _ in machines} == {("m1", boot(1)), ("m2", boot(2))}
    assert "agent.cloned" in [row.action for row in desk.rows(select(audit.c.action))]
    assert desk.one(select(place.c.gone_ms)) is None  # the inventory stays as it was


async def test_the_stream_that_is_open_when_a_clone_is_found_writes_nothing_more(
    desk: Desk,
) -> None:
    first = desk.enrol()
    await (await desk.connect(first, boot_id=boot(1))).leave()
    second = copy_of(first)
    for _ in range(2):
        await (await desk.connect(first, boot_id=boot(1))).leave()
    line = await desk.connect(second, boot_id=boot(2))
    await refused(desk, first, boot_id=boot(1))
    with pytest.raises(AssertionError, match="cloned"):
        await second.send_batch(line)


async def test_copies_in_step_are_told_by_their_boots(desk: Desk) -> None:
    """Both hold the same nonce at each turn, as if every answer had been lost."""
    first = desk.enrol()
    await (await desk.connect(first, boot_id=boot(1))).leave()
    second = copy_of(first)
    for number in (1, 2, 1):
        first.nonce = second.nonce
        await (await desk.connect(second, boot_id=boot(number))).leave()
        second.nonce = first.nonce
    assert (await refused(desk, second, boot_id=boot(2)))[0] == "cloned"
    assert desk.one(select(agent.c.state_reason)) == "two boots take turns"


async def test_a_restored_snapshot_heals_by_itself_however_often(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who, boot_id=boot(1))
    await who.report(line, {b"/a.pem": file_of(b"der")})
    snapshot = copy_of(who)
    for number in range(2, 6):
        for _ in range(3):
            await desk.connect(who, boot_id=boot(number))
        who = copy_of(snapshot)
        ack = await who.greet(desk.line(who), boot_id=boot(number + 100))
        assert ack.list_wanted
    assert desk.one(select(agent.c.state)) == "active"


async def test_a_hello_that_was_overtaken_changes_nothing(desk: Desk) -> None:
    who = desk.enrol()
    await desk.connect(who, boot_id=boot(1))
    held_up = copy_of(who)
    for later in range(1, 4):
        await desk.connect(who, boot_id=boot(1), agent_time_unix_ms=START_MS + later * 1000)
    for _ in range(2):
        reason, _ = await refused(desk, held_up, boot_id=boot(1), agent_time_unix_ms=START_MS + 500)
        assert reason == "superseded"
    who_now = await who.greet(desk.line(who), boot_id=boot(1), agent_time_unix_ms=START_MS + 9000)
    assert not who_now.list_wanted
    assert desk.one(select(agent.c.state)) == "active"


async def test_only_so_many_machines_are_kept_of_a_healthy_agent(desk: Desk) -> None:
    who = desk.enrol()
    for number in range(1, 25):
        desk.clock.advance(1)
        await desk.connect(who, boot_id=boot(number))
    kept = desk.rows(select(agent_contact.c.boot_id).order_by(agent_contact.c.last_ms))
    assert [row.boot_id for row in kept] == [
        boot(number) for number in range(25 - contacts.KEPT_IN_ORDER, 25)
    ]


async def test_a_replaced_certificate_is_noted_and_refused(desk: Desk) -> None:
    who = desk.enrol()
    await desk.connect(who)
    with desk.store.write() as connection:
        connection.exec_driver_sql("UPDATE agent_certificate SET state = 'void'")
    reason, text = await refused(desk, who, boot_id=boot(7), host_facts=facts("restored"))
    assert reason == "unknown"
    assert "agent rekey" in text
    rows = desk.rows(select(agent_contact.c.verdict).where(agent_contact.c.name == "restored"))
    assert [row.verdict for row in rows] == ["replaced"]


async def test_a_banned_copy_is_told_so_and_not_noted(desk: Desk) -> None:
    who = desk.enrol()
    with desk.store.write() as connection:
        connection.execute(update(agent).values(state="banned"))
    assert (await refused(desk, who))[0] == "banned"
    assert desk.rows(select(agent_contact)) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_healthy_agents_that_lose_every_second_answer_are_no_clones(
    desk: Desk,
) -> None:
    """By the session's function in a real store, without the network: 3 hellos each.

    Every second answer is lost; some agents reboot, or lose their state, meanwhile.
    """
    chance = random.Random(4)  # noqa: S311 - which agent reboots is no secret
    agents = [desk.enrol(f"h{number}") for number in range(AGENTS)]
    boots = [boot(number + 1) for number in range(AGENTS)]
    verdicts: list[Welcome | TurnedAway] = []
    for turn in range(3):
        desk.clock.advance(900)
        now_ms = desk.clock.now_ms()
        with desk.store.write() as connection:
            for number, who in enumerate(agents):
                if chance.random() < 0.1:
                    boots[number] = os.urandom(16)
                if chance.random() < 0.02:
                    who.instance, who.nonce = os.urandom(16), b""
                hello = Hello(
                    protocol_version=1,
                    agent_version="1",
                    instance=who.instance,
                    boot_id=boots[number],
                    nonce=who.nonce,
                    complete=False,
                    acknowledged_sequence=0,
                    host_facts=b"",
                    agent_time_ms=now_ms,
                )
                welcome = open_session(connection, who.peer, hello, now_ms)
                verdicts.append(welcome)
                if isinstance(welcome, Welcome) and (turn + number) % 2:
                    who.nonce = welcome.opened.nonce
    assert all(isinstance(each, Welcome) and not each.restored for each in verdicts)
    assert set(desk.rows(select(agent.c.state).distinct())) == {("active",)}


async def test_a_ban_by_another_process_ends_an_open_stream_within_five_seconds(
    desk: Desk,
) -> None:
    """Written straight into the database: nothing in this process is told."""
    assert Limits().watch_seconds < 5
    who = desk.enrol()
    line = await desk.connect(who)
    with desk.store.write() as connection:
        connection.execute(update(agent).values(state="banned"))
    answer = await line.receive()
    assert answer is not None
    assert answer.refusal.reason == "banned"
