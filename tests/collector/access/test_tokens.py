from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.databases import new_store
from sqlalchemy import Connection

from keycensus_collector.access import tokens
from keycensus_collector.access.users import add_user
from keycensus_collector.errors import Refusal, UsageError
from keycensus_collector.store.schema import api_token, user

pytestmark = pytest.mark.usefixtures("each_database_in_full")

NOW = 1_800_000_000_000
DAY = 86_400_000


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with new_store(tmp_path) as store, store.write() as connection:
        add_user(connection, name="ann", role="operator", now_ms=NOW, actor="operator")
        yield connection


def make(connection: Connection, days: int = 90) -> tokens.NewApiToken:
    return tokens.create_api_token(
        connection, user_name="ann", name="laptop", now_ms=NOW, actor="operator", days=days
    )


def refusal(connection: Connection, header: str | None, now_ms: int = NOW) -> str:
    with pytest.raises(Refusal) as raised:
        tokens.authenticate(connection, header, now_ms)
    assert raised.value.reason == "unauthenticated"
    return str(raised.value)


def test_a_token_says_who_asks(connection: Connection) -> None:
    made = make(connection)
    principal = tokens.authenticate(connection, f"Bearer {made.text}", NOW)
    assert (principal.user, principal.role, principal.token_id) == (
        "ann",
        "operator",
        made.token_id,
    )
    assert tokens.authenticate(connection, f"bearer  {made.text} ", NOW) == principal


def test_only_a_hash_is_kept_and_nothing_shows(connection: Connection) -> None:
    made = make(connection)
    secret = made.text.split("_")[2]
    assert len(secret) == 64
    row = connection.execute(api_token.select()).one()
    assert secret.encode() not in bytes(str(tuple(row)), "ascii")
    assert secret not in repr(made)


def test_a_token_expires(connection: Connection) -> None:
    header = f"Bearer {make(connection, days=1).text}"
    tokens.authenticate(connection, header, NOW + DAY - 1)
    assert "has expired" in refusal(connection, header, NOW + DAY)


def test_a_revoked_token_and_a_disabled_user_are_refused(connection: Connection) -> None:
    header = f"Bearer {make(connection).text}"
    connection.execute(api_token.update().values(revoked_ms=NOW))
    assert "was revoked" in refusal(connection, header)
    connection.execute(api_token.update().values(revoked_ms=None))
    connection.execute(user.update().values(disabled_ms=NOW))
    assert "its user disabled" in refusal(connection, header)


def test_a_wrong_secret_tells_nothing_about_the_token(connection: Connection) -> None:
    made = make(connection)
    connection.execute(api_token.update().values(revoked_ms=NOW))
    wrong = f"Bearer kcu_{made.token_id}_{'0' * 64}"
    unknown = f"Bearer kcu_{'0' * 16}_{'0' * 64}"
    assert refusal(connection, wrong) == refusal(connection, unknown)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer kcu_x", "Bearer " + "x" * 9999]
)
def test_what_is_no_token_is_refused(connection: Connection, header: str | None) -> None:
    assert refusal(connection, header)


def test_the_last_use_is_written_at_most_once_an_hour(connection: Connection) -> None:
    made = make(connection)
    header = f"Bearer {made.text}"
    assert tokens.authenticate(connection, header, NOW).stale_use
    tokens.note_use(connection, made.token_id, NOW)
    assert not tokens.authenticate(connection, header, NOW + 3_599_999).stale_use
    assert tokens.authenticate(connection, header, NOW + 3_600_000).stale_use


@pytest.mark.parametrize("days", [0, 4000])
def test_a_life_out_of_range_is_refused(connection: Connection, days: int) -> None:
    with pytest.raises(UsageError):
        make(connection, days)


def test_a_token_for_nobody_is_refused(connection: Connection) -> None:
    with pytest.raises(UsageError, match="there is no user"):
        tokens.create_api_token(connection, user_name="bob", name="", now_ms=NOW, actor="operator")


def test_a_limited_token_may_no_more_than_its_user_may_then(connection: Connection) -> None:
    made = tokens.create_api_token(
        connection,
        user_name="ann",
        name="",
        now_ms=NOW,
        actor="operator",
        permissions=["inventory.read", "agents.ban", "users.write"],
    )
    header = f"Bearer {made.text}"

    def may() -> set[str]:
        return {str(each) for each in tokens.authenticate(connection, header, NOW).permissions}

    assert may() == {"account.read", "inventory.read", "agents.ban"}
    connection.execute(user.update().values(role="viewer"))
    assert may() == {"account.read", "inventory.read"}
    connection.execute(user.update().values(role="admin"))
    assert may() == {"account.read", "inventory.read", "agents.ban", "users.write"}


def test_a_permission_that_there_is_not_is_named(connection: Connection) -> None:
    with pytest.raises(UsageError, match="'root' is no permission"):
        tokens.create_api_token(
            connection,
            user_name="ann",
            name="",
            now_ms=NOW,
            actor="operator",
            permissions=["root"],
        )


def test_tokens_are_listed_with_their_state_and_revoked_once(connection: Connection) -> None:
    made = make(connection, days=1)
    add_user(connection, name="bob", role="viewer", now_ms=NOW, actor="operator")

    def revoke(user_no: int | None = None) -> bool:
        return tokens.revoke_api_token(
            connection, made.token_id, actor="user:x", now_ms=NOW, user_no=user_no
        )

    assert not revoke(user_no=2)
    (row,) = tokens.list_api_tokens(connection, NOW)
    assert (row["state"], row["user"], row["last_used_ms"]) == ("good", "ann", None)
    assert made.text.split("_")[2] not in str(row)
    assert tokens.list_api_tokens(connection, NOW + DAY)[0]["state"] == "expired"
    assert revoke(user_no=1)
    assert not revoke()
    assert tokens.list_api_tokens(connection, NOW, 1)[0]["state"] == "revoked"
    assert tokens.list_api_tokens(connection, NOW, 2) == []
