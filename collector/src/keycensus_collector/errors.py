"""Every error that the collector raises on purpose.

    KeycensusError                        collector.error             3
    ├── UsageError                        collector.usage             2
    │   ├── QueryError                    collector.query             2   with the place in the query
    │   ├── MissingError                  collector.missing           2
    │   └── ConflictError                 collector.conflict          2
    ├── ConfigurationError                collector.configuration     2
    ├── StoreError                        collector.store             3
    │   ├── StoreNewerError               collector.store.newer       3
    │   ├── StoreBusyError                collector.store.busy        3
    │   ├── StoreFullError                collector.store.full        3
    │   ├── StoreSlowError                collector.store.slow        3   a read took longer than it may
    │   └── StoreAgainError               collector.store.again       3
    ├── ScopeError                        collector.scope             3
    ├── AuthorityError                    collector.authority         3
    ├── AddressError                      collector.address           3
    ├── SignInError                       collector.sign-in           3   oidc/refusals.py
    └── Refusal                           collector.refusal           3   said to an agent or a person

The last column is the exit status.
"""

from __future__ import annotations

from typing import ClassVar

from keycensus_collector.text import safe_text

# Characters of a query shown before and behind a mistake.
_SHOWN_BEFORE, _SHOWN_AFTER = 40, 40


class KeycensusError(Exception):
    """Something went wrong; `str()` is a sentence for people, with what to do."""

    error_id: ClassVar[str] = "collector.error"
    exit_status: ClassVar[int] = 3


class UsageError(KeycensusError):
    """The command line asks for something that can't be done as written."""

    error_id = "collector.usage"
    exit_status = 2


class MissingError(UsageError):
    """What is named is not there."""

    error_id = "collector.missing"


class ConflictError(UsageError):
    """What is asked for does not go with what is there already."""

    error_id = "collector.conflict"


class QueryError(UsageError):
    """A query can't be understood: `position` and `length` say where, in characters."""

    error_id = "collector.query"

    def __init__(self, text: str, query: str, position: int, length: int = 1) -> None:
        super().__init__(text)
        self.query = query
        self.position = min(position, len(query))
        self.length = max(1, min(length, len(query) - self.position))

    def pointer(self) -> str:
        """Return the part of the query around the mistake, and a caret below it; safe to show."""
        start = max(0, self.position - _SHOWN_BEFORE)
        before = safe_text(self.query[start : self.position])
        shown = before + safe_text(self.query[self.position : self.position + _SHOWN_AFTER])
        return f"{shown}\n{' ' * len(before)}{'^' * min(self.length, _SHOWN_AFTER)}"


class ConfigurationError(KeycensusError):
    """The configuration has mistakes; all of them are in the text, a line each."""

    error_id = "collector.configuration"
    exit_status = 2


class StoreError(KeycensusError):
    """The database can't be used."""

    error_id = "collector.store"


class StoreSlowError(StoreError):
    """A read was ended because it took longer than it may; the database is fine."""

    error_id = "collector.store.slow"


class StoreNewerError(StoreError):
    """The database was migrated by a newer program; this one must not touch it."""

    error_id = "collector.store.newer"


class StoreBusyError(StoreError):
    """Another process holds this SQLite database."""

    error_id = "collector.store.busy"


class StoreFullError(StoreError):
    """The file system under the database is full."""

    error_id = "collector.store.full"


class StoreAgainError(StoreError):
    """PostgreSQL gave up on a transaction that may go through at another try."""

    error_id = "collector.store.again"


class ScopeError(KeycensusError):
    """Somebody who sees some teams' things only asks for what can't be told apart by teams."""

    error_id = "collector.scope"


class AuthorityError(KeycensusError):
    """The authority's certificate or key is missing, unreadable or unfit."""

    error_id = "collector.authority"


class AddressError(KeycensusError):
    """An address to listen on can't be bound."""

    error_id = "collector.address"


class Refusal(KeycensusError):  # noqa: N818 - it is an answer, not a failure
    """A request is refused for a typed reason ("banned", "unknown", "expired", "used", ...)."""

    error_id = "collector.refusal"

    def __init__(self, reason: str, text: str, *, retry_after_seconds: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
