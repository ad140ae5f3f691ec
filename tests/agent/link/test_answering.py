"""What the link answers to the reader's questions, and what it does not."""

from __future__ import annotations

import asyncio

import pytest
from fakes.pki import issue
from fakes.tls_listener import listening, server_context

from keycensus_agent.inquiry import (
    Question,
    decode_listeners,
    decode_presented,
    encode_question,
)
from keycensus_agent.link import answering
from keycensus_agent.link.answering import Answering

LEAF = issue("www.example.com")


def answer(question: Question | None) -> bytes:
    return asyncio.run(Answering().answer(encode_question(question)))


def test_listeners_and_what_they_present_are_answered() -> None:
    with listening(server_context([LEAF])) as port:
        assert port in {each.port for each in decode_listeners(answer(None))}
        assert decode_presented(answer(Question("127.0.0.1", port))).chain == (LEAF.der,)


def test_another_machine_is_never_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected(*_: object) -> None:
        raise AssertionError("a stranger's address was connected to")

    monkeypatch.setattr(answering, "probe", connected)
    for address in ("192.0.2.1", "2001:db8::1", "224.0.0.1"):
        presented = decode_presented(answer(Question(address, 443)))
        assert presented.error == "not this host's own address"


def test_a_kernel_that_lists_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("keycensus_agent.link.diag.listeners", refused)
    with pytest.raises(ValueError, match="does not list listeners"):
        decode_listeners(answer(None))


def test_there_is_an_end_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "QUESTIONS", 1)
    asked = Answering()
    question = encode_question(None)
    asyncio.run(asked.answer(question))
    with pytest.raises(ValueError, match="too many"):
        asyncio.run(asked.answer(question))
