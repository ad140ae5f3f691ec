"""`keycensus-collector` by a clock that is some days behind: `python earlier.py DAYS COMMAND…`.

For what the demo's fleet went through before today. The clock is all that differs: the collector takes the
time from nothing else.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from keycensus_collector import clock
from keycensus_collector.cli import main

DAY_MS = 86_400_000


class Behind(clock.SystemClock):
    """The machine's clock, so many milliseconds ago."""

    def __init__(self, behind_ms: int) -> None:
        self._behind_ms = behind_ms

    def now_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        return super().now_ms() - self._behind_ms


if __name__ == "__main__":
    behind = Behind(int(sys.argv.pop(1)) * DAY_MS)
    with patch.object(clock, "SystemClock", lambda: behind):
        main()
