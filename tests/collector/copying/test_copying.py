"""The whole database into another product, into a file, and back: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.databases import DATABASES
from fakes.pki import issue
from sqlalchemy import Connection, insert, select, text

from keycensus_collector.copying import databases as copying
from keycensus_collector.copying.backup import back_up, restore
from keycensus_collector.copying.databases import copy_database
from keycensus_collector.copying.tables import Content, content_of, copy_rows, tables_of
from keycensus_collector.errors import StoreError
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import blob, deployment, line, place

ROOT = issue("Root", is_ca=True)
LEAF = issue("www.example.com", issuer=ROOT, sans=("www.example.com",))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a file that holds a bit of everything."""
    directory = tmp_path_factory.mktemp("filled")
    census = Census.create(directory)
    web = census.host("web1")
    census.report(web, "/etc/nginx/www.pem", certificate(LEAF), certificate(ROOT))
    census.report(web, "/etc/nginx/www.key", private_key(LEAF.key), mode=0o600)
    census.gone(web, "/etc/nginx/www.pem")
    census.fold()
    with census.store.write() as connection:
        connection.execute(
            insert(deployment).values(
                deployment_no=1, name="here", database_id=bytes(16), created_ms=1
            )
        )
        connection.execute(
            insert(blob).values(hash=b"h" * 32, kind=9, data=bytes(range(256)), received_ms=2)
        )
    census.store.close()
    return f"sqlite:///{directory}/collector.db"


@pytest.fixture
def empty() -> str:
    return DATABASES.empty_url()


def nothing(_table: str, _rows: int) -> None:
    """Be told, and say nothing."""


def contents(url: str) -> dict[str, Content]:
    with Store.open(url) as store, store.read() as connection:
        return {table.name: content_of(connection, table) for table in tables_of(connection)}


def test_there_and_back_every_table_is_the_same(filled: str, empty: str, tmp_path: Path) -> None:
    told: list[str] = []
    copied = copy_database(filled, empty, lambda table, _: told.append(table))
    assert sorted(told) == sorted(copied)
    assert copied["place"].rows == 2
    assert contents(empty) == copied == contents(filled)
    back = f"sqlite:///{tmp_path}/back.db"
    assert copy_database(empty, back, nothing) == copied
    assert contents(back) == copied


def test_after_a_copy_numbers_go_on(filled: str, empty: str) -> None:
    copy_database(filled, empty, nothing)
    with Store.open(empty) as store, store.write() as connection:
        highest = max(connection.execute(select(line.c.line_no)).scalars())
        made = insert(line).values(created_ms=1, name="new").returning(line.c.line_no)
        assert connection.execute(made).scalar_one() == highest + 1


def test_a_database_in_use_is_not_written_over(filled: str, empty: str, tmp_path: Path) -> None:
    copy_database(filled, empty, nothing)
    with pytest.raises(StoreError, match="holds a deployment already; nothing was changed"):
        copy_database(filled, empty, nothing)
    file = tmp_path / "precious"
    file.write_text("precious")
    with pytest.raises(StoreError, match="is there already; nothing was changed"):
        copy_database(filled, f"sqlite:///{file}", nothing)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_copy_that_breaks_off_leaves_nothing_and_can_be_made_again(
    filled: str, empty: str, tmp_path: Path, target: str
) -> None:
    url = empty if target == "postgresql" else f"sqlite:///{tmp_path}/copy.db"

    def break_off(table: str, _rows: int) -> None:
        if table == "place":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(filled, url, break_off)
    assert not (tmp_path / "copy.db").exists()
    assert copy_database(filled, url, nothing) == contents(filled)


def test_a_row_that_arrives_differently_is_noticed(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def falsify(source: Connection, target: Connection, tell: copying.Tell) -> dict[str, Content]:
        copied = copy_rows(source, target, tell)
        target.execute(place.update().values(mode=0o777))
        return copied

    monkeypatch.setattr(copying, "copy_rows", falsify)
    with pytest.raises(StoreError, match=r"the table place .* digest differs"):
        copy_database(filled, f"sqlite:///{tmp_path}/copy.db", nothing)
    assert not (tmp_path / "copy.db").exists()


def databases(filled: str, empty: str) -> Iterator[str]:
    yield filled
    copy_database(filled, empty, nothing)
    yield empty


def test_a_backup_of_either_product_goes_back_into_either(
    filled: str, empty: str, tmp_path: Path
) -> None:
    for number, url in enumerate(databases(filled, empty)):
        file = tmp_path / f"backup-{number}"
        held = back_up(url, file, nothing)
        assert file.stat().st_mode & 0o777 == 0o600
        assert held == contents(filled)
        back = f"sqlite:///{tmp_path}/back-{number}.db"
        assert restore(file, back, nothing) == held
        differing = {name for name, found in contents(back).items() if found != held[name]}
        assert differing == {"deployment"}  # its database has a new id, by which agents notice
        with Store.open(back) as store, store.read() as connection:
            assert connection.execute(select(deployment.c.database_id)).scalar_one() != bytes(16)
        assert sorted(path.name for path in tmp_path.glob("*restoring*")) == []
    other = DATABASES.empty_url()
    restore(file, other, nothing)
    assert contents(other).keys() == held.keys()


def test_a_damaged_backup_is_refused_before_anything_is_made(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(filled, file, nothing)
    whole = file.read_bytes()
    target = tmp_path / "target.db"
    at = whole.index(bytes(range(200)))
    for damaged in (
        whole[:at] + b"\xff" + whole[at + 1 :],
        whole[:-8192],
        b"",
        b"no database" * 99,
    ):
        file.write_bytes(damaged)
        with pytest.raises(StoreError, match=f"{file}"):
            restore(file, f"sqlite:///{target}", nothing)
        assert not target.exists()
    with pytest.raises(StoreError, match="there is no file"):
        restore(tmp_path / "nothing", f"sqlite:///{target}", nothing)
    with pytest.raises(StoreError, match="is there already"):
        back_up(filled, file, nothing)


def test_a_backup_of_a_newer_program_is_refused(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(filled, file, nothing)
    with Store.open(f"sqlite:///{file}") as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer keycensus-collector"):
        restore(file, f"sqlite:///{tmp_path}/target.db", nothing)
