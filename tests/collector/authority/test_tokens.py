from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from keycensus_collector.authority import tokens
from keycensus_collector.clock import FixedClock
from keycensus_collector.errors import Refusal, UsageError
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import audit, token

SPKI = b"the anchor's public key"


def make(
    connection: Connection, clock: FixedClock, *, ttl_ms: int = 3_600_000, uses: int = 1
) -> tokens.NewToken:
    return tokens.create(
        connection,
        anchor_spki=SPKI,
        now_ms=clock.now_ms(),
        actor="operator",
        ttl_ms=ttl_ms,
        uses=uses,
    )


def proof(made: tokens.NewToken) -> tokens.Proof:
    _, token_id, secret, _ = made.text.split(".")
    return tokens.read_proof(f"{token_id}.{secret}")


def spend(connection: Connection, shown: tokens.Proof, clock: FixedClock) -> None:
    tokens.spend(connection, tokens.find(connection, shown), clock.now_ms())


def reason(connection: Connection, shown: tokens.Proof, clock: FixedClock) -> str:
    with pytest.raises(Refusal) as raised:
        spend(connection, shown, clock)
    return raised.value.reason


def test_a_token_is_one_line_with_id_secret_and_pin(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        made = make(connection, clock)
    version, token_id, secret, pin = made.text.split(".")
    assert version == "kc1"
    assert token_id == made.token_id
    assert len(base64.urlsafe_b64decode(secret)) == 24
    assert base64.urlsafe_b64decode(pin + "=") == hashlib.sha256(SPKI).digest()


def test_the_secret_is_neither_in_the_database_nor_shown(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        made = make(connection, clock)
    secret = made.text.split(".")[2]
    store.close()
    assert secret.encode() not in Path(store.name).read_bytes()
    assert secret not in repr(made)


def test_a_token_is_good_once(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        shown = proof(make(connection, clock))
        spend(connection, shown, clock)
        assert reason(connection, shown, clock) == "token-used"


def test_a_token_is_good_as_often_as_was_said(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        shown = proof(make(connection, clock, uses=3))
        for _ in range(3):
            spend(connection, shown, clock)
        assert reason(connection, shown, clock) == "token-used"


def test_a_token_expires_to_the_millisecond(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        shown = proof(make(connection, clock, ttl_ms=60_000, uses=5))
        clock.current_ms += 59_999
        spend(connection, shown, clock)
        clock.current_ms += 1
        assert reason(connection, shown, clock) == "token-expired"


def test_a_revoked_token_ends_at_once(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        made = make(connection, clock)
        tokens.revoke(connection, made.token_id, now_ms=clock.now_ms(), actor="operator")
        tokens.revoke(connection, made.token_id, now_ms=clock.now_ms() + 1, actor="operator")
        assert reason(connection, proof(made), clock) == "token-revoked"
        actions = connection.execute(select(audit.c.action)).scalars().all()
        assert actions == ["token.create", "token.revoke"]


@pytest.mark.parametrize("text", ["", ".", "a", "a.b.c", "x" * 100, "é.é", "a.\0"])
def test_what_is_no_token_is_unknown(store: Store, text: str) -> None:
    with pytest.raises(Refusal) as raised, store.read() as connection:
        tokens.find(connection, tokens.read_proof(text))
    assert raised.value.reason == "token-unknown"


def test_a_wrong_secret_is_unknown_and_spends_nothing(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        made = make(connection, clock)
        wrong = tokens.read_proof(f"{made.token_id}.{'A' * 32}")
        assert reason(connection, wrong, clock) == "token-unknown"
        assert connection.execute(select(token.c.uses_left)).scalar_one() == 1


def test_a_state_that_changed_since_it_was_read_is_not_spent(
    store: Store, clock: FixedClock
) -> None:
    with store.write() as connection:
        made = make(connection, clock)
        known = tokens.find(connection, proof(made))
        tokens.revoke(connection, made.token_id, now_ms=clock.now_ms(), actor="operator")
        with pytest.raises(Refusal):
            tokens.spend(connection, known, clock.now_ms())


@pytest.mark.parametrize(
    "options", [{"ttl_ms": 0}, {"ttl_ms": 400 * 86_400_000}, {"uses": 0}, {"uses": 100_001}]
)
def test_numbers_out_of_range_are_refused(
    store: Store, clock: FixedClock, options: dict[str, int]
) -> None:
    with pytest.raises(UsageError), store.write() as connection:
        make(connection, clock, **options)


def test_too_many_labels_are_refused(store: Store) -> None:
    labels = {f"k{n}": "v" for n in range(65)}
    with pytest.raises(UsageError), store.write() as connection:
        tokens.create(connection, anchor_spki=SPKI, now_ms=1, actor="operator", labels=labels)


def test_revoking_what_is_not_there_names_the_list(store: Store, clock: FixedClock) -> None:
    with pytest.raises(UsageError, match="token list"), store.write() as connection:
        tokens.revoke(connection, "none", now_ms=clock.now_ms(), actor="operator")


def test_the_list_says_each_state_in_one_word(store: Store, clock: FixedClock) -> None:
    with store.write() as connection:
        used, revoked, _expired = (make(connection, clock, ttl_ms=5000) for _ in range(3))
        spend(connection, proof(used), clock)
        tokens.revoke(connection, revoked.token_id, now_ms=clock.now_ms(), actor="operator")
        clock.advance(10)
        make(connection, clock)
        states = [row["state"] for row in tokens.list_tokens(connection, clock.now_ms())]
    assert sorted(map(str, states)) == ["expired", "open", "revoked", "used"]
