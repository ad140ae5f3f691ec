"""Who owns a thing, from all that was said of it. Pure.

A place: who was given it, else who was given its host, else what rules say of the place, else what
they say of the host. A certificate or key: who was given it (or its line), else what rules say, of a
certificate also of what it follows in its line, else of a key what was said of its certificates, else
the teams of its live places outside trust stores: one is its owner, several share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """A team, and why: `how` is "explicit", "rule" or "line", `source_no` that assignment or rule."""

    team_no: int
    how: str
    source_no: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a team is to a certificate or key. Not `owns`: a place of it is the team's, no more."""

    team_no: int
    owns: bool
    # "explicit", "rule", "line", "certificates", "places", "shared"; empty: does not own it
    how: str
    source_no: int = 0


def of_artifact(
    said: Said | None,
    installers: Iterable[int],
    others: Iterable[int],
    through: Mapping[int, int] | None = None,
) -> list[Standing]:
    """Return the teams of a certificate or key by number.

    `said`: what counts of assignments and rules. `through`: of a key, who was said to own its
    certificates, each with the number of that row. `installers`: teams of its live places outside
    trust stores; `others`: teams of any place that holds it.
    """
    owners: dict[int, Standing] = {}
    installing = set(installers)
    if said is not None:
        owners[said.team_no] = Standing(said.team_no, True, said.how, said.source_no)
    elif through:
        owners = {
            number: Standing(number, True, "certificates", source_no)
            for number, source_no in through.items()
        }
    else:
        how = "places" if len(installing) == 1 else "shared"
        owners = {number: Standing(number, True, how) for number in installing}
    for number in installing.union(others):
        owners.setdefault(number, Standing(number, False, ""))
    return [owners[number] for number in sorted(owners)]


def own_row_of_place(
    explicit: Said | None, *, host_is_explicit: bool, rule: Said | None
) -> Said | None:
    """Return what stands at a place itself; None: it has the owner of its host."""
    if explicit is not None or not host_is_explicit:
        return explicit or rule
    return None
