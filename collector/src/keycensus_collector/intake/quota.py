"""What one agent may cost: bytes, messages and rows a second, with generous bursts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.intake.model import Limits


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


class Quota:
    """The buckets of one agent, over all its streams. Times are seconds of a steady clock."""

    def __init__(self, limits: Limits, now: float) -> None:
        def bucket(rate: float, burst: float) -> _Bucket:
            return _Bucket(rate, burst, burst, now)

        self._bytes = bucket(limits.bytes_per_second, limits.bytes_burst)
        self._messages = bucket(limits.messages_per_second, limits.messages_burst)
        self._rows = bucket(limits.rows_per_second, limits.rows_burst)

    def take_message(self, size: int, now: float) -> float:
        """Count a message of `size` bytes; return how many seconds the agent has to wait."""
        return max(self._bytes.take(size, now), self._messages.take(1, now))

    def take_rows(self, count: int, now: float) -> float:
        """Count rows; return how many seconds the agent has to wait."""
        return self._rows.take(count, now)
