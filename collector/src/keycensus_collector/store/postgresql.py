"""What is particular to PostgreSQL: addresses, sessions, fail-over, error codes, order of text.

Several collectors share one database. Each writes one transaction at a time, and an advisory lock of
the database lets one of them write at a time: so everything that was read in a transaction stays true
until it is committed, as on SQLite, and a collector that is killed gives the lock back with its
connection. Reads take no lock. Addresses are libpq's, and so are the ways of a password: `passfile`,
PGPASSFILE, ~/.pgpass, PGPASSWORD; none in the address itself.
"""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from keycensus_collector.errors import (
    KeycensusError,
    StoreAgainError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreSlowError,
    UsageError,
)
from keycensus_collector.store.schema import PATH_START
from keycensus_collector.text import safe_text

OLDEST_VERSION = 14
# Who holds this lock of the database writes ("keycensus" as a number of 63 bits: its first bytes).
WRITE_LOCK = int.from_bytes(b"keycensu", "big")

_DEFAULTS = {
    "application_name": "keycensus-collector",
    "connect_timeout": "10",
    "client_encoding": "utf8",
    # Of several hosts the one that takes writes, whichever that is after a fail-over.
    "target_session_attrs": "read-write",
    # A host that went without a word is noticed within half a minute.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_SESSION = """
SET jit = off;
SET lock_timeout = '60s';
SET idle_in_transaction_session_timeout = '60s';
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
"""
# Of reads: a plan is for the values that it is asked with, since what few have is found in another way than what
# most have; and by one process, since to start others takes as long as a page should. Where nobody has said how
# fast the disks are, they are taken for ones without moving parts: else an index is read less often than it should.
# A look through a table begins at its beginning, not where another one is: what ends early takes the same each time.
_READING = """
SET plan_cache_mode = force_custom_plan;
SET max_parallel_workers_per_gather = 0;
SET synchronize_seqscans = off;
SELECT set_config('random_page_cost', '1.1', false) WHERE current_setting('random_page_cost') = '4';
SELECT set_config('work_mem', '32MB', false) WHERE current_setting('work_mem') = '4MB'
"""
# A pooled connection that rested longer is asked whether its server still is the primary.
_TRUSTED_SECONDS = 1.0

_UNREACHED = "unreached"  # the driver's own trouble, before a server said anything
_LOST = (
    "the connection to {name} was lost, or leads to a server that is no primary any more ({said})"
)
# What becomes of SQLSTATEs that begin so (PostgreSQL, appendix A).
_TROUBLE: dict[tuple[str, ...], tuple[type[StoreError], str]] = {
    (_UNREACHED,): (
        StoreError,
        (
            "{name} can't be reached ({said}); is the server up, and are address, user, password file "
            "and TLS right?"
        ),
    ),
    ("53100",): (
        StoreFullError,
        (
            "the disk of {name} is full; nothing was committed. Make room: what agents report is kept "
            "on their hosts until then ({said})"
        ),
    ),
    ("28",): (
        StoreError,
        "{name} refuses us ({said}); check user, password file and pg_hba.conf",
    ),
    ("42501",): (StoreError, "{name}: the role lacks a right ({said}); it must own its tables"),
    ("57014",): (StoreSlowError, "a read took longer than it may, and was ended"),
    ("55P03",): (StoreBusyError, "{name}: another collector has been writing for a minute"),
    ("40001", "40P01"): (StoreAgainError, "{name} gave up on a transaction ({said}); try it again"),
    ("08", "57P01", "57P02", "57P03", "25006", "25P03"): (StoreAgainError, _LOST),
    ("53", "58", "XX", "3D"): (StoreError, "{name}: {said}; look at the server's log"),
}


def check_address(url: str) -> None:
    """ValueError, with what would be right, for what is no address or holds a password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        raise ValueError(
            'write "postgresql://USER@HOST/DATABASE", with several hosts as HOST1,HOST2'
        ) from None
    if parts.get("password"):
        raise ValueError(
            "leave the password out of the address; name a file in .pgpass's form with "
            '"?passfile=/path", or set PGPASSWORD'
        )
    if not parts.get("dbname"):
        raise ValueError('name the database, as in "postgresql://USER@HOST/DATABASE"')


def connection_parts(url: str) -> dict[str, Any]:
    """Return libpq's parameters for an address, with ours where it says nothing.

    A server that is reached over a network has to prove who it is, unless `sslmode` says otherwise.
    """
    try:
        check_address(url)
    except ValueError as error:
        raise StoreError(f"the database address can't be used: {error}") from None
    parts: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url)}
    if "sslmode" not in parts and "PGSSLMODE" not in os.environ and not _is_local(parts):
        parts["sslmode"] = "verify-full"
        if "sslrootcert" not in parts and "PGSSLROOTCERT" not in os.environ:
            parts["sslrootcert"] = "system"
    return parts


def _is_local(parts: dict[str, Any]) -> bool:
    hosts = str(parts.get("hostaddr") or parts.get("host") or os.environ.get("PGHOST", ""))
    return all(map(_is_local_host, hosts.split(",")))


def _is_local_host(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(parts: dict[str, Any]) -> str:
    """Return an address for messages: who, where and which database, and nothing else."""
    user = f"{parts['user']}@" if parts.get("user") else ""
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
    ports = str(parts.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    where = ",".join(
        f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False)
    )
    return safe_text(f"postgresql://{user}{where}/{parts['dbname']}")


class PostgreSql:
    """A database that several collectors may hold at once."""

    is_shared = True

    def __init__(self, url: str, readers: int) -> None:
        self._parts = connection_parts(url)
        self.name = shown(self._parts)
        self.writer = self._engine(1, 0, read_only=False)
        self.reader = self._engine(readers, readers, read_only=True)
        event.listen(self.writer, "begin", _take_turn)
        try:
            self._check_server()
        except BaseException:
            self.close()
            raise

    def _engine(self, connections: int, more: int, *, read_only: bool) -> Engine:
        def connect() -> psycopg.Connection[Any]:
            connection = psycopg.connect(**self._parts, autocommit=True)
            connection.execute(_SESSION)
            if read_only:
                connection.execute(_READING)
            connection.isolation_level = (
                psycopg.IsolationLevel.REPEATABLE_READ
                if read_only
                else psycopg.IsolationLevel.READ_COMMITTED
            )
            connection.read_only = read_only
            connection.autocommit = False
            return connection

        # `hide_parameters`: an error's text may reach a log, what stands in rows must not.
        engine = create_engine(
            "postgresql+psycopg://",
            creator=connect,
            paramstyle="format",
            pool_size=connections,
            max_overflow=more,
            hide_parameters=True,
        )
        event.listen(engine, "checkout", _check_out)
        event.listen(engine, "handle_error", _leave_out_details)
        return engine

    def _check_server(self) -> None:
        with self.mapped_errors(), self.reader.begin() as connection:
            version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if version < OLDEST_VERSION * 10_000:
            raise StoreError(
                f"{self.name} is PostgreSQL {version // 10_000}; this program needs "
                f"{OLDEST_VERSION} or later"
            )
        if encoding != "UTF8":
            raise StoreError(
                f"{self.name} keeps text as {encoding}; make it anew with ENCODING 'UTF8'"
            )

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """Turn the driver's errors into the collector's, each with what to do."""
        try:
            yield
        except DBAPIError as error:
            mapped = self._mapped(error)
            if mapped is None:
                raise
            if isinstance(mapped, StoreAgainError):
                # What other connections lead to is in doubt too: after a fail-over, all of them.
                self.writer.dispose()
                self.reader.dispose()
            raise mapped from error

    def _mapped(self, error: DBAPIError) -> KeycensusError | None:
        orig = error.orig
        if isinstance(orig, psycopg.DataError) and "NUL" in str(orig):
            # All that is kept is escaped: this was asked for, and SQLite would find nothing.
            return UsageError(
                "there is a NUL character in what was asked for, which nothing here has"
            )
        state = getattr(orig, "sqlstate", None) or ""
        if not state and isinstance(orig, psycopg.OperationalError | psycopg.InterfaceError):
            state = "08" if error.connection_invalidated else _UNREACHED
        for states, (kind, text_) in _TROUBLE.items():
            if state.startswith(states):
                said = safe_text(" ".join(str(orig).split()))
                return kind(text_.format(name=self.name, said=said))
        return None

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        """End a statement of a reading connection after a time, with StoreSlowError."""
        limit = text("SELECT set_config('statement_timeout', :limit, true)")
        connection.execute(limit, {"limit": f"{max(1, round(seconds * 1000))}ms"})
        yield  # the setting ends with the transaction

    def keep_copy(self, newest: str) -> None:
        """Leave the copy to `db backup` and the server's own: one like it would be a second server."""
        del newest

    def after_upgrade(self, connection: Connection) -> None:
        """Put text in the order of its characters, and index what is searched for parts of it.

        With the order of a language, lists and pages would depend on the server's libraries, and so
        would the integrity of every index when those are upgraded.
        """
        for table, columns in _text_columns(connection).items():
            changes = ", ".join(
                f'ALTER COLUMN {_quoted(name)} TYPE text COLLATE "C"' for name in columns
            )
            connection.exec_driver_sql(f"ALTER TABLE {_quoted(table)} {changes}")
        has_them = has_trigrams(connection) or _make_trigrams(connection)
        for name, definition in OWN_INDEXES.items():
            if has_them or not name.endswith(_TRIGRAMS):
                connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {definition}")

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.reader.dispose()


_TRIGRAMS = "_trgm"
# Indexes that only PostgreSQL has, expressions as the queries have them. Trigrams serve searches for a
# part of a text; without the extension those read all rows.
OWN_INDEXES = {
    "ix_place_path_start": f'place ("left"(path, {PATH_START}))',
    # Weak keys and shared ones are few, and looked for often.
    "ix_certificate_key_size": "certificate (lower(algorithm), bits)",
    "ix_public_key_hosts": "public_key (hosts, key_id, in_use) WHERE hosts > 1",
    "ix_certificate_name_value_trgm": "certificate_name USING gin (value gin_trgm_ops)",
    "ix_certificate_subject_trgm": "certificate USING gin (lower(subject) gin_trgm_ops)",
    "ix_certificate_issuer_trgm": "certificate USING gin (lower(issuer) gin_trgm_ops)",
    "ix_host_name_trgm": "host USING gin (lower(name) gin_trgm_ops)",
}


def has_trigrams(connection: Connection) -> bool:
    """Say whether the extension pg_trgm is there."""
    found = connection.exec_driver_sql("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
    return found.first() is not None


def _make_trigrams(connection: Connection) -> bool:
    """Make the extension; False where the role may not, or the server has none."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION pg_trgm")
    except DBAPIError:
        return False
    return True


def _text_columns(connection: Connection) -> dict[str, list[str]]:
    """Return the text columns in this schema that still have the database's own order."""
    rows = connection.execute(
        text(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            " WHERE c.table_schema = current_schema() AND c.data_type = 'text'"
            " AND t.table_type = 'BASE TABLE' AND c.collation_name IS DISTINCT FROM 'C'"
            " ORDER BY c.table_name, c.ordinal_position"
        )
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What `doctor` judges of a server, a database and our way to it."""

    version: str
    megabytes: int
    is_superuser: bool
    is_private: bool
    has_trigrams: bool
    is_durable: bool


def server_facts(url: str) -> ServerFacts:
    """Ask a server about itself; StoreError if it can't be reached."""
    product = PostgreSql(url, 1)
    try:
        with product.mapped_errors(), product.reader.begin() as connection:
            ask = connection.exec_driver_sql
            encrypted = ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").scalar()
            address = ask("SELECT host(inet_client_addr())").scalar()
            return ServerFacts(
                version=ask("SHOW server_version").scalar_one(),
                megabytes=ask("SELECT pg_database_size(current_database())").scalar_one() >> 20,
                is_superuser=ask("SHOW is_superuser").scalar_one() == "on",
                is_private=bool(encrypted) or _is_local_host(address or ""),
                has_trigrams=has_trigrams(connection),
                is_durable=ask("SHOW fsync").scalar_one() == "on",
            )
    finally:
        product.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _take_turn(connection: Connection) -> None:
    """Wait until no other collector writes; the end of the transaction gives the lock back."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def _leave_out_details(context: ExceptionContext) -> None:
    """Take what stands in rows out of an error: the server tells the values that it refused."""
    orig, raised = context.original_exception, context.sqlalchemy_exception
    if not isinstance(orig, psycopg.Error) or not orig.diag.message_primary:
        return
    whole, short = str(orig), orig.diag.message_primary
    orig.args = (short,)
    if raised is not None and raised.args:
        raised.args = (str(raised.args[0]).replace(whole, short), *raised.args[1:])


def _check_out(
    connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Give out no connection to a server that is gone, or that has become a standby."""
    now = time.monotonic()
    if now - record.info.get("trusted", -_TRUSTED_SECONDS) < _TRUSTED_SECONDS:
        return
    try:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        connection.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error
    if row is None or row[0]:
        raise InvalidatePoolError
    record.info["trusted"] = now
