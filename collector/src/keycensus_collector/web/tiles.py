"""The tiles of the overview: which views they are, in which order; one's own, one's team's, or the usual ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from keycensus_collector.access import audit
from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.preferences import Holder, prefer, preferred
from keycensus_collector.access.principals import Principal
from keycensus_collector.api.problems import forbidden
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.people import teams_of_user
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.store.tables.ownership import team
from keycensus_collector.views.model import View
from keycensus_collector.views.stored import list_views
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, submit

router = APIRouter()

USUAL = (
    *("expired", "expiring", "expiring-unrenewed", "overdue-renewals", "renewed-not-reloaded"),
    *("revoked-but-live", "open-keys", "shared-keys", "weak-keys", "marked-and-back", "ownerless"),
    *("mine-to-confirm", "locked-keystores", "blind-spots", "silent-hosts", "without-agent"),
)
_NAME = "tiles"
_MOST = 40


@dataclass(frozen=True, slots=True)
class Arranged:
    """Names of views in their order. `whose`: "own", the name of a team, or "" for the usual ones."""

    names: tuple[str, ...]
    whose: str


def arranged(connection: Connection, principal: Principal) -> Arranged:
    """Return the tiles that somebody sees."""
    own = preferred(connection, Holder("user", principal.user_no), _NAME)
    if own is not None:
        return Arranged(tuple(own), "own")
    numbers = sorted(teams_of_user(connection, principal.user))
    names = connection.execute(
        select(team.c.team_no, team.c.name).where(team.c.team_no.in_(numbers)).order_by(team.c.name)
    )
    for row in names:
        shared = preferred(connection, Holder("team", row.team_no), _NAME)
        if shared is not None:
            return Arranged(tuple(shared), row.name)
    return Arranged(USUAL, "")


def in_order(views: Sequence[View], names: Sequence[str]) -> list[View]:
    """Return the views of these names that can be asked, in the order of the names."""
    by_name = {view.name: view for view in views if not view.problem}
    return [by_name[name] for name in names if name in by_name]


@router.get("/tiles")
async def tiles(visit: Visiting) -> Response:
    """Show which views are tiles, to be chosen and arranged."""
    return await _show(visit)


@router.post("/tiles")
async def arrange(visit: Visiting) -> Response:
    """Keep which views are tiles, for oneself or for a team; or take that back."""
    principal, now_ms = visit.principal, visit.now_ms

    async def act(sent: Sent) -> str:
        to, names = sent.text("team"), None if sent.text("reset") else chosen(sent)
        if to and not principal.may(Permission.VIEWS_SHARE):
            raise forbidden("tiles for a team are arranged by operators and admins (views.share)")

        def work(connection: Connection) -> None:
            if not to:
                prefer(connection, Holder("user", principal.user_no), _NAME, names)
                return
            prefer(connection, Holder("team", team_no(connection, to)), _NAME, names)
            audit.record(
                connection,
                at_ms=now_ms,
                actor=principal.actor,
                action="tiles.share",
                subject=to,
                detail={"tiles": names or []},
            )

        await visit.store.run_write(work)
        return "/"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, mistake, chosen(sent, check=False))

    return await submit(visit, act, again, "tiles-kept")


def chosen(sent: Sent, *, check: bool = True) -> list[str]:
    """Return the names that a form ticks, by the numbers that it gives them; UsageError for none or too many."""
    places: Mapping[str, float] = {
        name: _place(str(sent.data.get(f"place.{name}", ""))) for name in sent.texts("tile")
    }
    names = sorted(places, key=lambda name: places[name])
    if check and not 0 < len(names) <= _MOST:
        raise UsageError(f"choose 1 to {_MOST} tiles; {len(names)} are chosen")
    return names


def _place(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")


async def _show(
    visit: Visit, mistake: Mistake | None = None, names: Sequence[str] | None = None
) -> Response:
    def work(connection: Connection) -> tuple[list[View], Arranged, list[str]]:
        teams = connection.execute(
            select(team.c.name).where(team.c.dissolved_ms.is_(None)).order_by(team.c.name)
        )
        return list_views(connection), arranged(connection, visit.principal), list(teams.scalars())

    views, now, teams = await visit.store.run_read(work)
    shown = in_order(views, now.names if names is None else names)
    others = [view for view in views if view not in shown and not view.problem]
    return visit.page(
        "tiles.html",
        mistake=mistake,
        shown=shown,
        others=others,
        whose=now.whose,
        teams=[("", "myself"), *((name, f"team {name}") for name in teams)]
        if visit.principal.may(Permission.VIEWS_SHARE)
        else [],
    )
