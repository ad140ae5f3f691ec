"""What a reader of one tool's records is given, and what all of them do alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.schedules import Schedules
from keycensus_agent.context.sources import Sources, shown

_NAME_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """A root's files, what starts by itself there, and the time in milliseconds since the epoch."""

    sources: Sources
    schedules: Schedules
    now_ms: int

    def written_ms(self, path: str) -> int:
        """Return when the file was written that `path` leads to, in milliseconds; 0 if there is none."""
        facts = self.sources.facts(path)
        return max(facts.st_mtime_ns, 0) // 1_000_000 if facts is not None else 0

    def renewer(
        self,
        tool: str,
        name: str,
        *,
        record: str,
        paths: Iterable[str],
        schedule: str,
        last_success_ms: int,
        reason: str,
    ) -> Renewer:
        """Return a renewer; a `reason` says why it is overdue, and none schedules it if that is empty."""
        places: dict[bytes, None] = {}
        for path in filter(None, paths):
            place = self.sources.place(path)
            places[place] = None
            # Links in front of what a tool writes are how most services come to it.
            target = self.sources.files.link_target(place)
            if target:
                places[target] = None
        reason = reason or ("" if schedule else "not-scheduled")
        return Renewer(
            tool=tool,
            name=shown(name)[:_NAME_LIMIT],
            configuration=self.sources.place(record),
            paths=tuple(places),
            last_success_ms=last_success_ms,
            overdue=bool(reason),
            schedule=shown(schedule),
            reason=reason,
        )
