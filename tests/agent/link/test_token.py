from __future__ import annotations

import hashlib

import pytest
from fakes.collector_stub import base64url

from keycensus_agent.errors import UsageError
from keycensus_agent.link.token import parse_token

PIN = hashlib.sha256(b"spki").digest()
ID, SECRET = base64url(b"i" * 8), base64url(b"s" * 24)
GOOD = f"kc1.{ID}.{SECRET}.{base64url(PIN)}"


def test_a_token_gives_credential_and_pin_and_hides_its_secret() -> None:
    token = parse_token(f"  {GOOD}\n")
    assert token.credential == f"{ID}.{SECRET}"
    assert token.pin == PIN
    assert SECRET not in repr(token)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (f"{GOOD} {GOOD}", "2 words"),
        (GOOD.replace("kc1", "kc2"), "upgrade keycensus-agent"),
        ("hello", "no enrolment token"),
        (GOOD.rpartition(".")[0], "3 parts instead of 4"),
        (GOOD[:-1], "pin of the token is damaged"),
        (f"kc1.{ID}.{SECRET[:-2]}!!.{base64url(PIN)}", "secret of the token is damaged"),
        (f"kc1.{ID}x.{SECRET}.{base64url(PIN)}", "id of the token is damaged"),
        (f"kc1.é.{SECRET}.{base64url(PIN)}", "id of the token is damaged"),
    ],
)
def test_a_damaged_token_is_refused_with_what_is_wrong_and_never_shown(
    text: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_token(text)
    assert SECRET not in str(caught.value)
