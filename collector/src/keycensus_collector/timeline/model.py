"""What a time line is made of."""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = (
    *("appeared", "moved", "changed", "permissions", "file-owner", "use", "status", "gone"),
    *(
        "renewed",
        "follows",
        "owner",
        "place-owner",
        "marked",
        "unmarked",
        "revoked",
        "unrevoked",
        "came-back",
        "state",
    ),
)


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, by the collector's clock in milliseconds. Text is escaped."""

    at_ms: int
    what: str  # one of EVENTS
    host: str = ""
    path: str = ""
    detail: str = ""
    cause: str = ""

    @property
    def order(self) -> tuple[int, str, str, str, str]:
        """The newest first; at one time by host and path."""
        return (-self.at_ms, self.host, self.path, self.what, self.detail)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as people see it."""

    at: str | None
    what: str
    host: str
    path: str
    detail: str
    cause: str  # of a host's report: "content", "facts", "parser", "coverage", "first", "reconcile"


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A page of events, the newest first; `next` is `before` of the page behind, null on the last."""

    kind: str
    id: str
    name: str
    events: list[Event]
    next: int | None
