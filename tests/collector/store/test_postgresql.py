"""What PostgreSQL alone has: addresses, passwords, several collectors, and what it says when it fails."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.databases import DATABASES
from fakes.postgres import PASSWORD, PostgresServer, running_server
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from keycensus_collector.errors import (
    StoreAgainError,
    StoreBusyError,
    StoreError,
    StoreNewerError,
)
from keycensus_collector.store import postgresql
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import certificate, certificate_name, line, user


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def url() -> str:
    return DATABASES.empty_url()


@pytest.fixture(scope="module")
def reached() -> Iterator[PostgresServer]:
    """Return a server that listens on TCP and wants passwords there."""
    with running_server(port=_free_port()) as server:
        server.new_database()
        yield server


def address(server: PostgresServer, more: str = "") -> str:
    return f"postgresql://keycensus@127.0.0.1:{server.port}/database_1{more}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hunter2@h/d", "leave the password out"),
        ("postgresql://h/d?password=hunter2", "leave the password out"),
        ("postgresql://h", "name the database"),
        ("postgresql://h/d?nothing=1", 'write "postgresql://USER@HOST/DATABASE"'),
    ],
)
def test_an_address_that_is_none_or_holds_a_password_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        postgresql.check_address(url)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(StoreError, match=said):
        Store.open(url)


def test_a_server_on_the_network_has_to_prove_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    parts = postgresql.connection_parts
    assert parts("postgresql://db.example.com/d")["sslmode"] == "verify-full"
    assert parts("postgresql://127.0.0.1,db.example.com/d")["sslrootcert"] == "system"
    assert "sslmode" not in parts("postgresql:///d?host=/run/postgresql")
    assert "sslmode" not in parts("postgresql://[::1]/d")
    assert parts("postgresql://db/d?sslmode=require")["sslmode"] == "require"
    assert parts("postgresql://a,b/d")["target_session_attrs"] == "read-write"


def test_messages_name_who_where_and_what() -> None:
    parts = postgresql.connection_parts("postgresql://u@a:1,b:2/d?passfile=/secret/file")
    assert postgresql.shown(parts) == "postgresql://u@a:1,b:2/d"


def test_a_server_that_does_not_answer_is_told() -> None:
    with pytest.raises(StoreError, match=r"postgresql://u@127.0.0.1:1/d can't be reached"):
        Store.open("postgresql://u@127.0.0.1:1/d")


def test_a_password_comes_from_a_file_or_the_environment_and_is_never_shown(
    reached: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text(f"127.0.0.1:*:*:keycensus:{PASSWORD}\n")
    file.chmod(0o600)
    Store.create(address(reached, f"?passfile={file}")).close()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    Store.open(address(reached)).close()
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        Store.open(address(reached))
    assert "hunter2" not in str(refused.value)


def test_a_database_without_tables_names_init(reached: PostgresServer) -> None:
    with pytest.raises(StoreError, match="keycensus-collector init"):
        Store.open(reached.new_database(), upgrade=True)


def test_a_database_in_use_is_not_made_again(url: str) -> None:
    with pytest.raises(StoreError, match="in use already; nothing was changed"):
        Store.create(url)


def test_a_newer_database_is_refused(url: str) -> None:
    with Store.open(url) as store, store.write() as connection:
        (before,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreNewerError, match="revision 9999"):
        Store.open(url, upgrade=True)
    with Store(postgresql.PostgreSql(url, 1)) as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": before})


def test_of_several_collectors_one_writes_at_a_time_and_all_read(url: str) -> None:
    entered, written = threading.Event(), []

    def write_second(store: Store) -> None:
        entered.set()
        with store.write() as connection:
            written.append(connection.execute(select(func.count()).select_from(line)).scalar_one())

    with Store.open(url) as first, Store.open(url) as second:
        thread = threading.Thread(target=write_second, args=(second,))
        with first.write() as connection:
            thread.start()
            assert entered.wait(10)
            with second.read() as reader:
                assert reader.execute(select(func.count()).select_from(line)).scalar_one() == 0
            connection.execute(insert(line).values(created_ms=1, name="a"))
            assert not written
        thread.join(10)
    assert written == [1]


def test_who_waits_for_the_writer_too_long_is_told(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        postgresql,
        "_SESSION",
        postgresql._SESSION.replace("lock_timeout = '60s'", "lock_timeout = '50ms'"),
    )
    with (
        Store.open(url) as first,
        Store.open(url) as second,
        first.write(),
        pytest.raises(StoreBusyError, match="another collector"),
        second.write(),
    ):
        pass


def test_a_connection_that_the_server_ends_is_told_and_made_anew(url: str) -> None:
    end = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with Store.open(url) as store:
        with pytest.raises(StoreAgainError, match="was lost"), store.write() as connection:
            connection.execute(end)
        assert not store.can_write
        with store.write() as connection:
            connection.execute(insert(line).values(created_ms=1, name="a"))
        with pytest.raises(StoreAgainError, match="was lost"), store.read() as connection:
            connection.execute(end)
        with store.read() as connection:
            assert connection.execute(select(func.count()).select_from(line)).scalar_one() == 1


def test_a_commit_waits_for_the_disk_whatever_the_role_is_set_to(url: str) -> None:
    with Store.open(url) as store, store.write() as connection:
        connection.execute(text("ALTER ROLE keycensus SET synchronous_commit = off"))
    try:
        with Store.open(url) as store, store.write() as connection:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    finally:
        DATABASES.server.execute("ALTER ROLE keycensus RESET synchronous_commit")


def test_what_the_server_says_of_rows_reaches_no_error(url: str) -> None:
    row = {"password_hash": "", "role": "viewer", "created_ms": 1}
    with Store.open(url) as store:
        with store.write() as connection:
            connection.execute(insert(user).values(name="hunter2", **row))
        for values in ({"name": "hunter2", **row}, {"name": "hunter2", "role": None}):
            with pytest.raises(IntegrityError) as raised, store.write() as connection:
                connection.execute(insert(user).values(values))
            told = "".join(traceback.format_exception(raised.value))
            assert "hunter2" not in told
            assert "constraint" in told


def test_names_and_serials_may_be_as_long_as_a_stranger_makes_them(url: str) -> None:
    long = "".join(chr(0x4E00 + number % 20_000) for number in range(60_000))
    of_type = {bytes: b"", str: "", int: 0, bool: False}
    row = {c.name: of_type[c.type.python_type] for c in certificate.columns if not c.nullable}
    with Store.open(url) as store, store.write() as connection:
        connection.execute(insert(certificate).values({**row, "serial": long, "issuer": long}))
        connection.execute(
            insert(certificate_name).values(
                sha256=b"", position=0, kind="dns", value=long, reversed_labels=long
            )
        )
        found = select(certificate_name.c.position).where(certificate_name.c.value == long)
        assert connection.execute(found).scalar_one() == 0


def test_where_the_role_may_not_make_the_extension_there_is_no_trigram_index(
    reached: PostgresServer,
) -> None:
    url = reached.new_database()
    name = url.partition("@/")[2].partition("?")[0]
    reached.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    reached.execute("GRANT ALL ON SCHEMA public TO keycensus", name)
    Store.create(url).close()
    assert not postgresql.server_facts(url).has_trigrams
    reached.execute("CREATE EXTENSION pg_trgm", name)
    with Store.open(url, upgrade=True) as store:
        store.complete()
        with store.read() as connection:
            indexes = connection.execute(text("SELECT indexname FROM pg_indexes")).scalars().all()
    assert set(postgresql.OWN_INDEXES) <= set(indexes)
