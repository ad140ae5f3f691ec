from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from fakes.findings import NOW, detail, finding
from fakes.json_schema import violations

from keycensus_agent.context.bindings import Binding, Context, Renewer
from keycensus_agent.model import Coverage, Entry, EntryKind, Finding, Use
from keycensus_agent.output.around import binding_line, renewal_line, renewal_record
from keycensus_agent.output.judgement import judge
from keycensus_agent.output.structured import write_csv, write_json
from keycensus_agent.output.table import Style, table

BINDING = Binding(
    service="nginx",
    unit="nginx.service",
    configuration=b"/etc/nginx/a\x1b.conf",
    line=7,
    directive="certificate",
    paths=(b"/etc/a.pem",),
    server_names=tuple(f"{n}.test" for n in range(7)),
    listen=("*:443",),
    protocol="tls",
    password_source="file",
)
RENEWER = Renewer(
    tool="certbot",
    name="a.test",
    configuration=b"/etc/letsencrypt/renewal/a.conf",
    paths=(b"/etc/a.pem", b"/etc/b.pem"),
    last_success_ms=1_790_000_000_000,
    overdue=False,
    schedule="certbot.timer",
)
LATE = replace(RENEWER, overdue=True, reason="past-due")


def said(findings: list[Finding], *renewers: Renewer) -> list[str]:
    context = Context(renewers=renewers)
    return list(table(findings, Coverage(), {}, NOW, Style(), context=context))


def test_who_uses_a_place_is_one_line_of_harmless_text() -> None:
    assert binding_line(BINDING) == (
        "nginx (nginx.service) as certificate, by /etc/nginx/a\\x1b.conf line 7, for 0.test 1.test 2.test "
        "3.test 4.test and 2 more, on *:443 (tls), password from file"
    )
    plain = Binding("systemd", "", b"/u", 0, "store", (b"/k",))
    assert binding_line(plain) == "systemd as store, by /u"
    mention = Binding("unknown", "", b"/u\x1b", 3, "mention", (b"/k",))
    assert binding_line(mention) == "a service that is not known, mentioned in /u\\x1b line 3"


def test_who_renews_a_place_is_one_line() -> None:
    assert (
        renewal_line(RENEWER) == "certbot as a.test, last on 2026-09-21, started by certbot.timer"
    )
    broken = replace(LATE, last_success_ms=10**30, schedule="", reason="past-due")
    assert renewal_line(broken) == (
        "certbot as a.test, last on , OVERDUE: should have renewed it by now"
    )
    assert renewal_record(broken)["last_success"] == ""


def test_what_a_tool_renews_in_time_does_not_bite() -> None:
    one = finding(b"/etc/a.pem", detail("w", 5))
    assert any("w, in 5 days, renewed by nobody  /etc/a.pem" in line for line in said([one]))
    renewed = said([one], RENEWER)
    assert not [line for line in renewed if "in 5 days" in line]
    assert [line for line in renewed if "expires soon, renewed by certbot" in line]


def test_what_a_tool_is_late_with_bites_with_the_reason() -> None:
    one = finding(b"/etc/a.pem", detail("w", 50))
    lines = said([one], LATE)
    assert (
        "  renewal overdue       w, in 50 days, certbot: should have renewed it by now  /etc/a.pem"
        in lines
    )
    assert [line for line in lines if "renewal by certbot overdue" in line]
    retained = replace(one, place=replace(one.place, use=Use.RETAINED))
    assert not [line for line in said([retained], LATE) if "overdue" in line]


def test_a_tool_that_is_late_with_its_leaf_is_not_late_with_the_authority_beside_it() -> None:
    lines = said([finding(b"/etc/a.pem", detail("authority", 1_000, is_ca=True))], LATE)
    assert not [line for line in lines if "overdue" in line]
    lines = said([finding(b"/etc/a.pem", detail("authority", 5, is_ca=True))], LATE)
    assert [
        line for line in lines if line.startswith("  renewal overdue       authority, in 5 days")
    ]


def test_what_has_expired_bites_whoever_renews_it() -> None:
    lines = said([finding(b"/etc/a.pem", detail("w", -5))], LATE)
    assert "  expired               w, 5 days ago  /etc/a.pem" in lines
    assert not [line for line in lines if line.startswith("  renewal overdue")]


def test_a_copy_of_what_is_renewed_says_so() -> None:
    same = detail("w", 5)
    lines = said([finding(b"/etc/a.pem", same), finding(b"/srv/copy.pem", same)], RENEWER)
    assert (
        "  expires in 30 days    w, in 5 days, certbot renews another copy  /srv/copy.pem" in lines
    )


def test_a_link_is_renewed_as_its_file_is() -> None:
    one = finding(b"/srv/link.pem", detail("w", 5))
    link = replace(one, place=replace(one.place, target=b"/etc/b.pem"))
    assert judge([link], NOW, {}, Context(renewers=(RENEWER,)))[0].is_renewed


def test_scripts_get_both_as_the_schema_says() -> None:
    stream = io.StringIO()
    one, two = finding(b"/etc/a.pem", detail("w", 5)), finding(b"/etc/c.pem", detail("x", 5))
    write_json([one, two], Coverage(), {}, stream, Context((BINDING,), (LATE,)))
    first, second = json.loads(stream.getvalue())["places"]
    assert first["usage"][0]["configuration"] == "/etc/nginx/a\\x1b.conf"
    assert (first["renewal"]["tool"], first["renewal"]["reason"]) == ("certbot", "past-due")
    assert "usage" not in second
    assert "renewal" not in second
    schema = json.loads((Path(__file__).parents[3] / "docs/scan-output.schema.json").read_text())
    assert list(violations(first, schema, schema)) == []


def test_a_table_has_both_as_its_last_columns_and_each_value_once() -> None:
    stream = io.StringIO()
    other = replace(BINDING, service="haproxy", unit="", line=0, server_names=("6.test", "=cmd()"))
    key = finding(b"/etc/b.pem", Entry(EntryKind.PRIVATE_KEY))
    found = [finding(b"/etc/a.pem", detail("w", 5), detail("ca", 5)), key]
    write_csv(found, {}, stream, Context((BINDING, other), (LATE,)))
    header, *_ = rows = list(csv.reader(io.StringIO(stream.getvalue())))
    assert header.index("usage_service") == header.index("known_key") + 1
    first, second, renewed = (dict(zip(header, row, strict=True)) for row in rows[1:])
    assert {name: value for name, value in first.items() if name.startswith("usage_")} == {
        "usage_service": "nginx haproxy",
        "usage_unit": "nginx.service",
        "usage_configuration": "/etc/nginx/a\\x1b.conf:7 /etc/nginx/a\\x1b.conf",
        "usage_directive": "certificate",
        "usage_server_names": "0.test 1.test 2.test 3.test 4.test 5.test 6.test =cmd()",
        "usage_listen": "*:443",
        "usage_protocol": "tls",
        "usage_password_source": "file",
    }
    around = [name for name in header if name.startswith(("usage_", "renewal_"))]
    assert [second[name] for name in around] == [first[name] for name in around]
    assert not any(renewed[name] for name in around if name.startswith("usage_"))
    assert {name: value for name, value in renewed.items() if name.startswith("renewal_")} == {
        "renewal_tool": "certbot",
        "renewal_name": "a.test",
        "renewal_configuration": "/etc/letsencrypt/renewal/a.conf",
        "renewal_schedule": "certbot.timer",
        "renewal_last_success": "2026-09-21T14:13:20Z",
        "renewal_overdue": "true",
        "renewal_reason": "past-due",
    }


def test_a_name_of_a_server_is_no_formula_of_a_spreadsheet() -> None:
    stream = io.StringIO()
    hostile = replace(BINDING, server_names=("=cmd()",))
    write_csv([finding(b"/etc/a.pem", detail("w", 5))], {}, stream, Context((hostile,)))
    assert '"\'=cmd()"' in stream.getvalue()
