"""Owners that follow from those of certificates: of what comes next in a line, and of keys.

A rule that means a certificate goes on for its renewals: what no rule means itself has the rule of what
it follows in its line. A key that nobody was given and no rule means is its certificates' owner's, where
somebody was said to own these; else it has the owners of its own places, as they have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, and_, or_, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership.resolve import Said
from keycensus_collector.ownership.rules import Rule, matches, winners
from keycensus_collector.query.model import Query, Term, both
from keycensus_collector.store.schema import certificate, line_step, public_key
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY, artifact_owner

# Owners that somebody or a rule named, not those that follow from places.
_SAID = ("explicit", "rule", "line")

# How far back a line is followed: certificates of 47 days reach over nine years.
_MOST_STEPS = 72

_owner = artifact_owner.c


def ruled_by_line(
    connection: Connection, rules: Sequence[Rule], hashes: Collection[bytes], now_ms: int
) -> dict[bytes, Said]:
    """Return what rules say of certificates by what these follow in their line: the nearest that one means.

    What is followed is gone or an old copy as a rule, so `found:any` holds for it.
    """
    asked = [_of_any(rule) for rule in rules if rule.what == "certificates"]
    found: dict[bytes, Said] = {}
    seen: dict[bytes, Said | None] = {}
    # Which of the certificates that were asked for are still open, by what they were followed to.
    open_: dict[bytes, set[bytes]] = {sha256: {sha256} for sha256 in hashes} if asked else {}
    for _ in range(_MOST_STEPS):
        before = _before(connection, set().union(*open_.values()))
        open_ = {
            sha256: set().union(*(before[each] for each in reached if each in before))
            for sha256, reached in open_.items()
        }
        open_ = {sha256: reached for sha256, reached in open_.items() if reached}
        if not open_:
            break
        new = sorted(set().union(*open_.values()) - set(seen))
        said = winners(_matches(connection, asked, new, now_ms))
        seen |= {each: said.get(each) for each in new}
        for sha256, reached in list(open_.items()):
            # Of several at one distance the last by hash, so that it does not change by itself.
            meant = [found_ for each in sorted(reached) if (found_ := seen[each]) is not None]
            if meant:
                found[sha256] = Said(meant[-1].team_no, "line", meant[-1].source_no)
                del open_[sha256]
    return found


def _of_any(rule: Rule) -> Rule:
    return replace(rule, query=Query(both(rule.query.expression, Term("found", ":", "any"))))


def _matches(
    connection: Connection, rules: Sequence[Rule], hashes: Sequence[bytes], now_ms: int
) -> dict[bytes, list[Rule]]:
    return matches(
        connection,
        rules,
        "certificates",
        lambda tables: tables.certificate.c.sha256.in_(hashes),
        now_ms,
    )


def _before(connection: Connection, hashes: Iterable[bytes]) -> dict[bytes, set[bytes]]:
    """Return what certificates follow in their line; only what began to be valid before, so never in a ring."""
    before, after = certificate.alias("before"), certificate.alias("after")
    found: dict[bytes, set[bytes]] = defaultdict(set)
    earlier = or_(
        before.c.not_before_ms < after.c.not_before_ms,
        and_(before.c.not_before_ms == after.c.not_before_ms, before.c.sha256 < after.c.sha256),
    )
    for chunk in chunked(sorted(hashes)):
        rows = connection.execute(
            select(line_step.c.successor, line_step.c.predecessor)
            .join(after, after.c.sha256 == line_step.c.successor)
            .join(before, before.c.sha256 == line_step.c.predecessor)
            .where(line_step.c.successor.in_(chunk), before.c.line_no == after.c.line_no, earlier)
        )
        for row in rows:
            found[row.successor].add(row.predecessor)
    return found


def through_certificates(
    connection: Connection, keys: Collection[bytes]
) -> dict[bytes, dict[int, int]]:
    """Return who was said to own the certificates of keys: by team, the number of that row.

    Where some of a key's certificates are in use, the others do not count.
    """
    in_use: dict[bytes, dict[int, int]] = defaultdict(dict)
    others: dict[bytes, dict[int, int]] = defaultdict(dict)
    for chunk in chunked(sorted(keys)):
        rows = connection.execute(
            select(
                certificate.c.key_id,
                certificate.c.in_use,
                _owner.team_no,
                _owner.artifact_owner_no,
            )
            .join(
                artifact_owner,
                and_(
                    _owner.artifact == certificate.c.sha256,
                    _owner.kind == CERTIFICATE,
                    _owner.owns.is_(True),
                    _owner.how.in_(_SAID),
                    _owner.to_ms.is_(None),
                ),
            )
            .where(certificate.c.key_id.in_(chunk))
            .order_by(_owner.artifact_owner_no)
        )
        for row in rows:
            of_key = (in_use if row.in_use else others)[row.key_id]
            of_key.setdefault(row.team_no, row.artifact_owner_no)
    return others | in_use


def followers(connection: Connection, hashes: Iterable[bytes]) -> set[tuple[int, bytes]]:
    """Return what is to be worked out when the owners of certificates changed: (kind, hash) each."""
    found: set[tuple[int, bytes]] = set()
    for chunk in chunked(sorted(hashes)):
        next_ = select(line_step.c.successor).where(line_step.c.predecessor.in_(chunk))
        found.update((CERTIFICATE, sha256) for sha256 in connection.execute(next_).scalars())
        own = (
            select(public_key.c.key_id)
            .join(certificate, certificate.c.key_id == public_key.c.key_id)
            .where(certificate.c.sha256.in_(chunk))
        )
        found.update((KEY, key_id) for key_id in connection.execute(own).scalars())
    return found
