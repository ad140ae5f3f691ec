"""What every operation is made of: its surroundings, its arguments, and how it finds what is named.

Arguments and results are JSON values. Nothing here is reachable from the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from keycensus_collector.authority.keeper import AuthorityKeeper
from keycensus_collector.deployment import OPERATOR
from keycensus_collector.errors import ConflictError, MissingError, UsageError
from keycensus_collector.store.schema import agent, host

Arguments = Mapping[str, Any]
Json = Any  # JSON values nest without end; what goes in and out is checked where it is used
AnyRow = Row[*tuple[Any, ...]]

_PREFIX_LEAST = 4


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an operation may need besides its transaction and arguments.

    `authority`: who signs; None where an operation is asked for that does not need it. `actor`: who asks,
    as the audit log has it.
    """

    authority: AuthorityKeeper | None
    now_ms: int
    actor: str = OPERATOR

    @property
    def signing(self) -> AuthorityKeeper:
        """Who signs; UsageError where that is not at hand."""
        if self.authority is None:
            raise UsageError("this is done on the collector's own machine")
        return self.authority


@dataclass(frozen=True, slots=True)
class Operation:
    """One function, whether it writes, and whether it may change which authority signs."""

    run: Callable[[Connection, Surroundings, Arguments], Json]
    writes: bool
    changes_authority: bool = False


def find_agent(connection: Connection, text: str) -> AnyRow:
    """Find an agent by its id, the beginning of it, or the name of its host."""
    by_id = agent.c.agent_id.startswith(text.lower(), autoescape=True)
    rows: Sequence[AnyRow] = []
    if len(text) >= _PREFIX_LEAST:
        rows = connection.execute(select(agent).where(by_id)).all()
    if not rows:
        rows = connection.execute(
            select(agent)
            .join(host, host.c.host_no == agent.c.host_no)
            .where(
                host.c.name == text,
                agent.c.state.in_(("active", "banned", "cloned", "rekeyed")),
            )
        ).all()
    return only(rows, "agent", text)


def find_host(connection: Connection, text: str) -> AnyRow:
    """Find a host by its id, the beginning of it, or its name."""
    by_id = host.c.host_id.startswith(text.lower(), autoescape=True)
    rows: Sequence[AnyRow] = []
    if len(text) >= _PREFIX_LEAST:
        rows = connection.execute(select(host).where(by_id)).all()
    if not rows:
        rows = connection.execute(select(host).where(host.c.name == text)).all()
    return only(rows, "host", text)


def only(rows: Sequence[AnyRow], kind: str, text: str) -> AnyRow:
    """Return the one row that was found; UsageError if there is none, or more."""
    if len(rows) == 1:
        return rows[0]
    found = "there is none" if not rows else f"there are {len(rows)}"
    error = ConflictError if rows else MissingError
    raise error(f"{found} for {kind} {text!r}; give the id, as in: keycensus-collector {kind} list")


def text_of(arguments: Arguments, name: str) -> str:
    """Return a text that must be there."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the argument {name} is missing")
    return value


def labels_of(arguments: Arguments) -> dict[str, str]:
    """Return labels; none if there are none."""
    value = arguments.get("labels", {})
    if not isinstance(value, dict):
        raise UsageError("the argument labels is an object")
    return {str(key): str(text) for key, text in value.items()}


def number_of(arguments: Arguments, name: str, default: int) -> int:
    """Return a whole number."""
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"the argument {name} is a whole number")
    return value
