"""What an operator does with users on the collector's own machine."""

from __future__ import annotations

from sqlalchemy import Connection

from keycensus_collector.access import sessions, tokens, users
from keycensus_collector.deployment import OPERATOR
from keycensus_collector.errors import UsageError
from keycensus_collector.oidc import accounts
from keycensus_collector.operation import (
    Arguments,
    Json,
    Operation,
    Surroundings,
    number_of,
    text_of,
)
from keycensus_collector.ownership.teams import team_no


def _add(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name, role = text_of(arguments, "name"), text_of(arguments, "role")
    users.add_user(connection, name=name, role=role, now_ms=around.now_ms, actor=OPERATOR)
    return {"name": name, "role": role}


def _list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    return users.list_users(connection)


def _passwd(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = text_of(arguments, "name")
    users.set_password(
        connection,
        name=name,
        password_hash=users.hash_of(text_of(arguments, "password")),
        now_ms=around.now_ms,
        actor=OPERATOR,
    )
    return {"name": name}


def _change(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name, disabled = text_of(arguments, "name"), arguments.get("disabled")
    users.change_user(
        connection,
        name=name,
        actor=OPERATOR,
        now_ms=around.now_ms,
        role=arguments.get("role"),
        sees=arguments.get("sees"),
        disabled=None if disabled is None else bool(disabled),
    )
    return {"name": name}


def _sign_out(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = text_of(arguments, "name")
    number = users.user_no(connection, name)
    ended = sessions.end_all(connection, number, name=name, actor=OPERATOR, now_ms=around.now_ms)
    return {"name": name, "ended": ended}


def _link(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = text_of(arguments, "name")
    issuer, subject = text_of(arguments, "issuer"), text_of(arguments, "subject")
    accounts.link(
        connection,
        issuer=issuer,
        subject=subject,
        user_name=name,
        actor=OPERATOR,
        now_ms=around.now_ms,
    )
    return {"name": name, "issuer": issuer, "subject": subject}


def _unlink(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = text_of(arguments, "name")
    count = accounts.unlink(connection, user_name=name, actor=OPERATOR, now_ms=around.now_ms)
    return {"name": name, "unlinked": count}


def _token(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    permissions, teams = arguments.get("permissions"), arguments.get("teams")
    made = tokens.create_api_token(
        connection,
        user_name=text_of(arguments, "name"),
        name=str(arguments.get("token_name", "")),
        now_ms=around.now_ms,
        actor=OPERATOR,
        days=number_of(arguments, "days", tokens.DEFAULT_DAYS),
        permissions=None if permissions is None else [str(word) for word in permissions],
        teams=None if teams is None else [team_no(connection, str(name)) for name in teams],
    )
    return {"id": made.token_id, "token": made.text, "expires_ms": made.expires_ms}


def _tokens(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = arguments.get("name")
    number = users.user_no(connection, str(name)) if name else None
    return tokens.list_api_tokens(connection, around.now_ms, number)


def _revoke(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    token_id = text_of(arguments, "id")
    if not tokens.revoke_api_token(connection, token_id, actor=OPERATOR, now_ms=around.now_ms):
        raise UsageError(
            f"there is no API token {token_id!r} to revoke; list them with: "
            "keycensus-collector user tokens"
        )
    return {"id": token_id, "state": "revoked"}


USER_OPERATIONS: dict[str, Operation] = {
    "user.add": Operation(_add, writes=True),
    "user.list": Operation(_list, writes=False),
    "user.passwd": Operation(_passwd, writes=True),
    "user.change": Operation(_change, writes=True),
    "user.sign-out": Operation(_sign_out, writes=True),
    "user.link": Operation(_link, writes=True),
    "user.unlink": Operation(_unlink, writes=True),
    "user.token": Operation(_token, writes=True),
    "user.tokens": Operation(_tokens, writes=False),
    "user.revoke": Operation(_revoke, writes=True),
}
