"""Questions and answers between reader and link: what is said is what is heard, the rest is refused."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.inquiry import (
    CERTIFICATE_BYTES,
    CHAIN,
    FAMILIES,
    LISTENERS,
    PROTOCOLS,
    Listener,
    Presented,
    Question,
    decode_listeners,
    decode_presented,
    decode_question,
    encode_error,
    encode_listeners,
    encode_presented,
    encode_question,
    is_server_name,
)

questions = st.builds(
    Question,
    st.ip_addresses().map(str),
    st.integers(1, 65535),
    st.sampled_from(["", "www.example.com", "a_b", "xn--bcher-kva.example"]),
    st.sampled_from(PROTOCOLS),
    st.sampled_from(FAMILIES),
)
words = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
answers = st.builds(
    Presented,
    st.lists(st.binary(min_size=1, max_size=9), max_size=3).map(tuple),
    words,
    words,
    words,
)
listeners = st.builds(
    Listener,
    st.ip_addresses().map(str),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)


@given(st.none() | questions)
def test_a_question_is_heard_as_it_was_asked(question: Question | None) -> None:
    assert decode_question(encode_question(question)) == question


@given(answers)
def test_an_answer_is_heard_as_it_was_given(presented: Presented) -> None:
    heard = decode_presented(encode_presented(presented))
    if presented.error and not presented.chain:
        presented = Presented(error=presented.error)
    assert heard == presented


@given(st.lists(listeners, max_size=3))
def test_listeners_are_heard_as_they_are(found: list[Listener]) -> None:
    assert decode_listeners(encode_listeners(found)) == found


others = st.none() | st.integers() | st.text() | st.lists(st.integers())


@given(st.binary() | others.map(lambda value: json.dumps(value).encode()))
def test_noise_is_a_value_error_and_nothing_else(noise: bytes) -> None:
    for decode in (decode_question, decode_listeners, decode_presented):
        with pytest.raises(ValueError):  # noqa: PT011 - any text will do
            decode(noise)


GOOD = json.loads(encode_question(Question("127.0.0.1", 443, "www.example.com")))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"address": "example.com"},
        {"address": "127.0.0.1/8"},
        {"port": 0},
        {"port": "443"},
        {"server_name": "a b"},
        {"server_name": "10.0.0.1"},
        {"server_name": "x" * 300},
        {"server_name": 5},
        {"protocol": "http"},
        {"family": "dsa"},
        {"what": "scan"},
        {"path": "/etc"},
        {"server_name": "a" * 5000},
    ],
)
def test_what_may_not_be_asked_is_refused(spoilt: dict[str, object]) -> None:
    assert decode_question(json.dumps(GOOD).encode()) is not None
    with pytest.raises(ValueError):  # noqa: PT011 - any text will do
        decode_question(json.dumps(GOOD | spoilt).encode())


def test_an_answer_that_is_too_much_is_refused() -> None:
    one = base64.b64encode(b"x").decode()
    long = base64.b64encode(bytes(CERTIFICATE_BYTES + 1)).decode()
    listener: dict[str, object] = {"address": "::1", "port": 1, "uid": 0, "cgroup": 1}
    for payload in (
        {"chain": [one] * (CHAIN + 1)},
        {"chain": [long]},
        {"chain": [""]},
        {"chain": [5]},
        {"chain": "x"},
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - any text will do
            decode_presented(json.dumps(payload).encode())
    lists: list[list[dict[str, object]]] = [
        [listener] * (LISTENERS + 1),
        [listener | {"port": -1}],
        [{}],
        [listener | {"uid": 1.5}],
    ]
    for listed in lists:
        with pytest.raises(ValueError):  # noqa: PT011 - any text will do
            decode_listeners(json.dumps({"listeners": listed}).encode())
    with pytest.raises(ValueError, match="not said"):
        decode_listeners(encode_error("not said"))


def test_text_of_an_answer_is_fit_for_a_row() -> None:
    payload = json.dumps({"error": "\ud800" + "x" * 500, "cipher": 5}).encode()
    heard = decode_presented(payload)
    heard.error.encode()
    assert (len(heard.error), heard.cipher) == (200, "")


def test_names_of_servers_are_as_clients_send_them() -> None:
    assert all(map(is_server_name, ("", "a", "www.example.com", "_dmarc.a", "a-b.c9x")))
    for name in ("*.example.com", "a..b", ".a", "a.", "10.1", "ä.de", "a/b", "-.\n"):
        assert not is_server_name(name), name
    assert decode_question(encode_question(Question("::1", 1))) == Question("::1", 1)
    assert Question("::1", 1).endpoint == "[::1]:1"
    assert Question("127.0.0.1", 1).endpoint == "127.0.0.1:1"
