"""Each asker gets its share of the time; the one that asks for much waits for itself."""

from __future__ import annotations

import asyncio

import pytest

from keycensus_collector.fairness import FairGate, FairQueue


def served(queue: FairQueue[str], seconds: dict[str, float], count: int) -> list[str]:
    order = []
    for _ in range(count):
        item = queue.take()
        order.append(item)
        queue.charge(seconds[item])
    return order


def test_who_asked_for_little_goes_before_who_asked_for_much() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(5):
        queue.put("much", "long")
    queue.put("little", "short")
    # What has begun is not broken off; then the newcomer's turn has come.
    assert served(queue, {"long": 1.0, "short": 0.01}, 2) == ["long", "short"]
    assert served(queue, {"long": 1.0}, 4) == ["long"] * 4
    assert not queue


def test_two_that_always_ask_share_the_time_and_not_the_turns() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put("a", "long")
        queue.put("b", "short")
    order = served(queue, {"long": 1.0, "short": 0.25}, 50)
    assert 38 <= order.count("short") <= 42


def test_an_asker_keeps_the_order_of_its_own_and_waits_for_its_own_costs() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.put("a", 1)
    assert queue.take() == 1
    queue.put("a", 2)
    queue.put("b", 3)
    queue.charge(1.0)
    assert [queue.take() for _ in range(1)] == [3]
    queue.charge(0.1)
    assert queue.take() == 2
    queue.charge(0.0)
    queue.charge(5.0)
    with pytest.raises(IndexError):
        queue.take()


def test_who_was_idle_saves_nothing_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(3):
        queue.put("busy", "long")
    served(queue, {"long": 1.0}, 3)
    for _ in range(3):
        queue.put("busy", "long")
        queue.put("rested", "short")
    # Not all of "rested" first, as if the time of its rest was owed to it.
    assert served(queue, {"long": 1.0, "short": 1.0}, 4).count("long") == 2


def test_shares_that_are_used_up_are_forgotten() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("busy", "x")
    for number in range(5000):
        queue.put(number, "x")
        queue.put("busy", "x")
        served(queue, {"x": 0.5}, 2)
    assert len(queue._finished) < 2000


async def test_a_gate_lets_one_through_at_a_time() -> None:
    gate, inside, most = FairGate(), 0, 0

    async def work(asker: int) -> None:
        nonlocal inside, most
        async with gate.turn(asker):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(number % 3) for number in range(20)))
    assert most == 1


async def test_who_stops_waiting_at_a_gate_holds_nobody_up() -> None:
    gate, release = FairGate(), asyncio.Event()
    order: list[str] = []

    async def work(name: str) -> None:
        async with gate.turn(name):
            order.append(name)

    async def work_long() -> None:
        async with gate.turn("first"):
            await release.wait()
        # It has been let through and does not know it yet.
        chosen.cancel()

    first = asyncio.create_task(work_long())
    await asyncio.sleep(0)
    waits = asyncio.create_task(work("waits"))
    chosen = asyncio.create_task(work("chosen"))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(first, waits, chosen, return_exceptions=True)
    await asyncio.wait_for(work("last"), 5)
    assert order == ["last"]
