from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import OperationalError

from keycensus_collector.errors import StoreBusyError, StoreError, StoreFullError, StoreNewerError
from keycensus_collector.store.engine import Store
from keycensus_collector.store.revisions import MIGRATIONS
from keycensus_collector.store.schema import line, work


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(url_of(tmp_path / "state" / "db")) as store:
        yield store


def test_the_database_and_its_directory_are_its_owners_alone(store: Store) -> None:
    with store.write() as connection:
        connection.execute(insert(line).values(created_ms=1, name="a"))
    assert Path(store.name).parent.stat().st_mode & 0o777 == 0o700
    files = list(Path(store.name).parent.iterdir())
    assert {file.name for file in files} == {"db", "db-wal", "db-shm", "db.lock"}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_commits_are_synchronous_and_the_log_is_a_wal(store: Store) -> None:
    with store.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA mmap_size").scalar_one() == 0


def test_caches_are_as_large_as_configured(store: Store) -> None:
    url = url_of(Path(store.name))
    store.close()
    with Store.open(url, cache_mib=8) as small:
        with small.write() as connection:
            assert connection.exec_driver_sql("PRAGMA cache_size").scalar_one() == -8192
        with small.read() as connection:
            assert connection.exec_driver_sql("PRAGMA cache_size").scalar_one() == -4096


def test_a_second_process_is_told_who_holds_the_database(store: Store) -> None:
    code = (
        "import sys; from keycensus_collector.store.engine import Store\n"
        "from keycensus_collector.errors import StoreBusyError\n"
        "try: Store.open(sys.argv[1])\n"
        "except StoreBusyError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, url_of(Path(store.name))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"in use by process {os.getpid()}" in result.stdout
    assert str(Path(store.name)) in result.stdout


def test_the_database_is_free_again_after_close(tmp_path: Path) -> None:
    Store.create(url_of(tmp_path / "db")).close()
    with Store.open(url_of(tmp_path / "db")) as store, pytest.raises(StoreBusyError):
        Store.open(url_of(Path(store.name)))
    Store.open(url_of(tmp_path / "db")).close()


def test_create_never_touches_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("precious")
    with pytest.raises(StoreError, match="there already"):
        Store.create(url_of(tmp_path / "db"))
    assert (tmp_path / "db").read_text() == "precious"


def test_a_missing_database_names_init(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="keycensus-collector init"):
        Store.open(url_of(tmp_path / "db"))


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "mysql://h/d"])
def test_an_address_that_can_not_be_used_says_what_would(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///"):
        Store.open(url)


def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    with Store.create(url_of(tmp_path / "db")) as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(StoreNewerError, match="revision 9999"):
        Store.open(url_of(tmp_path / "db"), upgrade=True)
    assert (tmp_path / "db").read_bytes() == before


def newer_migrations(directory: Path) -> Path:
    """Return a copy of the migrations with one more, as the next release would have."""
    target = directory / "migrations"
    (target / "versions").mkdir(parents=True)
    for file in (MIGRATIONS / "env.py", *sorted((MIGRATIONS / "versions").glob("0*.py"))):
        (target / file.relative_to(MIGRATIONS)).write_text(file.read_text())
    with Store.create(url_of(directory / "newest")) as store:
        newest = store.revision().newest
    (target / "versions" / "9000_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = '9000', {newest!r}\n"
        "def upgrade() -> None:\n"
        "    op.create_table('next', sa.Column('n', sa.Integer(), primary_key=True))\n"
    )
    return target


def test_an_older_database_is_upgraded_only_when_asked_and_copied_before(tmp_path: Path) -> None:
    migrations = newer_migrations(tmp_path)
    url = url_of(tmp_path / "db")
    Store.create(url).close()
    with pytest.raises(StoreError, match="db upgrade"):
        Store.open(url, migrations=migrations)
    with Store.open(url, upgrade=True, migrations=migrations) as store:
        assert store.revision(migrations).current == "9000"
        with store.read() as connection:
            connection.execute(text("SELECT n FROM next"))
    copy = tmp_path / "db.before-9000"
    assert copy.stat().st_mode & 0o777 == 0o600
    Store.open(url_of(copy)).close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    migrations = newer_migrations(tmp_path)
    with (migrations / "versions" / "9000_next.py").open("a") as file:
        file.write("    op.execute('SELECT broken')\n")
    url = url_of(tmp_path / "db")
    Store.create(url).close()
    with pytest.raises(OperationalError):
        Store.open(url, upgrade=True, migrations=migrations)
    with Store.open(url) as store, store.read() as connection:
        assert (
            connection.execute(
                text("SELECT count(*) FROM sqlite_master WHERE name = 'next'")
            ).scalar_one()
            == 0
        )


@pytest.mark.parametrize(
    "content", [b"", b"not a database" * 500, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database_of_ours_is_refused_and_kept(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(StoreError, match=str(tmp_path / "db")):
        Store.open(url_of(tmp_path / "db"), upgrade=True)
    assert (tmp_path / "db").read_bytes() == content


def test_damage_inside_the_database_is_named(tmp_path: Path) -> None:
    with Store.create(url_of(tmp_path / "db")) as store, store.write() as connection:
        connection.execute(
            insert(work),
            [
                {"kind": "x", "subject": bytes(200), "number": n, "queued_ms": 1}
                for n in range(5000)
            ],
        )
    with (tmp_path / "db").open("r+b") as file:
        file.seek(100 * 4096)
        file.write(b"\xff" * 4096 * 100)
    with (
        pytest.raises(StoreError, match="is damaged"),
        Store.open(url_of(tmp_path / "db")) as store,
        store.read() as connection,
    ):
        connection.execute(select(work)).all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(directory)], check=True
    )
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_commits_nothing_says_so_and_heals(small_disk: Path) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(
            insert(work),
            [{"kind": "x", "subject": bytes(900), "number": n, "queued_ms": 1} for n in range(500)],
        )

    def count(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(work)).scalar_one()

    with Store.create(url_of(small_disk / "db")) as store:
        commits = []

        def fill_until_it_fails() -> None:
            while True:
                with store.write() as connection:
                    fill(connection)
                commits.append(500)

        with pytest.raises(StoreFullError, match="is full; nothing was committed"):
            fill_until_it_fails()
        committed = sum(commits)
        with store.read() as connection:
            assert count(connection) == committed > 0
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        with store.write() as connection:
            fill(connection)
        with store.read() as connection:
            assert count(connection) == committed + 500
