"""One parser process that goes from look to look, where looks follow each other.

To start one costs a third of a second of a core, which is more than most looks. It is ended when there
was nothing to look at for a while, so that an idle agent has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.passwords import PasswordFile

# Longer than a directory that is never quiet waits for its next look (watch/agenda.py).
KEEP_SECONDS = 8.0


@dataclass(slots=True)
class KeptParser:
    """Lends parsers, one look at a time; `keep_seconds` is 0 where nothing follows a look."""

    keep_seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _kept: ParserClient | None = None
    _since: float = 0.0

    @contextmanager
    def lent(self, passwords: PasswordFile) -> Iterator[ParserClient]:
        """Lend a parser with these candidate passwords; a look within another gets one of its own."""
        parser, self._kept = self._kept or ParserClient(details=True), None
        parser.use_passwords(passwords)
        try:
            yield parser
        except BaseException:
            parser.close()
            raise
        wanted = self.keep_seconds and parser.running and not parser.in_flight
        if wanted and self._kept is None:
            self._kept, self._since = parser, self.clock()
        else:
            parser.close()

    @property
    def end_at(self) -> float | None:
        """When the kept parser is to be ended, by `clock`; None if there is none."""
        return None if self._kept is None else self._since + self.keep_seconds

    def end_if_idle(self) -> None:
        """End the kept parser if nothing was to be parsed for `keep_seconds`."""
        end_at = self.end_at
        if end_at is not None and self.clock() >= end_at:
            self.close()

    def close(self) -> None:
        """End the kept parser, if there is one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def cpu_seconds(self) -> float:
        """Return the processor time of the kept parser, which counts as a child's only when it ended."""
        return self._kept.cpu_seconds() if self._kept is not None else 0.0
