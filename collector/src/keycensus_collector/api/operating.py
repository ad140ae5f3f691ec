"""What operators do on the collector's own machine, asked for over REST: the same functions, by somebody else.

Of the operations only those can be asked for that need neither the authority's key nor files.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.security import Database
from keycensus_collector.clock import Clock
from keycensus_collector.inventory.values import time_text
from keycensus_collector.operation import Json, Surroundings
from keycensus_collector.operations import OPERATIONS


async def operate(
    store: Database,
    clock: Clock,
    principal: Principal,
    name: str,
    **arguments: Any,  # noqa: ANN401 - JSON
) -> Json:
    """Run an operation as somebody, who may do it by `access/rights.py`, and return its result."""
    operation = OPERATIONS[name]
    around = Surroundings(None, clock.now_ms(), principal.actor)

    def work(connection: Connection) -> Json:
        return operation.run(connection, around, arguments)

    return await (store.run_write(work, urgent=True) if operation.writes else store.run_read(work))


def readable(told: dict[str, Any]) -> dict[str, Any]:
    """Return a result with its `*_ms` as times, under names without that ending."""
    return {
        name.removesuffix("_ms"): time_text(value) if name.endswith("_ms") else value
        for name, value in told.items()
    }
