"""The thread that writes: one after another, the urgent before the rest.

Hosts that join must not stand behind the reports of those that have joined: after an outage of the
collector all of them report at once.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")

_URGENT, _ORDINARY, _LAST = range(3)


class WriteThread:
    """Runs what is given to it in one thread, by urgency and then in order."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], bool]]] = (
            queue.PriorityQueue()
        )
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], _Result], *, urgent: bool = False) -> Future[_Result]:
        """Queue `work` and return its future; RuntimeError after `close`."""
        future: Future[_Result] = Future()

        def run() -> bool:
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 - belongs to who waits for the result
                    future.set_exception(error)
                else:
                    future.set_result(result)
            return True

        with self._lock:
            if self._closed:
                raise RuntimeError("the store is closed")
            self._put(_URGENT if urgent else _ORDINARY, run)
        return future

    def close(self) -> None:
        """Run what is queued, then end the thread; a second time does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._put(_LAST, lambda: False)
        self._thread.join()

    def _put(self, priority: int, run: Callable[[], bool]) -> None:
        self._queue.put((priority, next(self._order), run))

    def _run(self) -> None:
        while self._queue.get()[2]():
            pass
