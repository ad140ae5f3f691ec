"""Fill a database with a fleet: see benchmarks/README.md."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.generator.bulk import fill
from benchmarks.generator.decisions import decide
from benchmarks.generator.digests import digests
from benchmarks.generator.population import Population
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store


def main() -> None:
    """Fill it, and tell how fast that was."""
    parser = argparse.ArgumentParser(prog="benchmarks.generator", description=__doc__)
    parser.add_argument("--database", required=True, help="a new file, or postgresql://… (empty)")
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--by", choices=("bulk", "intake"), default="bulk")
    parser.add_argument(
        "--digests", action="store_true", help="print what it says, by kind of fact"
    )
    options = parser.parse_args()
    database: str = options.database
    url = database if is_postgresql(database) else f"sqlite:///{Path(database).absolute()}"
    fleet = Population(options.certificates, options.seed)
    with Store.create(url) as store:
        fill_store(store, fleet, by=options.by)
        if options.digests:
            with store.read() as connection:
                for name, (rows, digest) in digests(connection).items():
                    print(f"{name:<14} {rows:>10,}  {digest}")


def fill_store(store: Store, fleet: Population, *, by: str = "bulk") -> None:
    """Fill an empty store with a fleet and what people decided about it; tell on standard error how fast."""
    began = time.perf_counter()
    if by == "intake":
        # With the tests' own agents: PYTHONPATH=tests.
        from benchmarks.generator.reporting import report

        report(store, fleet)
    else:
        with store.write() as connection:
            rows = fill(connection, fleet)
            connection.exec_driver_sql("ANALYZE")
        spent = time.perf_counter() - began
        print(f"{rows:,} rows in {spent:.0f} s, {rows / spent:,.0f} a second", file=sys.stderr)
    written = time.perf_counter()
    with store.write() as connection:
        decide(connection)
        connection.exec_driver_sql("ANALYZE")
    spent = time.perf_counter() - written
    print(f"owners, labels and marks in {spent:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
