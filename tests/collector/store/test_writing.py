from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from keycensus_collector.store.writing import URGENT_IN_A_ROW, WriteThread

SECONDS = 10


@pytest.fixture
def thread() -> Iterator[WriteThread]:
    thread = WriteThread()
    yield thread
    thread.close()


def test_the_urgent_go_first_and_the_rest_in_order(thread: WriteThread) -> None:
    release = threading.Event()
    done: list[str] = []
    thread.submit(lambda: release.wait(SECONDS))
    futures = [
        thread.submit(lambda name=name: done.append(name), urgent=name.startswith("urgent"))  # type: ignore[misc]
        for name in ("one", "two", "urgent one", "three", "urgent two")
    ]
    release.set()
    for future in futures:
        future.result(SECONDS)
    assert done == ["urgent one", "urgent two", "one", "two", "three"]


def test_the_urgent_do_not_keep_the_rest_waiting_for_ever(thread: WriteThread) -> None:
    begun, release = threading.Event(), threading.Event()
    done: list[str] = []

    def block() -> None:
        begun.set()
        release.wait(SECONDS)

    thread.submit(block)
    assert begun.wait(SECONDS)
    urgent = 3 * URGENT_IN_A_ROW
    futures = [thread.submit(lambda: done.append("ordinary")) for _ in range(2)]
    futures += [thread.submit(lambda: done.append("urgent"), urgent=True) for _ in range(urgent)]
    release.set()
    for future in futures:
        future.result(SECONDS)
    row = ["urgent"] * URGENT_IN_A_ROW
    assert done == [*row, "ordinary", *row, "ordinary", *row]


def test_one_that_asks_for_much_does_not_keep_others_waiting(thread: WriteThread) -> None:
    begun, release = threading.Event(), threading.Event()
    done: list[str] = []

    def block() -> None:
        begun.set()
        release.wait(SECONDS)

    thread.submit(block, asker="much")
    assert begun.wait(SECONDS)
    futures = [thread.submit(lambda: done.append("much"), asker="much") for _ in range(3)]
    futures += [thread.submit(lambda: done.append("little"), asker="little")]
    release.set()
    for future in futures:
        future.result(SECONDS)
    assert done == ["little", "much", "much", "much"]


def test_an_error_goes_to_who_asked_and_the_thread_goes_on(thread: WriteThread) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        thread.submit(broken).result(SECONDS)
    assert thread.submit(lambda: 5).result(SECONDS) == 5


def test_what_was_cancelled_before_it_began_does_not_happen(thread: WriteThread) -> None:
    release = threading.Event()
    done: list[str] = []
    thread.submit(lambda: release.wait(SECONDS))
    assert thread.submit(lambda: done.append("cancelled")).cancel()
    last = thread.submit(lambda: done.append("last"))
    release.set()
    last.result(SECONDS)
    assert done == ["last"]


def test_close_runs_what_is_queued_and_takes_nothing_more() -> None:
    thread = WriteThread()
    futures = [thread.submit(lambda: 1) for _ in range(20)]
    thread.close()
    thread.close()
    assert [future.result(0) for future in futures] == [1] * 20
    with pytest.raises(RuntimeError, match="the store is closed"):
        thread.submit(lambda: 1)
