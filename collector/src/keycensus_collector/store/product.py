"""What a store needs of the database product below it; `sqlite` and `postgresql` each have one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection, Engine


class Product(Protocol):
    """One open database.

    `name` is what messages call it (a file, or an address without secrets). A connection of `writer`
    begins each transaction alone: what others committed is seen, and nobody else writes until its
    end. Those of `reader` can't write, and each transaction sees one snapshot.
    """

    name: str
    is_shared: bool  # other processes may have it at the same time
    writer: Engine
    reader: Engine

    def mapped_errors(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into the collector's, each with what to do."""
        ...

    def limited(self, connection: Connection, seconds: float) -> AbstractContextManager[None]:
        """End what a reading connection does after a time, with StoreSlowError."""
        ...

    def keep_copy(self, newest: str) -> None:
        """Keep a copy from before an upgrade to the revision `newest`, where that is ours to do."""
        ...

    def after_upgrade(self, connection: Connection) -> None:
        """Do what migrations leave to the product, in their transaction."""
        ...

    def close(self) -> None:
        """Close every connection, and let others have the database."""
        ...
