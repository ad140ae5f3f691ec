"""The child's loop, run here in process so that every branch of it is seen."""

from __future__ import annotations

import socket
import threading

import pytest
from fakes.pki import issue

from keycensus_collector.catalogue.child import PART_LIMIT, serve
from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.parse import parse_certificate
from keycensus_collector.catalogue.wire import (
    WireError,
    encode_frame,
    facts_from_json,
    facts_to_json,
    read_frame,
)

ROOT = issue("Root", is_ca=True)


def test_the_loop_answers_until_the_socket_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keycensus_collector.catalogue.child.allow_processor_time", lambda *_: None)
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    stream = ours.makefile("rb")
    ours.sendall(encode_frame({"do": "parse", "kind": 2}, (ROOT.der,)))
    facts = facts_from_json(read_frame(stream.read, PART_LIMIT)[0]["facts"])
    ours.sendall(encode_frame({"do": "verify", "pairs": [[0, 0]]}, (ROOT.der,)))
    assert read_frame(stream.read, PART_LIMIT)[0]["issued"] == [True]
    stream.close()
    ours.close()
    thread.join(timeout=10)
    theirs.close()
    assert not thread.is_alive()
    assert isinstance(facts, CertificateFacts)
    assert facts.self_signed


def test_facts_survive_the_way_over_the_wire() -> None:
    facts = parse_certificate(issue("a.example", sans=("a.example", "b.example")).der)
    assert facts_from_json(facts_to_json(facts)) == facts


@pytest.mark.parametrize(
    "change",
    [
        {"subject": 5},
        {"serial": None},
        {"is_ca": 1},
        {"names": [{"kind": "dns"}]},
        {"key": "x"},
        {"subject_der_hash": "xyz"},
        {"extra": ""},
    ],
)
def test_facts_with_a_field_of_another_type_are_refused(change: dict[str, object]) -> None:
    message = facts_to_json(parse_certificate(ROOT.der))
    message["fields"] |= change
    with pytest.raises(WireError):
        facts_from_json(message)


def test_facts_of_no_known_type_are_refused() -> None:
    messages: tuple[object, ...] = ({}, {"type": "other", "fields": {}}, None, [])
    for message in messages:
        with pytest.raises(WireError):
            facts_from_json(message)
