"""What a user may do and see at this moment: role, teams, and the limits of a token."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from keycensus_collector.access.permissions import SCOPED, Permission, granted
from keycensus_collector.ownership.people import teams_of_user

SEES = ("all", "teams")


@dataclass(frozen=True, slots=True)
class Standing:
    """Permissions, and the teams whose things are seen; None: everybody's."""

    permissions: frozenset[Permission]
    teams: frozenset[int] | None


def standing_of(
    connection: Connection, row: Row[*tuple[Any, ...]], limits: str = "", only_teams: str = ""
) -> Standing:
    """Return what a user (`name`, `role`, `sees` of `row`) may now.

    `limits`, `only_teams`: of a token, JSON lists, empty for none. Both only take away.
    """
    permissions = granted(row.role, json.loads(limits) if limits else None)
    teams = None if row.sees == "all" else teams_of_user(connection, row.name)
    if only_teams:
        some = frozenset(json.loads(only_teams))
        teams = some if teams is None else teams & some
    if teams is not None:
        permissions &= SCOPED
    return Standing(permissions, teams)
