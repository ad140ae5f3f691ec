"""What is told first and then done: a preview with a tag, and the deed, if it is still what was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from fastapi import Response
from sqlalchemy import Connection

from keycensus_collector.api.conditional import check_preconditions, tag_of
from keycensus_collector.api.security import Database

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Told = TypeVar("_Told", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Deed(Generic[_Told]):
    """`tell` says what would come of it; `do` does it and returns that as done, after it was told anew."""

    tell: Callable[[Connection], _Told]
    do: Callable[[Connection, _Told], _Told]

    async def told_or_done(
        self, store: Database, response: Response, *, preview: bool, if_match: str
    ) -> _Told:
        """Tell it, with a tag in `response`; or do it, if its tag is among `if_match` (empty: whatever it is).

        Raises a ProblemError (412) if it would do something else by now.
        """

        def work(connection: Connection) -> _Told:
            told = self.tell(connection)
            response.headers["ETag"] = tag_of(told)
            if preview:
                return told
            check_preconditions(tag_of(told), if_match=if_match, if_none_match="")
            return self.do(connection, told)

        return await (store.run_read(work) if preview else store.run_write(work))
