from __future__ import annotations

import asyncio
import threading

from fakes.agent_stream import START_MS
from fakes.databases import DATABASES

from keycensus_collector.clock import FixedClock
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.shared import Intake
from keycensus_collector.intake.turn import Turn
from keycensus_collector.store.engine import Store


def test_who_decodes_lets_the_writer_go_before() -> None:
    turn, has_written, at = Turn(), threading.Event(), []

    def write() -> None:
        with turn.asking("a"), turn.writing("a"):
            at.append("written")
            has_written.set()

    writer = threading.Thread(target=write)
    with turn.decoding():
        turn.give_way()  # to nobody
        writer.start()
        # The writer can't have its turn but by this: without it the wait would have no end.
        while not has_written.wait(0.001):
            turn.give_way()
        at.append("decoded")
    writer.join()
    assert at == ["written", "decoded"]


def test_the_writer_waits_while_nobody_gives_way() -> None:
    turn, has_written = Turn(), threading.Event()

    def write() -> None:
        with turn.asking("a"), turn.writing("a"):
            has_written.set()

    writer = threading.Thread(target=write)
    with turn.decoding():
        writer.start()
        assert not has_written.wait(0.05)
    writer.join()
    assert has_written.is_set()


def test_nothing_is_decoded_between_asking_and_writing() -> None:
    turn, decoded = Turn(), threading.Event()

    def decode() -> None:
        with turn.decoding():
            decoded.set()

    decoder = threading.Thread(target=decode)
    with turn.asking("a"):
        decoder.start()
        assert not decoded.wait(0.05)
        with turn.writing("a"):
            assert not decoded.wait(0.05)
        # On its way to the disk.
        assert decoded.wait(10)
    decoder.join()


def test_the_next_is_decoded_during_a_commit_though_others_ask_already() -> None:
    turn, decoded = Turn(), threading.Event()

    def decode() -> None:
        with turn.decoding():
            decoded.set()

    with turn.asking("a"), turn.asking("b"):
        with turn.writing("a"):
            pass
        decoder = threading.Thread(target=decode)
        decoder.start()
        assert decoded.wait(10)
    decoder.join()


def test_who_asks_and_gives_up_holds_up_nobody() -> None:
    turn = Turn()
    with turn.asking("a"):
        pass
    with turn.decoding():
        turn.give_way()


async def test_what_comes_is_decoded_while_another_collector_writes() -> None:
    url = DATABASES.empty_url()
    with Store.open(url) as ours, Store.open(url) as theirs:
        intake = Intake(ours, FixedClock(START_MS), Limits())
        with theirs.write():
            writing = asyncio.create_task(intake.write(lambda _: "written"))
            await asyncio.sleep(0.2)
            decoding = asyncio.create_task(intake.compute(lambda _: "decoded", asker=1))
            both = [writing, decoding]
            done, _ = await asyncio.wait(both, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert done == {decoding}
        assert [await writing, await decoding] == ["written", "decoded"]
