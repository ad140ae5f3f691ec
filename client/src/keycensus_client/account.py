"""What the collector answers about API tokens and its audit log; fields are explained in its description."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One of one's API tokens, without its secret."""

    id: str
    name: str
    state: str
    permissions: list[str] | None
    teams: list[str] | None
    created: str | None
    expires: str | None
    last_used: str | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A fresh API token; `token` is shown this once."""

    id: str
    expires: str | None
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider to sign in at with a browser."""

    name: str
    title: str
    start: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit log."""

    number: int
    at: str | None
    actor: str
    action: str
    subject: str
    detail: dict[str, object]
    hash: str
