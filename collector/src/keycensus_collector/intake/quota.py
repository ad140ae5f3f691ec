"""What one agent may cost: a second, with generous bursts, and a day. Pure.

In memory: a restart of the collector gives every agent its day anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.intake.model import Limits

_DAY_SECONDS = 86_400.0


@dataclass(slots=True)
class _Bucket:
    rate: float
    burst: float
    level: float
    at: float

    def take(self, amount: float, now: float) -> float:
        """Take `amount`, into debt if need be; return the seconds until the debt is paid."""
        self.level = min(self.burst, self.level + max(0.0, now - self.at) * self.rate) - amount
        self.at = now
        return max(0.0, -self.level / self.rate)

    def has_room(self, now: float) -> bool:
        """Whether there is no debt."""
        return self.take(0, now) <= 0.0


class Quota:
    """The buckets of one agent, over all its streams. Times are seconds of a steady clock."""

    def __init__(self, limits: Limits, now: float) -> None:
        def bucket(rate: float, burst: float) -> _Bucket:
            return _Bucket(rate, burst, burst, now)

        self._bytes = bucket(limits.bytes_per_second, limits.bytes_burst)
        self._bytes_now = bucket(limits.bytes_peak, limits.bytes_peak)
        self._messages = bucket(limits.messages_per_second, limits.messages_burst)
        self._rows = bucket(limits.rows_per_second, limits.rows_burst)
        self._rows_now = bucket(limits.rows_peak, limits.rows_peak)
        self._batches = bucket(limits.batches_per_second, limits.batches_burst)
        self._hellos = bucket(limits.hellos_per_second, limits.hellos_burst)
        self._days_rows = self._of_a_day(limits.rows_per_day, now)
        self._days_blobs = self._of_a_day(limits.blob_bytes_per_day, now)
        self._unfit = self._of_a_day(limits.unfit_per_day, now)
        # At most so many rows stand on the host; None: not counted yet (see standing.py).
        self.rows_standing: int | None = None

    @staticmethod
    def _of_a_day(amount: float, now: float) -> _Bucket:
        return _Bucket(amount / _DAY_SECONDS, amount, amount, now)

    def take_hello(self, now: float) -> float:
        """Count a stream that begins and return 0, or return in how many seconds there is room for it.

        What has to wait is not counted: an agent on a bad line must not run up debts.
        """
        seconds = self._hellos.take(0, now)
        if not seconds:
            self._hellos.take(1, now)
        return seconds

    def take_message(self, size: int, now: float) -> float:
        """Count a message of `size` bytes; return how many seconds the agent has to wait."""
        seconds = (
            self._bytes.take(size, now),
            self._bytes_now.take(size, now),
            self._messages.take(1, now),
        )
        return max(seconds)

    def take_rows(self, count: int, now: float) -> float:
        """Count rows; return how many seconds the agent has to wait."""
        seconds = (
            self._rows.take(count, now),
            self._rows_now.take(count, now),
            self._days_rows.take(count, now),
        )
        return max(seconds)

    def take_batch(self, now: float) -> float:
        """Count a batch; return how many seconds the agent has to wait."""
        return self._batches.take(1, now)

    def take_unfit(self, now: float) -> float:
        """Count a blob that was wanted and did not come as it should; return seconds to wait."""
        return self._unfit.take(1, now)

    def take_blob(self, size: int, now: float) -> None:
        """Count the bytes of a blob that came."""
        self._days_blobs.take(size, now)

    def has_room_for_blobs(self, now: float) -> bool:
        """Whether the day's bytes of blobs are not used up."""
        return self._days_blobs.has_room(now)
