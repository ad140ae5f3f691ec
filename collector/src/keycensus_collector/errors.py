"""Every error that the collector raises on purpose.

    KeycensusError                        collector.error             3
    ├── UsageError                        collector.usage             2
    ├── ConfigurationError                collector.configuration     2
    ├── StoreError                        collector.store             3
    │   ├── StoreNewerError               collector.store.newer       3
    │   ├── StoreBusyError                collector.store.busy        3
    │   └── StoreFullError                collector.store.full        3
    ├── AuthorityError                    collector.authority         3
    ├── AddressError                      collector.address           3
    └── Refusal                           collector.refusal           3   said to an agent or a person

The last column is the exit status.
"""

from __future__ import annotations

from typing import ClassVar


class KeycensusError(Exception):
    """Something went wrong; `str()` is a sentence for people, with what to do."""

    error_id: ClassVar[str] = "collector.error"
    exit_status: ClassVar[int] = 3


class UsageError(KeycensusError):
    """The command line asks for something that can't be done as written."""

    error_id = "collector.usage"
    exit_status = 2


class ConfigurationError(KeycensusError):
    """The configuration has mistakes; all of them are in the text, a line each."""

    error_id = "collector.configuration"
    exit_status = 2


class StoreError(KeycensusError):
    """The database can't be used."""

    error_id = "collector.store"


class StoreNewerError(StoreError):
    """The database was migrated by a newer program; this one must not touch it."""

    error_id = "collector.store.newer"


class StoreBusyError(StoreError):
    """Another process holds this SQLite database."""

    error_id = "collector.store.busy"


class StoreFullError(StoreError):
    """The file system under the database is full."""

    error_id = "collector.store.full"


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
