"""Backups: one file that holds everything, says what it holds, and is the same for both products.

A backup is an SQLite database with the collector's tables and one more, which has a count and a digest
for each. So one of PostgreSQL needs no tools of the server's version and goes back into either product,
and a damaged one is noticed before anything is restored. Large PostgreSQL databases have ways of their
own, to a point in time; this one is complete, consistent and portable.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from keycensus_collector.copying.databases import Tell
from keycensus_collector.copying.tables import (
    CONTENTS,
    Content,
    check,
    clear,
    content_of,
    copy_rows,
    tables_of,
)
from keycensus_collector.errors import StoreError
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store
from keycensus_collector.store.making import finish, new_database, unfinished_beside
from keycensus_collector.store.schema import deployment
from keycensus_collector.store.sqlite import (
    Sqlite,
    check_file,
    copy_open_database,
    create_file,
    database_path,
)

_CONTENT = Table(
    CONTENTS,
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
)


def back_up(url: str, file: Path, tell: Tell) -> dict[str, Content]:
    """Make a backup of a database that this process may open; return what it holds, by table."""
    if file.exists():
        raise StoreError(f"{file} is there already; name another file")
    unfinished = unfinished_beside(file)
    with Store.open(url) as store, store.read() as reading:
        if is_postgresql(url):
            with Store.create(f"sqlite:///{unfinished}") as target, target.write() as writing:
                clear(writing)
                copy_rows(reading, writing, tell)
        else:
            copy_open_database(reading, unfinished)
    return seal(unfinished, file)


def seal(unfinished: Path, file: Path) -> dict[str, Content]:
    """Let a copy say what it holds, and give it its name."""
    with Store.open(f"sqlite:///{unfinished}") as store, store.write() as connection:
        contents = {table.name: content_of(connection, table) for table in tables_of(connection)}
        _CONTENT.create(connection)
        connection.execute(
            insert(_CONTENT),
            [
                {"name": name, "rows": content.rows, "digest": content.digest}
                for name, content in contents.items()
            ],
        )
    finish(unfinished, file)
    return contents


def restore(file: Path, url: str, tell: Tell) -> dict[str, Content]:
    """Put a backup into a new database; return what the backup held, by table.

    An older backup is upgraded on the way. The database gets a new id, by which agents notice and
    report anew what it lacks. Raises StoreError if the backup is none or damaged, or the target is
    there already; the target is then as it was.
    """
    if not file.is_file():
        raise StoreError(f"there is no file {file}")
    place = file.parent if is_postgresql(url) else database_path(url).parent
    work = unfinished_beside(place / f"{file.name}.restoring")
    try:
        create_file(work)
        shutil.copyfile(file, work)
        contents = _open_seal(work, file)
        with Store.open(f"sqlite:///{work}", upgrade=True) as source:
            with source.write() as connection:
                connection.execute(update(deployment).values(database_id=secrets.token_bytes(16)))
            with source.read() as reading, new_database(url) as target, target.write() as writing:
                clear(writing)
                check(writing, copy_rows(reading, writing, tell))
    except OSError as error:
        raise StoreError(f"{file} can't be read or copied to {work}: {error.strerror}") from error
    finally:
        for leftover in place.glob(f"{work.name}*"):
            leftover.unlink()
    return contents


def _open_seal(work: Path, file: Path) -> dict[str, Content]:
    """Compare the copy of a backup with what it says of itself, and make it a database again."""
    try:
        with Store(Sqlite(f"sqlite:///{work}", 1)) as store, store.write() as connection:
            check_file(connection)
            rows = connection.execute(select(_CONTENT)).all()
            contents = {row.name: Content(row.rows, row.digest) for row in rows}
            check(connection, contents)
            _CONTENT.drop(connection)
            return contents
    except DBAPIError as error:
        raise StoreError(f"{file} is no backup of this program: {error.orig}") from error
    except StoreError as error:
        raise StoreError(f"{file} is damaged: {error}; take another backup") from error
