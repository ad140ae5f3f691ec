"""Labels by hand, of hosts and certificates (with their line), and why a thing has the labels it has.

Of several sources the most trusted counts: by hand, of the enrolment token, by rule, then the host's own
word. A certificate has its own labels, and those of the hosts where it is in use under other keys.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.assignments import Thing, follow, scopes_of
from keycensus_collector.store.schema import certificate, holding, host
from keycensus_collector.store.tables.ownership import fact_rule, label
from keycensus_collector.text import safe_text

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_MOST_VALUE = 200
# Those by which a certificate inherits; more hosts say the same.
_MOST_HOSTS = 1_000
# Things that a row of the audit log names; it has the number of all.
_MOST_NAMED = 1_000


@dataclass(frozen=True, slots=True)
class LabelOf:
    """One label that counts. `source`: "manual", "token", "rule", "host"; `why`: in words."""

    key: str
    value: str
    source: str
    why: str


def set_label(
    connection: Connection,
    things: Iterable[Thing],
    key: str,
    value: str | None,
    *,
    actor: str,
    now_ms: int,
    query: str = "",
) -> int:
    """Set a label by hand on hosts and certificates, or take it off (None); return how many changed.

    `query`: what listed them, for the audit log.
    """
    check_label(key, value)
    scopes = label_scopes(connection, things)
    shown = None if value is None else safe_text(value)
    now = labels_given(connection, scopes, key)
    changed = [scope for scope in scopes if now.get(scope) != shown]
    _write(connection, changed, key, shown, actor, now_ms)
    hosts = [scope.number for scope in changed if scope.kind == "host"]
    queue.put_artifacts_on(connection, hosts)
    follow(connection, changed)
    if changed:
        names = [scope.name for scope in changed[:_MOST_NAMED]]
        audit.record(
            connection,
            at_ms=now_ms,
            actor=actor,
            action="label.set" if value is not None else "label.unset",
            subject=changed[0].name if len(changed) == 1 else f"{len(changed):,} things",
            detail={
                "key": key,
                "value": value,
                **({"query": query} if query else {}),
                "things": names,
                "count": len(changed),
            },
        )
    return len(changed)


def label_scopes(connection: Connection, things: Iterable[Thing]) -> list[Thing]:
    """Return what labels by hand hang on; UsageError for what can have none."""
    scopes = scopes_of(connection, things)
    if any(scope.kind not in {"host", "certificate", "line"} for scope in scopes):
        raise UsageError("labels stand on hosts and certificates")
    return scopes


def labels_given(connection: Connection, scopes: Sequence[Thing], key: str) -> dict[Thing, str]:
    """Return of those that have this label by hand its value."""
    found: dict[Thing, str] = {}
    for which in _by_hand(scopes, key):
        for row in connection.execute(select(label).where(which)):
            found[Thing(row.kind, row.number, row.artifact)] = row.value
    return found


def check_label(key: str, value: str | None) -> None:
    """Raise UsageError for what can't be a label."""
    if not _KEY.match(key):
        raise UsageError(f"{key!r} can't name a label: use up to 63 of a-z, 0-9 and . _ -")
    if value is not None and not 0 < len(value) <= _MOST_VALUE:
        raise UsageError(f"a label's value has 1 to {_MOST_VALUE} characters")


def _by_hand(scopes: Sequence[Thing], key: str) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together mean what these have of a label by hand."""
    by_kind: dict[str, list[Thing]] = {}
    for each in scopes:
        by_kind.setdefault(each.kind, []).append(each)
    for kind, same in by_kind.items():
        for chunk in chunked(same):
            yield and_(
                label.c.kind == kind,
                label.c.number.in_({each.number for each in chunk}),
                label.c.artifact.in_({each.artifact for each in chunk}),
                label.c.key == key,
                label.c.source == "manual",
                label.c.to_ms.is_(None),
            )


def _write(  # noqa: PLR0917 - each is a column
    connection: Connection,
    scopes: Sequence[Thing],
    key: str,
    value: str | None,
    actor: str,
    now_ms: int,
) -> None:
    for which in _by_hand(scopes, key):
        connection.execute(update(label).where(which).values(to_ms=now_ms))
    if value is None:
        return
    same = {"key": key, "value": value, "source": "manual", "source_no": 0, "to_ms": None}
    same |= {"actor": safe_text(actor), "from_ms": now_ms}
    for chunk in chunked(scopes):
        rows = [
            {"kind": each.kind, "number": each.number, "artifact": each.artifact, **same}
            for each in chunk
        ]
        connection.execute(insert(label), rows)


def labels_of_host(connection: Connection, host_no: int) -> list[LabelOf]:
    """Return the labels of a host that count, by key, each with the reason."""
    return labels_of_hosts(connection, [host_no])[host_no]


def labels_of_hosts(connection: Connection, numbers: Sequence[int]) -> dict[int, list[LabelOf]]:
    """Return for each host the labels that count, by key, each with the reason."""
    said: dict[int, str] = {}
    own: dict[int, list[LabelOf]] = defaultdict(list)
    for chunk in chunked(numbers):
        columns = select(host.c.host_no, host.c.labels).where(host.c.host_no.in_(chunk))
        said |= {row.host_no: row.labels for row in connection.execute(columns)}
        which = and_(label.c.kind == "host", label.c.number.in_(chunk))
        for number, each in _own(connection, which):
            own[number].append(each)
    return {
        number: _counting(json.loads(text or "{}"), own[number]) for number, text in said.items()
    }


def _counting(claims: Mapping[str, Mapping[str, str]], own: Sequence[LabelOf]) -> list[LabelOf]:
    found: dict[str, LabelOf] = {}
    for key, value in claims.get("host", {}).items():
        found[key] = LabelOf(key, value, "host", "its agent says so: a claim")
    for each in own:
        if each.source == "rule":
            found[each.key] = each
    for key, value in claims.get("token", {}).items():
        found[key] = LabelOf(key, value, "token", "of the token it was enrolled with")
    found |= {each.key: each for each in own if each.source == "manual"}
    return [found[key] for key in sorted(found)]


def labels_of_certificate(connection: Connection, sha256: bytes) -> list[LabelOf]:
    """Return the labels of a certificate: its own, then those of hosts where it is in use."""
    line = connection.execute(
        select(certificate.c.line_no).where(certificate.c.sha256 == sha256)
    ).scalar_one_or_none()
    mine = and_(label.c.kind == "certificate", label.c.artifact == sha256)
    if line is not None:
        mine = or_(mine, and_(label.c.kind == "line", label.c.number == line))
    own: dict[str, LabelOf] = {}
    hung = [each for _, each in _own(connection, mine)]
    for each in sorted(hung, key=lambda each: each.source, reverse=True):
        own[each.key] = each
    inherited: dict[tuple[str, str], LabelOf] = {}
    hosts = connection.execute(
        select(host.c.host_no, host.c.name)
        .join(holding, holding.c.host_no == host.c.host_no)
        .where(holding.c.artifact == sha256, holding.c.kind == "certificate", holding.c.live > 0)
        .order_by(host.c.name, host.c.host_no)
        .limit(_MOST_HOSTS)
    )
    by_number = {row.host_no: row.name for row in hosts}
    labels = labels_of_hosts(connection, list(by_number))
    for number, name in by_number.items():
        for each in labels[number]:
            why = f"of host {name}, {each.why}"
            inherited.setdefault(
                (each.key, each.value), LabelOf(each.key, each.value, each.source, why)
            )
    others = [each for (key, _), each in sorted(inherited.items()) if key not in own]
    return [*(own[key] for key in sorted(own)), *others]


def _own(connection: Connection, which: ColumnElement[bool]) -> list[tuple[int, LabelOf]]:
    """Return labels with the numbers of what they hang on."""
    rows = connection.execute(
        select(label, fact_rule.c.name.label("rule_name"))
        .outerjoin(fact_rule, fact_rule.c.rule_no == label.c.source_no)
        .where(which, label.c.to_ms.is_(None))
        .order_by(label.c.key, label.c.source)
    )
    return [(row.number, LabelOf(row.key, row.value, row.source, _why(row))) for row in rows]


def _why(row: Any) -> str:  # noqa: ANN401 - a row
    if row.source == "rule":
        return f"by rule {row.rule_name}"
    return f"by hand, {row.actor}" + (", with its line" if row.kind == "line" else "")
