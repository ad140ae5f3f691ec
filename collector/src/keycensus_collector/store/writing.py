"""The thread that writes: one after another, the urgent before the rest.

Hosts that join must not stand behind the reports of those that have joined: after an outage of the
collector all of them report at once. Nor may those who ask for what is urgent, again and again, keep
the rest waiting for ever: after a few of the urgent one that waits has its turn. Of the rest, who asked
for little lately goes before who asked for much.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TypeVar

from keycensus_collector.fairness import FairQueue

_Result = TypeVar("_Result")

# So many of the urgent go one after another while others wait.
URGENT_IN_A_ROW = 4


class WriteThread:
    """Runs what is given to it in one thread, by urgency, then fairly, then in order."""

    def __init__(self) -> None:
        self._urgent: deque[Callable[[], None]] = deque()
        self._ordinary: FairQueue[Callable[[], None]] = FairQueue()
        self._in_a_row = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[], _Result], *, urgent: bool = False, asker: Hashable = None
    ) -> Future[_Result]:
        """Queue `work` and return its future; RuntimeError after `close`.

        What several askers want and is not urgent is shared out between them by the time it takes.
        """
        future: Future[_Result] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:  # noqa: BLE001 - belongs to who waits for the result
                    future.set_exception(error)
                else:
                    future.set_result(result)

        with self._changed:
            if self._closed:
                raise RuntimeError("the store is closed")
            if urgent:
                self._urgent.append(run)
            else:
                self._ordinary.put(asker, run)
            self._changed.notify()
        return future

    def close(self) -> None:
        """Run what is queued, then end the thread; a second time does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (run := self._next()) is not None:
            began = time.perf_counter()
            run()
            # Of what was urgent nobody is charged: `charge` is for what was taken from the queue.
            with self._changed:
                self._ordinary.charge(time.perf_counter() - began)

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is to run next; None when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent or self._ordinary or self._closed)
            if self._urgent and (not self._ordinary or self._in_a_row < URGENT_IN_A_ROW):
                self._in_a_row = self._in_a_row + 1 if self._ordinary else 0
                return self._urgent.popleft()
            self._in_a_row = 0
            return self._ordinary.take() if self._ordinary else None
