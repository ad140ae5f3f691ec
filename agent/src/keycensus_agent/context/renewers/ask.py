"""What a reader of one tool's records is given, and what all of them do alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.schedules import Schedules
from keycensus_agent.context.renewers.validity import Validity
from keycensus_agent.context.sources import Sources, shown
from keycensus_agent.context.systemd import Units

_NAME_LIMIT = 255
_HOMES_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A root's files, what starts by itself there, and the time in milliseconds since the epoch."""

    sources: Sources
    units: Units
    schedules: Schedules
    now_ms: int

    def past_due(self, validity: Validity | None, window_days: int = 0) -> str:
        """Return "past-due" if a certificate should have been renewed by now, else ""."""
        late = validity is not None and validity.is_past_due(self.now_ms, window_days)
        return "past-due" if late else ""

    def homes(self, *below: str) -> list[str]:
        """Return directories that there are below root's and people's homes."""
        people = [f"/home/{name}" for name in self.sources.names("/home")[:_HOMES_LIMIT]]
        paths = [f"{home}/{name}" for home in ("/root", *people) for name in below]
        return [path for path in paths if self.sources.is_directory(path)]

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
