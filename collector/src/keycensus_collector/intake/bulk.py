"""Many rows by few statements: what makes intake as fast as the database.

Statements are written in SQLAlchemy Core and compiled once per database product; parameters go to
the driver as tuples. Core's own way, a dictionary a row and a converted value a parameter, costs
more than SQLite needs to write the row (measured). Nothing here converts values: bytes, text,
integers and booleans are what drivers take and give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    CursorResult,
    Delete,
    Insert,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

# Keys looked up at once: SQLite before 3.32 takes 999 parameters in all.
CHUNK = 500
# A statement over keys is compiled for these numbers of them; fewer keys are filled up.
_SIZES = (1, 16, CHUNK)
# Rows of one INSERT, and the widest rows, in columns, that are put together: 2,000 parameters.
ROWS = 200
_NARROW = 10
_KEYS = "keys"
# The marks of one row ("?", or "%s::TYPE" each), and the one that stands for all keys.
_VALUES = re.compile(r"VALUES \(([^()]*)\)")
_KEYS_MARK = re.compile(rf"__\[POSTCOMPILE_{_KEYS}[^\]]*\]")
KEYS: BindParameter[Any] = bindparam(_KEYS, expanding=True)

_Item = TypeVar("_Item")
# Text, then names and constants of the parameters before the keys, and of those after.
_KeyedText = tuple[str, list[tuple[str, object]], list[tuple[str, object]]]


def chunks(items: Iterable[_Item], size: int = CHUNK) -> Iterator[list[_Item]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class Bulk:
    """One statement for many rows.

    `build` is given a connection (for what databases spell differently) and returns the statement;
    `parameters` are the names of its parameters in the order in which a row holds them.
    """

    def __init__(
        self, build: Callable[[Connection], ClauseElement], parameters: Sequence[str]
    ) -> None:
        self._build = build
        self._parameters = list(parameters)
        self._texts: dict[str, str] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run the statement for each row; return how many rows of the table it changed."""
        if not rows:
            return 0
        return connection.exec_driver_sql(self.text(connection), rows).rowcount

    def first(self, connection: Connection, row: tuple[Any, ...]) -> Row[*tuple[Any, ...]] | None:
        """Run the statement for one row; return the first that it gives back."""
        return connection.exec_driver_sql(self.text(connection), row).first()

    def text(self, connection: Connection) -> str:
        """Return the statement as the connection's database spells it."""
        return self._texts.get(connection.dialect.name) or self._compile(connection)

    def _compile(self, connection: Connection) -> str:
        compiled = self._build(connection).compile(
            dialect=connection.dialect, column_keys=self._parameters
        )
        order = getattr(compiled, "positiontup", None)
        if order != self._parameters:
            msg = f"the statement takes {order}, its rows hold {self._parameters}"
            raise TypeError(msg)
        text = str(compiled)
        self._texts[connection.dialect.name] = text
        return text


class Setting:
    """One UPDATE of always the same columns, of the row that has a key."""

    def __init__(self, key: Column[Any], names: Collection[str]) -> None:
        # In the order of the table, which is that of the statement.
        self._names = [column.name for column in key.table.c if column.name in names]
        values: dict[str, BindParameter[Any]] = {
            name: bindparam(f"to_{name}") for name in self._names
        }
        self._bulk = Bulk(
            lambda _: update(key.table).where(key == bindparam("of_key")).values(values),
            [*(f"to_{name}" for name in self._names), "of_key"],
        )

    def run(self, connection: Connection, key: object, values: Mapping[str, object]) -> None:
        """Set the columns of the row under `key`; `values` holds each of them."""
        self._bulk.run(connection, [(*(values[name] for name in self._names), key)])


class BulkInsert:
    """One INSERT for many rows, of which narrow ones go to PostgreSQL by hundreds to a statement.

    That saves an eighth of a batch's time there. SQLite, and wide rows, it would cost a twentieth
    (measured, against `executemany`).
    """

    def __init__(
        self, build: Callable[[Connection], ClauseElement], parameters: Sequence[str]
    ) -> None:
        self._single = Bulk(build, parameters)
        self._width = len(parameters)
        self._texts: dict[str, str] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert the rows in their order; return how many of the table's were added or changed."""
        is_worth_it = self._width <= _NARROW and connection.dialect.name == "postgresql"
        together = len(rows) // ROWS * ROWS if is_worth_it else 0
        changed = 0
        if together:
            text = self._texts.get(connection.dialect.name) or self._compile(connection)
            values = [
                tuple(chain.from_iterable(rows[at : at + ROWS])) for at in range(0, together, ROWS)
            ]
            changed = connection.exec_driver_sql(text, values).rowcount
        return changed + self._single.run(connection, rows[together:])

    def _compile(self, connection: Connection) -> str:
        """Write the values of a single INSERT as often as a statement has rows."""
        single = self._single.text(connection)
        found = _VALUES.findall(single)
        if len(found) != 1 or found[0].count(",") != self._width - 1:
            msg = f"{single!r} does not take its rows as {self._width} values"
            raise TypeError(msg)
        one = f"({found[0]})"
        text = single.replace(f"VALUES {one}", "VALUES " + ", ".join([one] * ROWS))
        self._texts[connection.dialect.name] = text
        return text


def insert_into(table: Table, *, leave_out: Sequence[str] = ()) -> BulkInsert:
    """Return an INSERT whose rows hold the table's columns in order, without `leave_out`."""
    names = [column.name for column in table.columns if column.name not in leave_out]
    return BulkInsert(lambda _: insert(table), names)


class Keyed:
    """One statement for many keys, which it takes as `x IN KEYS`; other parameters by name."""

    def __init__(self, statement: Select[Any] | Insert | Update | Delete) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, int], _KeyedText] = {}

    def rows(
        self, connection: Connection, keys: Iterable[object], **parameters: object
    ) -> Iterator[Any]:
        """Yield the rows for all keys, as the driver gives them."""
        for chunk in chunks(keys):
            yield from self._execute(connection, chunk, parameters).fetchall()

    def run(self, connection: Connection, keys: Iterable[object], **parameters: object) -> None:
        """Run a statement that gives no rows, for all keys."""
        for chunk in chunks(keys):
            self._execute(connection, chunk, parameters)

    def _execute(
        self, connection: Connection, chunk: list[object], parameters: dict[str, object]
    ) -> CursorResult[Any]:
        size = next(size for size in _SIZES if len(chunk) <= size)
        chunk += chunk[-1:] * (size - len(chunk))
        compiled = self._compiled.get((connection.dialect.name, size))
        text, before, after = compiled or self._compile(connection, size)
        values = (
            *(parameters.get(name, constant) for name, constant in before),
            *chunk,
            *(parameters.get(name, constant) for name, constant in after),
        )
        return connection.exec_driver_sql(text, values)

    def _compile(self, connection: Connection, size: int) -> _KeyedText:
        """Compile the statement, and put `size` marks where SQLAlchemy says that the keys go."""
        compiled = self._statement.compile(dialect=connection.dialect)
        mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        text = _KEYS_MARK.sub(", ".join([mark] * size), str(compiled))
        names = compiled.positiontup or []
        constants = [(name, compiled.params.get(name)) for name in names]
        at = names.index(_KEYS)
        keyed = text, constants[:at], constants[at + 1 :]
        self._compiled[connection.dialect.name, size] = keyed
        return keyed


def numbers_from(connection: Connection, column: Column[int]) -> int:
    """Return the first free number of a table's key; those above it are free too.

    True while this transaction lasts, because one transaction writes at a time, whichever collector's
    it is. Numbers that are known before the insert save reading each back.
    """
    highest = connection.execute(_highest(column)).scalar()
    return (highest or 0) + 1


@cache
def _highest(column: Column[int]) -> Select[Any]:
    return select(func.max(column))
