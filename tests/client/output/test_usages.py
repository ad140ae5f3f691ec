"""What people read of who uses a place."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from keycensus_client.model import Certificate, Handshake, Usage, decode
from keycensus_client.output.usages import notes_of, print_usages, state_of

USAGE: dict[str, Any] = {
    "host_id": "id",
    "host": "web1",
    "service": "nginx",
    "unit": "nginx.service",
    "configuration": "/etc/nginx/nginx.conf",
    "line": 7,
    "directive": "certificate",
    "paths": ["/etc/nginx/tls.pem"],
    "server_names": ["www.example.com"],
    "uncovered": [],
    "listen": ["*:443"],
    "password_source": "",
    "processes": [],
    "verdict": "",
    "handshakes": [],
    "asked": None,
    "renewal_tool": "",
    "renewed": None,
    "renewal_overdue": False,
    "renewal_schedule": "",
    "renewal_reason": "",
    "since": None,
}
ANSWER = Handshake("127.0.0.1:443", "www.example.com", ["aa"], "TLSv1.3", "X", "", "served")


def usage(**changed: Any) -> Usage:  # noqa: ANN401 - any field
    return Usage(**(USAGE | changed))


@pytest.mark.parametrize(
    ("changed", "text", "style"),
    [
        ({}, "", ""),
        ({"verdict": "served", "handshakes": [ANSWER]}, "served (TLSv1.3)", ""),
        ({"verdict": "not-reloaded"}, "not reloaded: an older certificate is served", "red"),
        ({"verdict": "of-tomorrow"}, "of-tomorrow", "yellow"),
        (
            {"handshakes": [Handshake("[::1]:443", "", [], "", "", "no answer in 5 s", "")]},
            "no answer: no answer in 5 s",
            "yellow",
        ),
        ({"uncovered": ["a", "b", "c", "d", "e"]}, "not for a, b, c, d and 1 more", "yellow"),
        (
            {
                "renewal_tool": "certbot",
                "renewed": "2026-11-01T00:00:00Z",
                "renewal_schedule": "certbot.timer",
            },
            "renewed 2026-11-01",
            "",
        ),
        (
            {"renewal_tool": "certbot", "renewal_overdue": True},
            "renewal overdue, last success -; nothing starts it",
            "red",
        ),
        (
            {"renewal_tool": "lego", "renewal_overdue": True, "renewal_reason": "not-scheduled"},
            "renewal overdue: nothing starts it, last success -",
            "red",
        ),
        (
            {
                "renewal_tool": "certbot",
                "renewal_overdue": True,
                "renewal_reason": "past-due",
                "renewal_schedule": "certbot.timer",
            },
            "renewal overdue: it should have been renewed by now, last success -",
            "red",
        ),
        ({"processes": ["nginx (33)"]}, "open in nginx (33)", ""),
    ],
)
def test_the_state_says_what_was_seen(changed: dict[str, Any], text: str, style: str) -> None:
    cell = state_of(usage(**changed))
    assert (cell.text, cell.style) == (text, style)


def test_usages_are_a_table_after_an_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_usages([])
    assert capsys.readouterr().out == ""
    print_usages([usage(), usage(service="renewer", renewal_tool="certbot", unit="", line=0)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ""
    assert "/etc/nginx/nginx.conf:7 certificate" in lines[2]
    assert lines[3].startswith("certbot ")
    assert "nginx.service" not in lines[2]


def test_a_list_says_who_renews_and_what_is_not_loaded() -> None:
    base = {each.name: None for each in fields(Certificate)}

    def certificate(**changed: Any) -> Certificate:  # noqa: ANN401 - any field
        return Certificate(**(base | {"verdict": "", "renewed_by": ""} | changed))

    assert notes_of(certificate()).text == ""
    assert notes_of(certificate(verdict="served")).text == ""
    renewed = notes_of(certificate(renewed_by="certbot", verdict="not-reloaded"))
    assert (renewed.text, renewed.style) == ("not reloaded, renewed by certbot", "red")
    late = notes_of(certificate(renewed_by="certbot", renewal_overdue=True))
    assert (late.text, late.style) == ("renewed by certbot, overdue", "red")


def test_answers_are_decoded_whole() -> None:
    answer = {
        "address": "a",
        "server_name": "b",
        "chain": ["cc"],
        "tls_version": "",
        "cipher": "",
        "error": "",
        "verdict": "served",
    }
    decoded = decode(Usage, USAGE | {"handshakes": [answer]})
    assert decoded.handshakes[0].chain == ["cc"]
