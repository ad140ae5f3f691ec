"""Pages over HTTP: what a person waits for, of the real collector over a full database.

    PYTHONPATH=tests python -m benchmarks.pages [--certificates N] [--database FILE|postgresql://…] [--rounds N]

The database is that of `benchmarks.inventory`, filled if it is not there. A collector is made, its
authority is written into that database, and it serves it with all its workers; then each page is asked for over TLS
by somebody who is signed in, one after another, over one connection. Median and 95th percentile of the processor's
time that the collector and, on this machine, its PostgreSQL take for the page, which is what the budgets are held
against: nothing is waited for; and of the time by the clock until the whole page is here, which others' work is in.
Exit status 1 if one of them is over its budget.
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
import psycopg
from fakes.collector import Collector
from sqlalchemy import Connection, Table, delete, func, insert, select

from benchmarks.inventory import open_filled
from keycensus_collector.access import sessions
from keycensus_collector.access.users import add_user
from keycensus_collector.api.security import COOKIE
from keycensus_collector.clock import SystemClock
from keycensus_collector.store import schema
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store

BUDGET_MS = 300.0
# Of the first page of a list, for whom a person waits most often.
LIST_BUDGET_MS = 150.0
_LISTS = ("/certificates", "/keys", "/places", "/hosts")
_USER = "benchmark"
# The keeper counts figures anew from time to time; the first count of a large fleet takes minutes.
_FIGURES_SECONDS = 900.0
# It rests when it takes less than this of a processor for so long: longer than another collector, that was ended
# without a word, holds the duty of counting, after which ours would begin.
_RESTS_BELOW = 0.05
_REST_SECONDS = 10.0
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
        asked = [page for page in pages if options.only in page]
        with collector:
            processor = _Processor(collector.pid, url)
            return _measure(collector, processor, session, asked, options.rounds)


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


def _await_rest(clock: _Processor) -> None:
    """Wait until the worker that keeps figures rests, which it does for most of its time."""
    until = time.monotonic() + _FIGURES_SECONDS
    while time.monotonic() < until:
        before = clock.spent_ms()
        time.sleep(_REST_SECONDS)
        if clock.spent_ms() - before < 1000 * _REST_SECONDS * _RESTS_BELOW:
            return


class _Processor:
    """Tells the processor's time of a collector and of what PostgreSQL does for it on this machine."""

    def __init__(self, pid: int, url: str) -> None:
        self._pid = pid
        self._server = None
        if is_postgresql(url):
            self._server = psycopg.connect(url, autocommit=True, application_name="benchmark")

    def spent_ms(self) -> float:
        """Return how many milliseconds they have taken since they started."""
        tasks = Path(f"/proc/{self._pid}/task").glob("*")
        backends = [Path(f"/proc/{number}") for number in self._backends()]
        return sum(map(_spent_ms, [*tasks, *backends]))

    def _backends(self) -> list[int]:
        if self._server is None:
            return []
        # Of a server on another machine none: what its numbers mean is not of this one.
        ask = (
            "SELECT pid FROM pg_stat_activity WHERE inet_server_addr() IS NULL"
            " AND application_name = 'keycensus-collector' AND datname = current_database()"
        )
        return [row[0] for row in self._server.execute(ask).fetchall()]


def _spent_ms(task: Path) -> float:
    try:
        return int((task / "schedstat").read_text().split()[0]) / 1e6
    except OSError:  # it has ended
        return 0.0


def _measure(
    collector: Collector, processor: _Processor, session: str, pages: list[str], rounds: int
) -> int:
    trusted = ssl.create_default_context(cafile=str(collector.ca_file))
    port = collector.web.rpartition(":")[2]
    too_slow: list[str] = []
    with httpx.Client(
        base_url=f"https://localhost:{port}",
        verify=trusted,
        cookies={COOKIE: session},
        timeout=_FIGURES_SECONDS,
        follow_redirects=True,
    ) as browser:
        _await_figures(browser)
        _await_rest(processor)
        print(
            "| page | KiB | processor, median, ms | 95th percentile | by the clock, median | 95th percentile |\n"
            "|---|---:|---:|---:|---:|---:|"
        )
        for page in pages:
            spent, lasted, size = _ask(browser, processor, page, rounds)
            name = page if len(page) < 60 else f"{page[:30]}…"
            print(
                f"| `{name}` | {size:.0f} | {statistics.median(spent):.0f} | {_at_95(spent):.0f} |"
                f" {statistics.median(lasted):.0f} | {_at_95(lasted):.0f} |",
                flush=True,
            )
            budget = LIST_BUDGET_MS if page.partition("?")[0] in _LISTS else BUDGET_MS
            if _at_95(spent) > budget:
                too_slow.append(f"{name} ({budget:.0f} ms)")
    print(f"\nover the budget: {', '.join(too_slow) or 'none'}")
    return int(bool(too_slow))


def _ask(
    browser: httpx.Client, processor: _Processor, page: str, rounds: int
) -> tuple[list[float], list[float], float]:
    """Return what each round of a page took, of the processor and by the clock, in ms, and its size in KiB."""
    browser.get(page)  # what each process does once
    spent, lasted, size = [], [], 0.0
    for _ in range(rounds):
        before, began = processor.spent_ms(), time.perf_counter()
        response = browser.get(page)
        lasted.append(1000 * (time.perf_counter() - began))
        spent.append(processor.spent_ms() - before)
        if not response.is_success:
            sys.exit(f"{page}: {response.status_code}")
        size = len(response.content) / 1024
    return spent, lasted, size


def _at_95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]


if __name__ == "__main__":
    sys.exit(main())
