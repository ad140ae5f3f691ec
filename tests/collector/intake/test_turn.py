from __future__ import annotations

import threading

from keycensus_collector.intake.turn import Turn


def test_who_decodes_lets_the_writer_go_before() -> None:
    turn, has_written, at = Turn(), threading.Event(), []

    def write() -> None:
        with turn.writing():
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
        with turn.writing():
            has_written.set()

    writer = threading.Thread(target=write)
    with turn.decoding():
        writer.start()
        assert not has_written.wait(0.05)
    writer.join()
    assert has_written.is_set()
