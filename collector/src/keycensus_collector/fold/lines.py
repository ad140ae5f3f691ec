"""Lines: certificates that follow one another, so that people's decisions outlive a renewal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.fold.lineage import Leaf, Step
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import certificate, line, line_step


@dataclass(slots=True)
class Known:
    """A certificate's row as far as lines need it; `line_no` changes while lines are assigned."""

    leaf: Leaf
    name: str
    not_before_ms: int
    live_places: int
    line_no: int | None


def load_known(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, Known]:
    """Return the certificates that the catalogue has."""
    known: dict[bytes, Known] = {}
    for chunk in chunked(sorted(hashes)):
        rows = connection.execute(
            select(
                certificate.c.sha256,
                certificate.c.subject_der_hash,
                certificate.c.issuer_der_hash,
                certificate.c.key_id,
                certificate.c.names_text,
                certificate.c.common_name,
                certificate.c.subject,
                certificate.c.is_ca,
                certificate.c.not_before_ms,
                certificate.c.live_places,
                certificate.c.line_no,
            ).where(certificate.c.sha256.in_(chunk))
        )
        for row in rows:
            names = row.names_text.split("\n") if row.names_text else []
            leaf = Leaf(
                row.sha256,
                row.subject_der_hash,
                row.issuer_der_hash,
                row.key_id,
                frozenset(names),
                row.is_ca,
            )
            name = row.common_name or (names[0] if names else row.subject)
            known[row.sha256] = Known(
                leaf, name, row.not_before_ms or 0, row.live_places, row.line_no
            )
    return known


def assign_lines(
    connection: Connection,
    steps: Sequence[tuple[Step, int]],
    live: Sequence[bytes],
    known: dict[bytes, Known],
    now_ms: int,
) -> None:
    """Write the steps and give every certificate of them, and every live one, its line."""
    steps = _without_returns(connection, steps)
    before = {hash_: item.line_no for hash_, item in known.items()}
    founders = [step.predecessor for step, _ in steps] + list(live)
    successors = {step.successor for step, _ in steps}
    _found_lines(connection, [h for h in founders if h not in successors], known, now_ms)
    alone = _alone(connection, {known[h].line_no for h in successors} - {None})
    given_up = _continue_lines([step for step, _ in steps], alone, known)
    # A round of certificates that only follow each other has no founder; the first becomes it.
    _found_lines(connection, [step.successor for step, _ in steps], known, now_ms)
    _write(connection, steps, known, before)
    if given_up:
        connection.execute(delete(line).where(line.c.line_no.in_(given_up)))


def _continue_lines(steps: Sequence[Step], alone: set[int], known: dict[bytes, Known]) -> set[int]:
    """Give each successor its predecessor's line; return lines that were given up for it.

    A successor that has a line keeps it, unless it is alone in it. Repeated while lines move on,
    since a predecessor may be the successor of another step.
    """
    predecessors: dict[bytes, list[bytes]] = defaultdict(list)
    for step in steps:
        predecessors[step.successor].append(step.predecessor)
    members: dict[int, list[Known]] = defaultdict(list)
    for item in known.values():
        if item.line_no is not None:
            members[item.line_no].append(item)
    given_up: set[int] = set()
    settled: set[bytes] = set()
    moved = True
    while moved:
        moved = False
        for successor, followed in predecessors.items():
            own = known[successor].line_no
            if successor in settled or (own is not None and own not in alone):
                continue
            best = max(
                (known[predecessor] for predecessor in followed),
                key=lambda item: (item.line_no is not None, item.live_places),
            )
            if best.line_no is None or best.line_no == own:
                continue
            settled.add(successor)
            moved = True
            moving = [known[successor]] if own is None else members.pop(own)
            if own is not None:
                given_up.add(own)
            for item in moving:
                item.line_no = best.line_no
            members[best.line_no] += moving
    return given_up


def _without_returns(
    connection: Connection, steps: Sequence[tuple[Step, int]]
) -> list[tuple[Step, int]]:
    """Leave out steps back: an older certificate put in place again is no successor."""
    pairs: dict[tuple[bytes, bytes], None] = {}
    for chunk in chunked(sorted({step.predecessor for step, _ in steps})):
        rows = connection.execute(
            select(line_step.c.predecessor, line_step.c.successor).where(
                line_step.c.successor.in_(chunk)
            )
        )
        pairs |= {(row.predecessor, row.successor): None for row in rows}
    kept: list[tuple[Step, int]] = []
    for step, at_ms in steps:
        if (step.successor, step.predecessor) not in pairs:
            pairs[step.predecessor, step.successor] = None
            kept.append((step, at_ms))
    return kept


def _alone(connection: Connection, lines: set[int | None]) -> set[int]:
    """Return those lines that nothing followed in: started only because nobody knew better."""
    alone: set[int] = set()
    for chunk in chunked(sorted(number for number in lines if number is not None)):
        rows = connection.execute(
            select(certificate.c.line_no)
            .where(
                certificate.c.line_no.in_(chunk),
                ~exists().where(line_step.c.line_no == certificate.c.line_no),
            )
            .group_by(certificate.c.line_no)
            .having(func.count() == 1)
        ).scalars()
        alone |= {number for number in rows if number is not None}
    return alone


def _found_lines(
    connection: Connection, hashes: Iterable[bytes], known: dict[bytes, Known], now_ms: int
) -> None:
    """Start a line for each of these certificates that is known and has none."""
    new = [h for h in dict.fromkeys(hashes) if h in known and known[h].line_no is None]
    if not new:
        return
    numbers = connection.execute(
        insert(line).returning(line.c.line_no, sort_by_parameter_order=True),
        [{"created_ms": now_ms, "name": known[hash_].name} for hash_ in new],
    ).scalars()
    for hash_, number in zip(new, numbers, strict=True):
        known[hash_].line_no = number


def _write(
    connection: Connection,
    steps: Sequence[tuple[Step, int]],
    known: dict[bytes, Known],
    before: dict[bytes, int | None],
) -> None:
    changed = [
        {"hash": hash_, "line": item.line_no}
        for hash_, item in known.items()
        if item.line_no != before[hash_]
    ]
    if changed:
        connection.execute(
            update(certificate)
            .where(certificate.c.sha256 == bindparam("hash"))
            .values(line_no=bindparam("line")),
            changed,
        )
    if not steps:
        return
    rows = [
        {
            "successor": step.successor,
            "predecessor": step.predecessor,
            "line_no": known[step.successor].line_no,
            "kind": step.kind,
            "place_no": step.place_no,
            "at_ms": at_ms,
        }
        for step, at_ms in steps
    ]
    connection.execute(upsert(connection, line_step).on_conflict_do_nothing(), rows)
    _rename(connection, steps, known)


def _rename(
    connection: Connection, steps: Sequence[tuple[Step, int]], known: dict[bytes, Known]
) -> None:
    """Name each line that went on after its newest certificate."""
    newest: dict[int, Known] = {}
    for step, _ in steps:
        item = known[step.successor]
        if item.line_no is not None:
            best = newest.get(item.line_no)
            if best is None or item.not_before_ms >= best.not_before_ms:
                newest[item.line_no] = item
    connection.execute(
        update(line).where(line.c.line_no == bindparam("line")).values(name=bindparam("new_name")),
        [{"line": number, "new_name": item.name} for number, item in newest.items()],
    )
