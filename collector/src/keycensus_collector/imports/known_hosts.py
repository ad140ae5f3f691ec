"""Known hosts against those that report: who has no agent is a host in state "known".

It is matched by name, else by the first part of it where that names one host only, else by address. The
lists are looked at again while the collector runs, so a host that gets an agent is known no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from keycensus_collector.authority.hosts import Claims, add_host, set_host_state
from keycensus_collector.imports.host_files import KnownHost
from keycensus_collector.imports.stored import record_import
from keycensus_collector.intake.convert import decode_description
from keycensus_collector.intake.model import HostFacts
from keycensus_collector.inventory.values import lines_of
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.imports import import_record
from keycensus_collector.store.tables.known_hosts import known_host
from keycensus_collector.text import safe_text

KNOWN = "known"
_REPORTING = ("active", "silent", "imported")
_SHOWN = 1_000
_LABELS = '{"host": {}, "token": {}}'


@dataclass(frozen=True, slots=True)
class Matched:
    """Which host of ours a known one is, and why that is thought."""

    name: str
    host: str
    by: str  # "name", "short-name", "address"


@dataclass(frozen=True, slots=True)
class KnownTaken:
    """What an import of known hosts came to; of each list at most 1,000 are shown."""

    number: int
    source: str
    hosts: int
    with_agent: int
    without_agent: int
    removed: int  # named by the former import and not by this one
    matched_otherwise: list[Matched]  # not by the whole name
    without: list[str]
    gone: list[str]


@dataclass(slots=True)
class _Fleet:
    """The hosts that report, by all that a list may call them."""

    names: dict[int, str] = field(default_factory=dict)
    by_name: dict[str, int] = field(default_factory=dict)
    by_short: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    by_address: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def read(cls, connection: Connection) -> _Fleet:
        fleet = cls()
        rows = connection.execute(
            select(host.c.host_no, host.c.name, host.c.facts)
            .where(host.c.state.in_(_REPORTING))
            .order_by(host.c.host_no)
        )
        for row in rows:
            name = row.name.lower()
            fleet.names[row.host_no] = row.name
            fleet.by_name.setdefault(name, row.host_no)
            fleet.by_short[name.partition(".")[0]].add(row.host_no)
            for address in decode_description(row.facts).addresses:
                fleet.by_address[address.lower()].add(row.host_no)
        return fleet

    def find(self, name: str, addresses: Sequence[str]) -> tuple[int, str] | None:
        """Return the number of the host that a list means, and by what; None if none reports."""
        name = name.lower()
        if name in self.by_name:
            return self.by_name[name], "name"
        short = self.by_short.get(name.partition(".")[0], set())
        # web1 may be web1.example.com; web1.example.org is not.
        fitting = [n for n in short if "." not in name or "." not in self.names[n]]
        if len(fitting) == 1:
            return fitting[0], "short-name"
        found = {number for each in addresses for number in self.by_address.get(each, ())}
        return (found.pop(), "address") if len(found) == 1 else None


def take_known_hosts(
    connection: Connection,
    hosts: Sequence[KnownHost],
    *,
    source: str,
    sha256: bytes,
    size: int,
    actor: str,
    now_ms: int,
) -> KnownTaken:
    """Take a list of known hosts, which replaces the former one of its source."""
    before = _named_by(connection, source)
    number = record_import(
        connection,
        kind="hosts",
        source=source,
        sha256=sha256,
        size=size,
        items=len(hosts),
        actor=actor,
        now_ms=now_ms,
    )
    fleet, known = _Fleet.read(connection), _known_rows(connection)
    rows, otherwise, without = [], [], []
    for each in hosts:
        found = fleet.find(each.name, each.addresses)
        if found is None:
            host_no, by = _row_for(connection, each.name, known, now_ms), ""
            without.append(each.name)
        else:
            host_no, by = found
            if by != "name":
                otherwise.append(Matched(each.name, fleet.names[host_no], by))
        rows.append(
            {
                "import_no": number,
                "name": safe_text(each.name),
                "addresses": "\n".join(map(safe_text, each.addresses)),
                "groups": "\n".join(map(safe_text, each.groups)),
                "host_no": host_no,
                "matched": by,
            }
        )
    _forget_former(connection)
    connection.execute(insert(known_host), rows)
    _retire_unnamed(connection, now_ms)
    gone = sorted(before - {each.name.lower() for each in hosts})
    return KnownTaken(
        number=number,
        source=source,
        hosts=len(hosts),
        with_agent=len(hosts) - len(without),
        without_agent=len(without),
        removed=len(gone),
        matched_otherwise=otherwise[:_SHOWN],
        without=without[:_SHOWN],
        gone=gone[:_SHOWN],
    )


def settle_known_hosts(connection: Connection, now_ms: int) -> int:
    """Look again which known hosts report: some got an agent, some lost it; return how many changed."""
    standing = select(import_record.c.import_no).where(
        import_record.c.kind == "hosts", at(import_record, None)
    )
    rows = connection.execute(
        select(known_host)
        .where(known_host.c.import_no.in_(standing))
        .order_by(known_host.c.known_no)
    ).all()
    if not rows:
        return 0
    fleet, known = _Fleet.read(connection), _known_rows(connection)
    changed = 0
    for row in rows:
        found = fleet.find(row.name, lines_of(row.addresses))
        host_no, by = found or (_row_for(connection, row.name, known, now_ms), "")
        if (host_no, by) != (row.host_no, row.matched):
            changed += 1
            connection.execute(
                update(known_host)
                .where(known_host.c.known_no == row.known_no)
                .values(host_no=host_no, matched=by)
            )
    if changed:
        _retire_unnamed(connection, now_ms)
    return changed


def _named_by(connection: Connection, source: str) -> set[str]:
    rows = connection.execute(
        select(known_host.c.name)
        .join(import_record, import_record.c.import_no == known_host.c.import_no)
        .where(
            import_record.c.kind == "hosts",
            import_record.c.source == safe_text(source.strip()),
            at(import_record, None),
        )
    )
    return {name.lower() for name in rows.scalars()}


def _known_rows(connection: Connection) -> dict[str, int]:
    rows = connection.execute(
        select(host.c.name, host.c.host_no).where(host.c.state == KNOWN).order_by(host.c.host_no)
    )
    return {row.name.lower(): row.host_no for row in rows}


def _row_for(connection: Connection, name: str, known: dict[str, int], now_ms: int) -> int:
    """Return the number of the host in state "known" of this name, made if there is none."""
    number = known.get(name.lower())
    if number is None:
        facts = HostFacts(name, b"", "", "", "", {}, "")
        number, _ = add_host(connection, _LABELS, Claims(b"", facts), now_ms)
        set_host_state(connection, number, KNOWN, "named by a list", now_ms)
        known[name.lower()] = number
    return number


def _forget_former(connection: Connection) -> None:
    replaced = select(import_record.c.import_no).where(
        import_record.c.kind == "hosts", import_record.c.to_ms.is_not(None)
    )
    connection.execute(delete(known_host).where(known_host.c.import_no.in_(replaced)))


def _retire_unnamed(connection: Connection, now_ms: int) -> None:
    """Retire hosts in state "known" that no list names any more, or that have an agent now."""
    named = select(known_host.c.host_no)
    rows = connection.execute(
        select(host.c.host_no).where(host.c.state == KNOWN, host.c.host_no.not_in(named))
    )
    for number in list(rows.scalars()):
        set_host_state(connection, number, "retired", "no list names it without an agent", now_ms)
