"""Which listeners are asked, at which address, for which names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.plan import endpoints, questions, unbound
from keycensus_agent.inquiry import FAMILIES, Listener, Question, decode_question, encode_question

ANY, ANY6 = "0.0.0.0", "::"  # noqa: S104 - as the kernel lists them
BINDING = Binding(
    service="nginx",
    unit="",
    configuration=b"/c",
    line=1,
    directive="certificate",
    paths=(b"/p",),
    listen=("*:443",),
    protocol="tls",
)


def asked(listen: str, *listeners: Listener) -> list[str]:
    binding = replace(BINDING, listen=(listen,))
    plan = questions(binding, endpoints(listeners), several=False)
    return [question.endpoint for question, _ in plan]


@pytest.mark.parametrize(
    ("listen", "addresses", "expected"),
    [
        ("*:443", [ANY], ["127.0.0.1:443"]),
        ("*:443", [ANY, ANY6], ["127.0.0.1:443"]),
        ("*:443", [ANY6], ["127.0.0.1:443"]),
        ("*:443", ["10.0.0.1"], ["10.0.0.1:443"]),
        ("[::]:443", [ANY6], ["127.0.0.1:443"]),
        ("10.0.0.1:443", [ANY], ["10.0.0.1:443"]),
        ("10.0.0.1:443", ["10.0.0.2", "10.0.0.1"], ["10.0.0.1:443"]),
        ("10.0.0.1:443", ["10.0.0.2"], []),
        ("[::1]:443", [ANY6], ["[::1]:443"]),
        ("localhost:443", ["127.0.0.1"], ["127.0.0.1:443"]),
        ("*:444", [ANY], []),
        ("unix:/run/x", [ANY], []),
        ("*:4430000", [ANY], []),
        ("*:443", ["fe80::1"], []),
        ("*:443", ["::ffff:10.0.0.1"], ["10.0.0.1:443"]),
    ],
)
def test_an_address_of_a_configuration_is_asked_where_somebody_listens(
    listen: str, addresses: list[str], expected: list[str]
) -> None:
    assert asked(listen, *(Listener(each, 443, 0, 0) for each in addresses)) == expected


def test_a_socket_of_ipv6_alone_is_asked_by_ipv6() -> None:
    assert asked("*:443", Listener(ANY6, 443, 0, 0, v6only=True)) == ["[::1]:443"]


def test_names_are_asked_for_as_a_client_would() -> None:
    names = ("WWW.example.com.", "*.example.com", ".example.org", "_", "~^x", "10.0.0.1", "a b")
    binding = replace(BINDING, server_names=names)
    plan = questions(binding, endpoints([Listener(ANY, 443, 0, 0)]), several=False)
    assert [question.server_name for question, _ in plan] == ["www.example.com", "example.org"]
    many = replace(BINDING, server_names=tuple(f"n{number}" for number in range(100)))
    assert len(questions(many, endpoints([Listener(ANY, 443, 0, 0)]), several=False)) == 16


def test_each_kind_of_signature_is_asked_for_only_where_there_are_several() -> None:
    here = endpoints([Listener(ANY, 443, 0, 0)])
    assert [each.family for each, _ in questions(BINDING, here, several=True)] == list(FAMILIES)


@pytest.mark.parametrize("changed", [{"directive": "key"}, {"protocol": ""}, {"protocol": "quic"}])
def test_what_clients_do_not_see_is_not_asked_for(changed: dict[str, str]) -> None:
    here = endpoints([Listener(ANY, 443, 0, 0)])
    assert questions(replace(BINDING, **changed), here, several=False) == []  # type: ignore[arg-type]


def test_listeners_without_a_configuration_are_asked_on_known_ports_only() -> None:
    here = endpoints([Listener(ANY, port, 0, 0) for port in (80, 443, 993, 5432)])
    bound = [Question("127.0.0.1", 443, "www.example.com")]
    assert [each.port for each, _ in unbound(here, bound, every=False)] == [993]
    every = [(each.port, each.protocol) for each, _ in unbound(here, bound, every=True)]
    assert every == [(80, "tls"), (993, "tls"), (5432, "starttls-postgresql")]


listeners = st.builds(
    Listener,
    st.ip_addresses().map(str) | st.sampled_from([ANY, ANY6]),
    st.sampled_from([443, 25]),
    st.just(0),
    st.just(0),
    st.booleans(),
)


@given(
    st.lists(listeners, max_size=4),
    st.lists(st.text(max_size=9) | st.sampled_from(["*:443", "[::1]:443"]), max_size=3),
    st.lists(st.text(max_size=9), max_size=3),
)
def test_whatever_is_configured_only_fit_questions_come_of_it(
    found: list[Listener], listen: list[str], names: list[str]
) -> None:
    here = endpoints(found)
    binding = replace(BINDING, listen=tuple(listen), server_names=tuple(names))
    plan = [*questions(binding, here, several=True), *unbound(here, [], every=True)]
    for question, _ in plan:
        assert decode_question(encode_question(question)) == question
