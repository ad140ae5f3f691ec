"""The time line of a certificate or key: where it came and went, what followed it, who owned it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory.places import entries, named
from keycensus_collector.inventory.values import certificate_name, time_text
from keycensus_collector.store.schema import (
    certificate,
    host,
    line_step,
    manifest_entry,
    place,
    place_version,
)
from keycensus_collector.store.tables.marks import mark, reappearance
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY, artifact_owner, team
from keycensus_collector.store.tables.revocation import certificate_revocation
from keycensus_collector.timeline.changes import facts_of, what_changed
from keycensus_collector.timeline.model import Happening
from keycensus_collector.timeline.place_owners import Held, owners_where_held

# Places whose versions are looked at; those where something happened last.
MOST_PLACES = 2_000


def happenings_of(
    connection: Connection, artifact: bytes, kinds: Sequence[str], key_id: bytes
) -> list[Happening]:
    """Return all that happened to an artifact. `key_id`: of a certificate, its key's; else its own."""
    is_certificate = "certificate" in kinds
    happened, places = _at_places(connection, artifact, kinds)
    found = [*_moves(happened), *owners_where_held(connection, places)]
    if is_certificate:
        found += _steps(connection, artifact)
        found += _revocations(connection, artifact)
    found += _owners(connection, artifact, CERTIFICATE if is_certificate else KEY)
    found += _marks(connection, artifact, key_id)
    return found


def _at_places(
    connection: Connection, artifact: bytes, kinds: Sequence[str]
) -> tuple[list[Happening], dict[int, Held]]:
    """Return what happened at places, and when each held the artifact."""
    held = entries(manifest_entry.c.artifact == artifact, manifest_entry.c.kind.in_(kinds))
    rows = connection.execute(select(held.c.manifest, held.c.name).distinct())
    names: dict[bytes, set[str]] = defaultdict(set)
    for manifest, name in rows:
        names[manifest].add(name)
    newest = (
        select(place_version.c.place_no)
        .where(place_version.c.manifest.in_(select(held.c.manifest)))
        .order_by(place_version.c.version_no.desc())
        .limit(MOST_PLACES)
    )
    numbers = sorted(set(connection.execute(newest).scalars()))
    happened: list[Happening] = []
    held_at: dict[int, Held] = {}
    for chunk in chunked(numbers):
        versions: dict[int, list[Row[Any]]] = defaultdict(list)
        statement = (
            select(place_version, place.c.path, place.c.host_no, host.c.name.label("host_name"))
            .join(place, place.c.place_no == place_version.c.place_no)
            .join(host, host.c.host_no == place.c.host_no)
            .where(place_version.c.place_no.in_(chunk))
            .order_by(place_version.c.version_no)
        )
        for row in connection.execute(statement):
            versions[row.place_no].append(row)
        for number, rows_of_place in versions.items():
            happened += _at_one(rows_of_place, names)
            of = rows_of_place[0]
            times = tuple(
                (row.from_ms, row.to_ms) for row in rows_of_place if row.manifest in names
            )
            held_at[number] = Held(of.host_no, of.host_name, of.path, times)
    return happened, held_at


def _at_one(versions: Sequence[Row[Any]], names: dict[bytes, set[str]]) -> Iterator[Happening]:
    """Yield what happened to the artifact at one place, by its versions in order."""
    yield from _of_step(None, versions[0], names)
    for before, after in pairwise(versions):
        yield from _of_step(before, after, names)


def _of_step(
    before: Row[Any] | None, after: Row[Any], names: dict[bytes, set[str]]
) -> Iterator[Happening]:
    was = set() if before is None else names.get(before.manifest, set())
    now = names.get(after.manifest, set())

    def happening(what: str, name: str, detail: str = "") -> Happening:
        path = named(after.path, name)
        return Happening(after.from_ms, what, after.host_name, path, detail, after.cause)

    for name in sorted(now - was):
        facts = facts_of(after)
        yield happening(
            "appeared", name, " ".join(filter(None, (facts.use, facts.mode, facts.owner)))
        )
    for name in sorted(was - now):
        yield happening("gone", name)
    if before is None:
        return
    changes = what_changed(facts_of(before), facts_of(after))
    if not changes and before.manifest != after.manifest and not was ^ now:
        changes = [("changed", "something else in the file")]
    for name in sorted(was & now):
        # In a tree other names change all the time.
        yield from (
            happening(*(word, name, text))
            for word, text in changes
            if not (name and word == "changed")
        )


def _moves(happened: Sequence[Happening]) -> Iterator[Happening]:
    """Yield the same, with what went and came on one host at one time as one move."""
    together: dict[tuple[int, str], list[Happening]] = defaultdict(list)
    for each in happened:
        together[each.at_ms, each.host].append(each)
    for group in together.values():
        gone = [each for each in group if each.what == "gone"]
        came = [each for each in group if each.what == "appeared"]
        if len(gone) != 1 or len(came) != 1:
            yield from group
            continue
        yield replace(came[0], what="moved", detail=f"from {gone[0].path}")
        yield from (each for each in group if each not in (*gone, *came))


def _steps(connection: Connection, sha256: bytes) -> Iterator[Happening]:
    rows = connection.execute(
        select(line_step, place.c.path, host.c.name.label("host_name"))
        .outerjoin(place, place.c.place_no == line_step.c.place_no)
        .outerjoin(host, host.c.host_no == place.c.host_no)
        .where(or_(line_step.c.predecessor == sha256, line_step.c.successor == sha256))
    ).all()
    others = {row.successor if row.predecessor == sha256 else row.predecessor for row in rows}
    called = _names(connection, others)
    for row in rows:
        renewed = row.predecessor == sha256
        other = row.successor if renewed else row.predecessor
        word = "by" if renewed else "after"
        yield Happening(
            row.at_ms,
            "renewed" if renewed else "follows",
            row.host_name or "",
            row.path or "",
            f"{row.kind} {word} {called.get(other, '')} {other.hex()[:12]}",
        )


def _names(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, str]:
    columns = certificate.c
    rows = connection.execute(
        select(columns.sha256, columns.common_name, columns.names_text, columns.subject).where(
            columns.sha256.in_(list(hashes))
        )
    )
    return {row[0]: certificate_name(row[1], row[2], row[3], row[0]) for row in rows}


def _owners(connection: Connection, artifact: bytes, kind: int) -> Iterator[Happening]:
    rows = connection.execute(
        select(artifact_owner.c.from_ms, artifact_owner.c.to_ms, artifact_owner.c.how, team.c.name)
        .join(team, team.c.team_no == artifact_owner.c.team_no)
        .where(
            artifact_owner.c.artifact == artifact,
            artifact_owner.c.kind == kind,
            artifact_owner.c.owns.is_(True),
        )
    )
    for row in rows:
        yield Happening(row.from_ms, "owner", detail=f"{row.name} owns it ({row.how})")
        if row.to_ms is not None:
            yield Happening(row.to_ms, "owner", detail=f"{row.name} owns it no more")


def _revocations(connection: Connection, sha256: bytes) -> Iterator[Happening]:
    rows = connection.execute(
        select(certificate_revocation)
        .where(certificate_revocation.c.certificate == sha256)
        .order_by(certificate_revocation.c.from_ms, certificate_revocation.c.revocation_no)
    ).all()
    for row, after in zip_longest(rows, rows[1:]):
        if row.status != "revoked":
            continue
        reason = row.reason or "for no reason that it gives"
        detail = f"{reason}, by its issuer on {time_text(row.revoked_ms)}"
        yield Happening(row.from_ms, "revoked", detail=detail)
        if row.to_ms is not None and (after is None or after.status != "revoked"):
            yield Happening(row.to_ms, "unrevoked", detail="its issuer's list names it no more")


def _marks(connection: Connection, artifact: bytes, key_id: bytes) -> Iterator[Happening]:
    for row in connection.execute(select(mark).where(mark.c.subject.in_({artifact, key_id}))):
        on = "" if row.subject == artifact else " (its key)"
        yield Happening(
            row.from_ms, "marked", detail=f"{row.word}{on} by {row.set_by}: {row.reason}"
        )
        if row.to_ms is not None:
            text = f"{row.word}{on} lifted by {row.lifted_by}: {row.lifted_reason}"
            yield Happening(row.to_ms, "unmarked", detail=text)
    back = connection.execute(
        select(reappearance, mark.c.word, place.c.path, host.c.name.label("host_name"))
        .join(mark, mark.c.mark_no == reappearance.c.mark_no)
        .join(place, place.c.place_no == reappearance.c.place_no)
        .join(host, host.c.host_no == place.c.host_no)
        .where(reappearance.c.artifact == artifact)
    )
    for row in back:
        detail = f"while marked {row.word} (mark {row.mark_no})"
        yield Happening(row.at_ms, "came-back", row.host_name, row.path, detail, row.cause)
