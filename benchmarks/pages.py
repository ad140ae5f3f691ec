"""Pages over HTTP: what a person waits for, of the real collector over a full database.

    PYTHONPATH=tests python -m benchmarks.pages [--certificates N] [--database FILE|postgresql://…] [--rounds N]

The database is that of `benchmarks.inventory`, filled if it is not there. A collector is made, its
authority is written into that database, and it serves it with all its workers; then each page is asked for over TLS
by somebody who is signed in, one after another, over one connection. Median and 95th percentile of the time until
the whole page is here. Exit status 1 if one of them takes longer than the budget at the 95th percentile.
"""

from __future__ import annotations

import argparse
import ssl
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from fakes.collector import Collector
from sqlalchemy import Connection, Table, delete, func, insert, select

from benchmarks.inventory import open_filled
from keycensus_collector.access import sessions
from keycensus_collector.access.users import add_user
from keycensus_collector.api.security import COOKIE
from keycensus_collector.clock import SystemClock
from keycensus_collector.store import schema
from keycensus_collector.store.engine import Store

BUDGET_MS = 300.0
_USER = "benchmark"
# The keeper counts figures anew from time to time; the first count of a large fleet takes minutes.
_FIGURES_SECONDS = 900.0
_OF_A_DEPLOYMENT = (schema.deployment, schema.authority_certificate)


def main() -> int:
    """Fill, serve, ask, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument(
        "--database", help="file or postgresql://…; kept, used again if it is there"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="pages whose address contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        collector = Collector.make(directory / "collector")
        database = options.database or f"{name}/inventory.db"
        with open_filled(database, options.certificates) as store:
            _adopt(store, collector)
            url = database if store.is_shared else f"sqlite:///{store.name}"
            text = collector.config_file.read_text()
            collector.config_file.write_text(f'{text}\n[database]\nurl = "{url}"\n')
            with store.write() as connection:
                pages, session = _addresses(connection), _session(connection)
        with collector:
            return _measure(collector, pages, session, options.rounds, options.only)


def _adopt(store: Store, collector: Collector) -> None:
    """Let a database be that of a collector. One that has agents is somebody's, and is left alone."""
    rows: dict[Table, list[dict[str, object]]] = {}
    with Store.open(f"sqlite:///{collector.database}") as own, own.read() as connection:
        for table in _OF_A_DEPLOYMENT:
            rows[table] = [dict(row) for row in connection.execute(select(table)).mappings()]
    with store.write() as connection:
        if connection.execute(select(func.count()).select_from(schema.agent)).scalar_one():
            sys.exit(
                f"{store.name} is no database of this benchmark: it has agents; name another one"
            )
        for table in _OF_A_DEPLOYMENT:
            connection.execute(delete(table))
            connection.execute(insert(table), rows[table])


def _session(connection: Connection) -> str:
    """Sign somebody in; return the cookie."""
    now_ms, user = SystemClock().now_ms(), schema.user.c
    known = select(user.user_no).where(user.name == _USER)
    number = connection.execute(known).scalar()
    if number is None:
        number = add_user(connection, name=_USER, role="admin", now_ms=now_ms, actor="operator")
    visitor = sessions.Visitor("127.0.0.1")
    return sessions.begin(
        connection, user_no=number, how="password", visitor=visitor, now_ms=now_ms
    ).text


def _addresses(connection: Connection) -> list[str]:
    """Return the addresses of pages: lists, and one of each thing."""
    of = schema.certificate.c
    leaf = select(of.sha256, of.key_id).where(of.in_use > 0, of.key_found.is_(True)).limit(1)
    sha256, key_id = connection.execute(leaf).one()
    place, host = schema.place.c, schema.host.c
    on = select(host.host_id).join(schema.place, place.host_no == host.host_no)
    host_id = connection.execute(on.where(place.manifest != b"").limit(1)).scalar_one()
    return [
        "/",
        "/certificates",
        "/certificates?q=expires<30d",
        "/certificates?q=host:web01*",
        "/certificates?q=shop4242",
        f"/certificates/{sha256.hex()}",
        "/keys",
        "/keys?q=readable-by:world",
        f"/keys/{key_id.hex()}",
        "/places",
        "/hosts",
        f"/hosts/{host_id}",
        "/coverage",
        "/changes?q=host:web0100",
    ]


def _await_figures(browser: httpx.Client) -> None:
    """Tell how soon the overview is there after a start, and wait until its figures are, which a worker counts."""
    began = time.monotonic()
    response = browser.get("/")
    print(f"the first overview after the start: {1000 * (time.monotonic() - began):.0f} ms")
    while "Being counted" in response.text or not response.is_success:
        if time.monotonic() > began + _FIGURES_SECONDS or not response.is_success:
            sys.exit(f"the overview is not there in time: {response.status_code}")
        time.sleep(5)
        response = browser.get("/")
    print(f"all its figures: after {time.monotonic() - began:.0f} s", flush=True)


def _measure(collector: Collector, pages: list[str], session: str, rounds: int, only: str) -> int:
    trusted = ssl.create_default_context(cafile=str(collector.ca_file))
    port = collector.web.rpartition(":")[2]
    worst = 0.0
    print("| page | KiB | median, ms | 95th percentile, ms |\n|---|---:|---:|---:|")
    with httpx.Client(
        base_url=f"https://localhost:{port}",
        verify=trusted,
        cookies={COOKIE: session},
        timeout=_FIGURES_SECONDS,
        follow_redirects=True,
    ) as browser:
        _await_figures(browser)
        for page in pages:
            if only not in page:
                continue
            browser.get(page)  # what each process does once
            spent = []
            for _ in range(rounds):
                began = time.perf_counter()
                response = browser.get(page)
                spent.append(1000 * (time.perf_counter() - began))
                if not response.is_success:
                    sys.exit(f"{page}: {response.status_code}")
            at_95 = statistics.quantiles(spent, n=20)[-1] if rounds > 1 else spent[0]
            worst = max(worst, at_95)
            size = len(response.content) / 1024
            name = page if len(page) < 60 else f"{page[:30]}…"
            print(
                f"| `{name}` | {size:.0f} | {statistics.median(spent):.0f} | {at_95:.0f} |",
                flush=True,
            )
    print(f"\nthe slowest {worst:.0f} ms, budget {BUDGET_MS:.0f} ms")
    return int(worst > BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main())
