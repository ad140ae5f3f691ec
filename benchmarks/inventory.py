"""Queries over a full database: the budget of a first page, at 100,000 certificates and 500,000 places.

    python -m benchmarks.inventory [--certificates N] [--database FILE] [--rounds N] [--explain]

Fills a database by bulk with a seeded generator (hosts with realistic mixes: a web server's pair,
renewals in archives, key stores, CA bundles that all share), then asks each query for its first page
with its total, as REST does, and prints medians, of the processor's time (ours and that of the server's process): nothing is waited for. Exit
status 1 if the 95th percentile over all queries is over the budget. PostgreSQL makes what is beyond 100,000
certificates itself, as copies of the first ones with other hashes on other hosts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table, event, insert, text

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.query.parse import parse
from keycensus_collector.store import schema
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store

BUDGET_MS = 100.0
NOW = 1_790_000_000_000
DAY = 86_400_000
SEED = 7
# Of each certificate: live place, copy in an archive, key, links; and what a host has besides.
PLACES_A_HOST = 100
_AT_ONCE = 5_000
# So many certificates are made here, one by one.
_MADE = 100_000

QUERIES = (
    ("certificates", ""),
    ("certificates", "expires<30d"),
    ("certificates", "expires:0d..30d issuer:R11"),
    ("certificates", "host:web0100"),
    ("certificates", "host:web01* role:server"),
    ("certificates", "name:www.shop123.example.com"),
    ("certificates", "san:*.shop77*.example.com"),
    ("certificates", "path:/etc/nginx/**"),
    ("certificates", "path:/etc/nginx/** expires<7d"),
    ("certificates", "path:**/fullchain.pem host:web0*"),
    ("certificates", "key:rsa bits<2048"),
    ("certificates", "readable-by:world role:server"),
    ("certificates", "use:retained none(use:live)"),
    ("certificates", "self-signed:yes ca:no role:server"),
    ("certificates", "issuer-found:no self-signed:no"),
    ("certificates", "private-key:none ca:no"),
    ("certificates", "hosts>1"),
    ("certificates", "label.env:prod expires<14d"),
    ("certificates", "shop4242"),
    ("certificates", "under:ISSUER"),
    ("certificates", "serial:1f"),
    ("certificates", "found:gone"),
    ("certificates", "host:web* or bits<2048"),
    ("certificates", "mode:0600"),
    ("keys", ""),
    ("keys", "readable-by:world"),
    ("keys", "certificate:none"),
    ("keys", "hosts>1"),
    ("keys", "sealed:yes"),
    ("keys", "path:/etc/ssl/private/** key:rsa"),
    ("places", ""),
    ("places", "status:locked"),
    ("places", "path:/opt/app/**"),
    ("places", "host:web0200"),
    ("places", "expires<2d"),
    ("places", "package:none mode:0666"),
    ("hosts", ""),
    ("hosts", "last-seen>2d"),
    ("hosts", "expires<1d"),
    ("hosts", "gap:any"),
    ("hosts", "none(path:/etc/nginx/**)"),
)


def main() -> int:
    """Fill, ask, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument(
        "--database", help="file or postgresql://…; kept, used again if it is there"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--explain", action="store_true", help="print the plan of each statement")
    parser.add_argument("--only", default="", help="queries that contain this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        database = options.database or f"{directory}/inventory.db"
        store = open_filled(database, options.certificates)
        try:
            return _measure(store, options.rounds, options.only, explain=options.explain)
        finally:
            store.close()


def open_filled(database: str, certificates: int) -> Store:
    """Open a database of this benchmark; make it if it is not there."""
    if is_postgresql(database):
        url, is_there = database, bool(Store.revision_of(database).current)
    else:
        url, is_there = f"sqlite:///{Path(database).absolute()}", Path(database).exists()
    if is_there:
        return Store.open(url, upgrade=True)
    store = Store.create(url)
    print(f"filling {store.name} with {certificates:,} certificates", file=sys.stderr)
    with store.write() as connection:
        fill(connection, certificates)
        if not store.is_shared:
            # Nobody makes statistics of an SQLite database: statements are made so that it needs none.
            connection.exec_driver_sql("DROP TABLE IF EXISTS sqlite_stat1")
    if store.is_shared:
        with psycopg.connect(url, autocommit=True) as server:
            # Counting all of them at once has left three rows of each, the empty ones first: no fold does that.
            server.execute("VACUUM (FULL) certificate, public_key")
            # As a server does by itself in time: else an index that has all that is asked for is not enough.
            server.execute("VACUUM (ANALYZE)")
    return store


def _measure(store: Store, rounds: int, only: str, *, explain: bool) -> int:
    times: list[float] = []
    print("| list | query | rows | first page, processor ms | by the clock, ms |")
    print("|---|---|---:|---:|---:|")
    for list_, query in QUERIES:
        if only and only not in f"{list_} {query}":
            continue
        asked = query.replace("ISSUER", _hash("issuer", 0).hex()[:16])
        total, spent, lasted = 0, [], []
        with store.read() as connection:
            if explain:
                _explain_all(connection, list_, asked)
            processor = _processor_clock(connection)
            for _ in range(rounds):
                began, began_at = processor(), time.perf_counter()
                page = _LISTS[list_](connection, asked)
                spent.append(1000 * (processor() - began))
                lasted.append(1000 * (time.perf_counter() - began_at))
                total = page.total
        times.append(statistics.median(spent))
        by_clock = statistics.median(lasted)
        print(f"| {list_} | `{query}` | {total:,} | {times[-1]:.1f} | {by_clock:.1f} |", flush=True)
    if not times:
        print("no such query", file=sys.stderr)
        return 1
    times.sort()
    at_95 = times[min(len(times) - 1, int(0.95 * len(times)))]
    print(
        f"\nmedian {statistics.median(times):.1f} ms, p95 {at_95:.1f} ms, budget {BUDGET_MS:.0f} ms"
    )
    return int(at_95 > BUDGET_MS)


def _processor_clock(connection: Connection) -> Callable[[], float]:
    """Return what tells the seconds of processor that were spent: ours, and those of PostgreSQL's process for us.

    Of a server on another machine the clock's instead.
    """
    if connection.dialect.name == "sqlite":
        return time.process_time
    ask = connection.exec_driver_sql
    spent = Path(f"/proc/{ask('SELECT pg_backend_pid()').scalar_one()}/schedstat")
    if ask("SELECT inet_server_addr()").scalar() is not None or not spent.exists():
        return time.perf_counter
    return lambda: time.process_time() + int(spent.read_text().split()[0]) / 1e9


_LISTS: dict[str, Callable[[Connection, str], Any]] = {
    "certificates": lambda connection, q: list_certificates(connection, parse(q), NOW),
    "keys": lambda connection, q: list_keys(connection, parse(q), NOW),
    "places": lambda connection, q: list_places(connection, parse(q), NOW),
    "hosts": lambda connection, q: list_hosts(connection, parse(q), NOW),
}


def _explain_all(connection: Connection, list_: str, query: str) -> None:
    """Print the plan of each statement that a list runs."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _u: object, statement: str, parameters: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    _LISTS[list_](connection, query)
    event.remove(connection, "before_cursor_execute", note)
    for statement, parameters in seen:
        began = time.process_time()
        connection.exec_driver_sql(statement, parameters).fetchall()
        print(
            f"{1000 * (time.process_time() - began):.1f} ms  {' '.join(statement.split())[:1500]}"
        )
        explain = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        for row in connection.exec_driver_sql(f"{explain} {statement}", parameters):
            print(f"   {row[3]}")


# --- the inventory --------------------------------------------------------------------------------


def fill(connection: Connection, certificates: int) -> None:
    """Write hosts, certificates, keys and places: two certificates and a dozen places of their own each host."""
    rng = random.Random(SEED)
    writer = _Writer(connection)
    copies = certificates // _MADE - 1 if connection.dialect.name == "postgresql" else 0
    if copies > 0:
        certificates = _MADE
    hosts = max(1, certificates // 20)
    _authorities(writer)
    for number in range(1, hosts + 1):
        _host(writer, rng, number)
    for number in range(certificates):
        _certificate(writer, rng, number, 1 + number % hosts)
    _bundles(writer, hosts)
    writer.flush()
    if copies <= 0:
        _fold(connection)
        return
    # Indexes are made anew behind the copies, which takes a fraction of the time, but for the one that folding uses.
    indexes = connection.exec_driver_sql(_INDEXES).all()
    for name, _ in indexes:
        connection.exec_driver_sql(f'DROP INDEX "{name}"')
    _copy(connection, copies, hosts, writer.places)
    connection.exec_driver_sql("ANALYZE")
    connection.exec_driver_sql("SET LOCAL work_mem = '512MB'")
    _fold(connection)
    for _, definition in indexes:
        connection.exec_driver_sql(definition)


class _Writer:
    """Collects rows and writes them by thousands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._tables: dict[str, Table] = {}
        self._empty: dict[str, dict[str, Any]] = {}
        self.places = 0
        self.masks: dict[bytes, int] = {}  # what `place.holds` is of a manifest

    def put(self, table: Table, **values: Any) -> None:  # noqa: ANN401 - any column
        """Add a row; what is not given is empty."""
        if table.name not in self._empty:
            self._empty[table.name] = _empty(table)
            self._tables[table.name] = table
        rows = self._rows.setdefault(table.name, [])
        rows.append(self._empty[table.name] | values)
        if len(rows) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is collected, what others refer to first."""
        for table in schema.metadata.sorted_tables:
            if self._rows.get(table.name):
                self._write(table.name)

    def _write(self, name: str) -> None:
        rows = self._rows[name]
        self._rows[name] = []
        if self._connection.dialect.name == "sqlite":
            self._connection.execute(insert(self._tables[name]), rows)
            return
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        names = list(rows[0])
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), columns)
        with driver.cursor().copy(into) as copy:
            for row in rows:
                copy.write_row([row[each] for each in names])

    def place(self, host: int, path: str, manifest: bytes, **values: Any) -> None:  # noqa: ANN401 - any column
        """Add a place with what most places have."""
        self.places += 1
        usual = {"status": "read", "format": "pem", "mode": 0o644, "owner": "root", "group": "root"}
        usual |= {"role": "server", "use": "live", "readable_by": "world"}
        self.put(
            schema.place,
            place_no=self.places,
            host_no=host,
            path=path,
            path_hash=_hash("path", path),
            row_hash=bytes(32),
            scope_kind="host",
            manifest=manifest,
            holds=self.masks[manifest],
            first_seen_ms=NOW - 90 * DAY,
            changed_ms=NOW - 20 * DAY,
            gone_ms=None,
            **(usual | values),
        )


def _empty(table: Table) -> dict[str, Any]:
    empty: dict[str, Any] = {"str": "", "int": 0, "bytes": b"", "bool": False}
    return {
        column.name: empty[column.type.python_type.__name__] if not column.nullable else None
        for column in table.columns
        if column is not table.autoincrement_column
    }


def _hash(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _authorities(writer: _Writer) -> None:
    for number in range(150):
        sha256 = _hash("issuer", number)
        _write_certificate(
            writer,
            sha256,
            _hash("issuer key", number),
            f"R{number}",
            2_000,
            is_ca=True,
            self_signed=number >= 20,
            issuer="CN=Root",
        )


def _write_certificate(
    writer: _Writer,
    sha256: bytes,
    key_id: bytes,
    name: str,
    days: int,
    **values: Any,  # noqa: ANN401 - any column
) -> None:
    writer.put(
        schema.certificate,
        **{
            "sha256": sha256,
            "sha1": sha256[:20],
            "key_id": key_id,
            "subject": f"CN={name}",
            "subject_der_hash": _hash(name),
            "issuer_der_hash": _hash(values.get("issuer")),
            "common_name": name,
            "serial": sha256.hex()[:32].lstrip("0"),
            "names_text": name,
            "not_before_ms": NOW + (days - 398) * DAY,
            "not_after_ms": NOW + days * DAY,
            "signature_algorithm": "sha256WithRSAEncryption",
            "algorithm": "rsa",
            "bits": 2048,
            "extended_key_usage": "serverAuth",
            "first_seen_ms": NOW - 90 * DAY,
        }
        | values,
    )
    for position in (0, 1):
        writer.put(
            schema.certificate_name,
            sha256=sha256,
            position=position,
            kind="dns" if position else "common-name",
            value=name.lower(),
            reversed_labels=".".join(reversed(name.lower().split("."))),
        )


def _host(writer: _Writer, rng: random.Random, number: int) -> None:
    kind = rng.choice(["web", "web", "app", "db"])
    writer.put(
        schema.host,
        host_no=number,
        host_id=f"00000000-0000-4000-8000-{number:012d}",
        name=f"{kind}{number:04d}",
        state="silent" if number % 50 == 0 else "active",
        created_ms=NOW - 200 * DAY,
        last_seen_ms=NOW - (5 * DAY if number % 50 == 0 else 60_000),
        complete=True,
        operating_system=rng.choice(["Debian GNU/Linux 12", "Red Hat Enterprise Linux 9"]),
        labels=json.dumps({"token": {"env": rng.choice(["prod", "test"])}, "host": {}}),
        counters="{}",
    )
    if number % 20 == 0:
        writer.put(
            schema.gap, host_no=number, key=_hash("gap"), prefix="/mnt/nfs", reason="network"
        )


def _certificate(writer: _Writer, rng: random.Random, number: int, host: int) -> None:
    """Write one certificate with its key, where it is used, and the copy that certbot keeps."""
    shop = number % (number // 4 + 1)  # names come back as renewals do
    name = f"www.shop{shop}.example.com"
    sha256, key_id = _hash("leaf", number), _hash("key", number)
    issuer = rng.randrange(20)
    own = rng.random() < 0.05
    _write_certificate(
        writer,
        sha256,
        key_id,
        name,
        rng.randrange(-60, 398),
        issuer=f"CN={name}" if own else f"CN=R{issuer},O=Authority {issuer % 9}",
        self_signed=own,
        bits=1024 if rng.random() < 0.01 else 2048,
    )
    if not own and rng.random() < 0.97:
        writer.put(
            schema.issuer_edge, child=sha256, parent=_hash("issuer", issuer), verified_ms=NOW
        )
    writer.put(
        schema.public_key, key_id=key_id, algorithm="rsa", bits=2048, first_seen_ms=NOW - 90 * DAY
    )
    chain, key = _hash("chain", number), _hash("key file", number)
    _manifest(writer, chain, ("certificate", sha256), ("certificate", _hash("issuer", issuer)))
    _manifest(writer, key, ("private-key", key_id))
    base = rng.choice(["/etc/nginx/ssl", "/etc/ssl/private", "/opt/app/conf", "/etc/httpd/tls"])
    retained = rng.random() < 0.3
    use = "retained" if retained else "live"
    writer.place(host, f"{base}/{number}/fullchain.pem", chain, use=use)
    mode, who = (0o644, "world") if rng.random() < 0.02 else (0o600, "owner")
    if rng.random() < 0.9:
        writer.place(host, f"{base}/{number}/privkey.pem", key, use=use, mode=mode, readable_by=who)
    writer.place(host, f"/etc/letsencrypt/archive/{shop}/cert{number}.pem", chain, use="retained")
    if rng.random() < 0.02:
        writer.place(1 + rng.randrange(host), f"{base}/{number}/copy.pem", chain)
        writer.place(1 + rng.randrange(host), f"{base}/{number}/copy.key", key, mode=0o640)
    if rng.random() < 0.01:
        sealed = _hash("sealed", number)
        _manifest(writer, sealed, ("sealed-container", _hash("box", number)))
        writer.place(host, f"/opt/app/{number}.p12", sealed, status="locked", format="pkcs12")


def _manifest(writer: _Writer, manifest: bytes, *entries: tuple[str, bytes]) -> None:
    writer.masks[manifest] = sum({schema.HOLDS.get(kind, 0) for kind, _ in entries})
    writer.put(schema.manifest, hash=manifest, format="pem", entry_count=len(entries))
    for position, (kind, artifact) in enumerate(entries):
        writer.put(
            schema.manifest_entry,
            manifest=manifest,
            position=position,
            kind=kind,
            artifact=artifact,
        )


def _bundles(writer: _Writer, hosts: int) -> None:
    """Write the trust stores that every host has: few contents, many places."""
    for number in range(40):
        bundle = _hash("bundle", number)
        own = range(number, 150, 40)
        _manifest(writer, bundle, *(("certificate", _hash("issuer", n)) for n in own))
        for host in range(1, hosts + 1):
            path = f"/usr/share/ca-certificates/mozilla/bundle{number}.crt"
            writer.place(host, path, bundle, role="trust-store", package="ca-certificates")


# What all copies share: authorities, and the bundles that hold them.
_SHARED = "SELECT sha256 FROM certificate WHERE is_ca"
_BUNDLES = f"SELECT manifest FROM manifest_entry WHERE artifact IN ({_SHARED}) AND position = 0"  # noqa: S608 - our own
_OTHER = "sha256({0} || n.n::text::bytea)"
# Of each table, the columns that a copy has others of, and which rows are copied.
_COPIED: dict[str, tuple[dict[str, str], str]] = {
    "host": (
        {
            "host_no": "host_no + n.n * {hosts}",
            "host_id": "(host_no + n.n * {hosts})::text",
            "name": "left(name, length(name) - 4) || lpad((host_no + n.n * {hosts})::text, 6, '0')",
        },
        "true",
    ),
    "gap": ({"gap_no": "gap_no + n.n * 1000000", "host_no": "host_no + n.n * {hosts}"}, "true"),
    "certificate": (
        {
            "sha256": _OTHER.format("sha256"),
            "sha1": f"substr({_OTHER.format('sha1')}, 1, 20)",
            "key_id": _OTHER.format("key_id"),
            "serial": "serial || n.n",
            "common_name": "replace(common_name, 'shop', 'shop' || n.n || 'x')",
            "subject": "replace(subject, 'shop', 'shop' || n.n || 'x')",
            "names_text": "replace(names_text, 'shop', 'shop' || n.n || 'x')",
        },
        "NOT is_ca",
    ),
    "certificate_name": (
        {
            "sha256": _OTHER.format("sha256"),
            "value": "replace(value, 'shop', 'shop' || n.n || 'x')",
            "reversed_labels": "replace(reversed_labels, 'shop', 'shop' || n.n || 'x')",
        },
        f"sha256 NOT IN ({_SHARED})",
    ),
    "issuer_edge": ({"child": _OTHER.format("child")}, f"child NOT IN ({_SHARED})"),
    "public_key": ({"key_id": _OTHER.format("key_id")}, "true"),
    "manifest": ({"hash": _OTHER.format("hash")}, f"hash NOT IN ({_BUNDLES})"),
    "manifest_entry": (
        {
            "manifest": _OTHER.format("manifest"),
            "artifact": f"CASE WHEN artifact IN ({_SHARED}) THEN artifact "
            f"ELSE {_OTHER.format('artifact')} END",
        },
        f"manifest NOT IN ({_BUNDLES})",
    ),
    "place": (
        {
            "place_no": "place_no + n.n * {places}",
            "host_no": "host_no + n.n * {hosts}",
            "manifest": f"CASE WHEN manifest IN ({_BUNDLES}) THEN manifest "
            f"ELSE {_OTHER.format('manifest')} END",
        },
        "true",
    ),
}


def _copy(connection: Connection, copies: int, hosts: int, places: int) -> None:
    """Let PostgreSQL write copies of everything that is not shared."""
    numbers = {"hosts": hosts, "places": places}
    for name, (other, which) in _COPIED.items():
        columns = [column.name for column in schema.metadata.tables[name].columns]
        values = ", ".join(other.get(column, f'"{column}"') for column in columns).format(**numbers)
        names = ", ".join(f'"{column}"' for column in columns)
        connection.exec_driver_sql(
            f'INSERT INTO "{name}" ({names}) SELECT {values} FROM "{name}", '  # noqa: S608 - our own
            f"generate_series(1, {copies}) AS n(n) WHERE {which}"
        )


_INDEXES = """SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    AND indexname NOT IN (SELECT conname FROM pg_constraint)
    AND tablename IN ('place', 'certificate', 'certificate_name', 'manifest_entry', 'public_key')
    AND indexname != 'ix_certificate_key_id'"""


_FOLDS = (
    """INSERT INTO holding (artifact, host_no, kind, live, retained, roles)
    SELECT e.artifact, p.host_no, e.kind,
    count(*) FILTER (WHERE p."use" != 'retained'), count(*) FILTER (WHERE p."use" = 'retained'), 1
    FROM place p JOIN manifest_entry e ON e.manifest = p.manifest
    WHERE p.role != 'trust-store' GROUP BY 1, 2, 3""",
    """CREATE TEMP TABLE counted AS
    SELECT e.artifact, e.kind, count(*) FILTER (WHERE p."use" != 'retained') AS live,
    count(*) FILTER (WHERE p."use" = 'retained') AS kept, count(DISTINCT p.host_no) AS hosts
    FROM manifest_entry e JOIN place p ON p.manifest = e.manifest GROUP BY 1, 2""",
    "CREATE INDEX {schema}counted_artifact ON counted (artifact, kind)",
    "ANALYZE counted",
    """UPDATE certificate SET (live_places, retained_places, hosts) = (SELECT live, kept, hosts
    FROM counted c WHERE c.artifact = sha256 AND c.kind = 'certificate')
    WHERE sha256 IN (SELECT artifact FROM counted)""",
    """UPDATE certificate SET in_use = coalesce((SELECT sum(live) FROM holding h
    WHERE h.artifact = sha256 AND h.kind = 'certificate'), 0)""",
    """UPDATE public_key SET (live_places, retained_places, hosts) = (SELECT live, kept, hosts
    FROM counted c WHERE c.artifact = key_id AND c.kind = 'private-key')
    WHERE key_id IN (SELECT artifact FROM counted WHERE kind = 'private-key')""",
    """UPDATE public_key SET in_use = coalesce((SELECT sum(live) FROM holding h
    WHERE h.artifact = key_id AND h.kind = 'private-key'), 0), certified = EXISTS (SELECT 1
    FROM certificate c WHERE c.key_id = public_key.key_id AND c.live_places + c.retained_places > 0)""",
    """UPDATE certificate SET issuer_found = self_signed OR EXISTS (SELECT 1 FROM issuer_edge
    WHERE child = sha256), key_found = EXISTS (SELECT 1 FROM public_key k
    WHERE k.key_id = certificate.key_id AND k.live_places + k.retained_places > 0)""",
    """UPDATE public_key SET world_readable = true WHERE key_id IN (SELECT e.artifact
    FROM manifest_entry e JOIN place p ON p.manifest = e.manifest WHERE e.kind = 'private-key'
    AND p."use" != 'retained' AND p.role != 'trust-store' AND p.readable_by = 'world')""",
)


def _fold(connection: Connection) -> None:
    """Count as intake and fold do, in statements over everything."""
    # SQLite makes an index beside its table only if told, PostgreSQL always.
    schema_of_index = "temp." if connection.dialect.name == "sqlite" else ""
    for statement in _FOLDS:
        connection.execute(text(statement.format(schema=schema_of_index)))


if __name__ == "__main__":
    sys.exit(main())
