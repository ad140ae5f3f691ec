"""What holds for every test.

A skipped test fails the run where `--fail-on-skip` says so (CI); logging that one test set up does not
outlive it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from fakes.databases import DATABASES, PRODUCTS


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """Take back what a command set up: it writes to the stream that pytest caught it with."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module", params=PRODUCTS)
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let what makes a store make it on the one database product, then on the other."""
    DATABASES.product = request.param
    yield request.param
    DATABASES.close_stores()
    DATABASES.product = "sqlite"


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
