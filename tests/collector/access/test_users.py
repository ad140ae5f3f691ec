from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.databases import new_store
from sqlalchemy import Connection, select

from keycensus_collector.access import logins, users
from keycensus_collector.errors import UsageError
from keycensus_collector.store.schema import audit, user

pytestmark = pytest.mark.usefixtures("each_database_in_full")

PASSWORD = "correct horse battery"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with new_store(tmp_path) as store, store.write() as connection:
        yield connection


def add(connection: Connection, name: str = "ann", role: str = "viewer") -> int:
    return users.add_user(connection, name=name, role=role, now_ms=1, actor="operator")


def set_password(connection: Connection, password: str) -> None:
    hashed = users.hash_of(password)
    users.set_password(connection, name="ann", password_hash=hashed, now_ms=2, actor="operator")


def matches(connection: Connection, name: str, password: str) -> bool:
    attempt = logins.begin(connection, name=name, address="192.0.2.1", now_ms=3)
    return users.password_matches(attempt.password_hash, password)


def test_a_password_is_kept_as_argon2id_only(connection: Connection) -> None:
    add(connection)
    set_password(connection, PASSWORD)
    stored = connection.execute(select(user.c.password_hash)).scalar_one()
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in stored
    assert matches(connection, "ann", PASSWORD)
    assert not matches(connection, "ann", PASSWORD + "!")


def test_nobody_signs_in_without_a_password_or_an_account(connection: Connection) -> None:
    add(connection)
    for name in ("ann", "bob"):
        for password in ("", PASSWORD, "no user has this password"):
            assert not matches(connection, name, password)


def test_a_disabled_user_does_not_sign_in(connection: Connection) -> None:
    add(connection)
    set_password(connection, PASSWORD)
    connection.execute(user.update().values(disabled_ms=5))
    assert not matches(connection, "ann", PASSWORD)


@pytest.mark.parametrize("password", ["", "x" * 11, "x" * 1025])
def test_short_and_endless_passwords_are_refused(connection: Connection, password: str) -> None:
    add(connection)
    with pytest.raises(UsageError, match="12 to 1024 characters"):
        set_password(connection, password)


@pytest.mark.parametrize("name", ["", "Ann", "-a", "a b", "a" * 65, "é", "a\n"])
def test_a_name_of_other_characters_is_refused(connection: Connection, name: str) -> None:
    with pytest.raises(UsageError, match="is no user name"):
        add(connection, name)


def test_a_role_that_is_none_is_refused(connection: Connection) -> None:
    with pytest.raises(UsageError, match="viewer, owner, operator, admin"):
        add(connection, role="root")


def test_a_second_user_of_a_name_is_refused(connection: Connection) -> None:
    add(connection)
    with pytest.raises(UsageError, match="there is a user ann already"):
        add(connection)


def test_an_unknown_user_names_the_list(connection: Connection) -> None:
    with pytest.raises(UsageError, match="user list"):
        set_password(connection, PASSWORD)


def change(connection: Connection, **what: Any) -> None:  # noqa: ANN401 - role or disabled
    users.change_user(connection, name="ann", actor="operator", now_ms=4, **what)


def test_the_last_admin_stays_one(connection: Connection) -> None:
    add(connection, role="admin")
    for what in ({"role": "viewer"}, {"disabled": True}):
        with pytest.raises(UsageError, match="no admin would be left"):
            change(connection, **what)
    add(connection, "bob", "admin")
    change(connection, role="owner")
    change(connection, role="admin", disabled=False)
    change(connection, disabled=True)
    assert [row["disabled_ms"] for row in users.list_users(connection)] == [4, None]


def test_a_role_is_changed_to_one_that_there_is(connection: Connection) -> None:
    add(connection)
    with pytest.raises(UsageError, match="is no role"):
        change(connection, role="root")


def test_the_list_holds_no_secret_and_the_audit_log_every_change(connection: Connection) -> None:
    add(connection)
    set_password(connection, PASSWORD)
    assert users.list_users(connection) == [
        {
            "name": "ann",
            "role": "viewer",
            "sees": "all",
            "created_ms": 1,
            "disabled_ms": None,
            "has_password": True,
            "accounts": [],
        }
    ]
    rows = connection.execute(select(audit.c.actor, audit.c.action, audit.c.subject)).all()
    assert [tuple(row) for row in rows] == [
        ("operator", "user.add", "ann"),
        ("operator", "user.passwd", "ann"),
    ]
