"""What holds for every test.

A skipped test fails the run where `--fail-on-skip` says so (CI); logging that one test set up does not
outlive it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from fakes.databases import DATABASES, PRODUCTS

# Whether what is asked of the database in plain words only is asked of PostgreSQL, too.
IN_FULL = bool(os.environ.get("KEYCENSUS_POSTGRESQL"))


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """Take back what a command set up: it writes to the stream that pytest caught it with."""
    yield
    structlog.reset_defaults()


def _on(product: str) -> Iterator[str]:
    DATABASES.product = product
    yield product
    DATABASES.close_stores()
    DATABASES.product = "sqlite"


@pytest.fixture(scope="module", params=PRODUCTS)
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let what makes a store make it on the one database product, then on the other."""
    yield from _on(request.param)


@pytest.fixture(scope="module", params=PRODUCTS if IN_FULL else PRODUCTS[:1])
def each_database_in_full(request: pytest.FixtureRequest) -> Iterator[str]:
    """Do as `each_database`, but on PostgreSQL only in the long form: `make postgresql`."""
    yield from _on(request.param)


@pytest.fixture(scope="session", autouse=True)
def _databases() -> Iterator[None]:
    yield
    DATABASES.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="end with a failure if any test was skipped: all tools must be there",
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--fail-on-skip"):
        return
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"--fail-on-skip: {len(skipped)} skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
