"""The table as people see it. After a wanted change: KEYCENSUS_REGENERATE=1 pytest, then look at the diff."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from fakes.findings import NOW, detail, finding, key

from keycensus_agent.model import Coverage, Entry, EntryKind, Finding, Gap, Role, Status, Use
from keycensus_agent.output.grid import shown_width
from keycensus_agent.output.table import Style, span, table
from keycensus_agent.reader.scan import certificates_by_key

GOLDEN = Path(__file__).resolve().parents[2] / "golden/scan-table"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

LIVE, ARCHIVE = b"/etc/letsencrypt/live/shop/", b"/etc/letsencrypt/archive/shop/"
MACHINE = [
    finding(ARCHIVE + b"cert1.pem", detail("shop.example.com", -20), use=Use.RETAINED),
    finding(ARCHIVE + b"cert2.pem", detail("shop.example.com", 12), use=Use.RETAINED),
    finding(ARCHIVE + b"privkey2.pem", key("shop.example.com"), mode=0o600, use=Use.RETAINED),
    finding(LIVE + b"cert.pem", detail("shop.example.com", 12), target=ARCHIVE + b"cert2.pem"),
    finding(LIVE + b"privkey.pem", key("shop.example.com"), mode=0o600, target=ARCHIVE + b"privkey2.pem"),
    finding(b"/etc/nginx/ssl/old.pem", detail("old.example.com", -400, bits=1024, signature_algorithm="sha1WithRSAEncryption"), detail("R1", is_ca=True)),
    finding(b"/etc/ssl/certs/root.pem", detail("Example Root", 3000, is_ca=True, self_signed=True), role=Role.TRUST_STORE),
    finding(b"/etc/ssl/private/sealed.key", Entry(EntryKind.SEALED_KEY, b"s" * 32, encrypted=True), mode=0o600),
    finding(b"/opt/app/store.p12", Entry(EntryKind.SEALED_CONTAINER), status=Status.LOCKED, reason="password-needed", file_format="pkcs12"),
    finding(b"/opt/app/\x1b[2J\xff.pem", detail("\u202eevil\x1b[31m", 0.5), mode=0o664),
    finding(b"/opt/app/store.jks", key("app"), detail("app", 200), mode=0o640, gid=7, file_format="jks"),
    finding(b"/srv/request.csr", Entry(EntryKind.CSR, b"r" * 32)),
    finding(b"/var/lib/postgresql/server.key", key("db", algorithm="ec", curve="secp256r1", bits=256), mode=0o644),
]  # fmt: skip
COVERAGE = Coverage(
    [
        Gap(b"/mnt/nfs1", "network-file-system", "nfs4"),
        Gap(b"/mnt/nfs2", "network-file-system", "nfs4"),
        Gap(b"/root", "unlisted", "EACCES"),
    ],
    {"files": 12345, "directories": 678, "files-opened": 12000, "text-too-long": 3},
)  # fmt: skip


def lines(
    style: Style, findings: list[Finding] | None = None, coverage: Coverage = COVERAGE
) -> list[str]:
    shown = sorted(MACHINE if findings is None else findings, key=lambda one: one.place.path)
    return list(table(shown, coverage, certificates_by_key(shown), NOW, style))


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("pipe", Style()),
        ("terminal-100", Style(width=100)),
        ("terminal-140-colour", Style(width=140, colour=True)),
        ("all", Style(everything=True)),
    ],
)
def test_the_table_is_as_it_was(name: str, style: Style) -> None:
    text = "\n".join(lines(style)) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("KEYCENSUS_REGENERATE"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_listed_lines_fit_the_terminal(width: int) -> None:
    listing = lines(Style(width=width))
    listing = listing[: listing.index("")]
    # A terminal of 60 columns is as narrow as it gets; there the last column may wrap.
    assert all(shown_width(text) <= max(width, 80) for text in listing)


def test_nothing_from_a_file_reaches_the_terminal_raw() -> None:
    for style in (Style(), Style(width=100, colour=True)):
        for text in lines(style):
            assert COLOUR.sub("", text).isprintable()


def test_without_a_terminal_each_line_has_its_whole_path_and_no_colour() -> None:
    text = "\n".join(lines(Style()))
    assert "\x1b" not in text
    assert "/etc/letsencrypt/live/shop/cert.pem -> cert2.pem " in text


def test_roots_of_trust_stores_are_counted_unless_all_is_asked_for() -> None:
    assert not any("root.pem" in text for text in lines(Style()))
    assert "+ 1 name in trust stores: --all shows them" in lines(Style())
    assert any("/etc/ssl/certs/root.pem" in text for text in lines(Style(everything=True)))


def test_what_bites_comes_last_and_the_most_urgent_first() -> None:
    text = lines(Style())
    start = text.index("What will bite")
    assert [part.split("  ")[1] for part in text[start + 1 : -1] if part[2] != " "] == [
        "expired", "expires in 30 days", "keys others can read", "locked", "not seen",
    ]  # fmt: skip
    assert "/etc/nginx/ssl/old.pem" in text[start + 1]
    assert "today" in text[start + 2]
    assert "in 12 days" in text[start + 3]
    # The archive holds the same certificate, but nothing uses it there.
    assert not any("archive" in part for part in text[start:])
    assert text[-1].startswith("Seen: 13 places, 12,345 files in 678 directories, 12,000 opened")


def test_places_of_one_certificate_bite_once() -> None:
    same = [finding(f"/h{number}.pem".encode(), detail("w", 5)) for number in range(3)]
    assert "  expires in 30 days    w, in 5 days, renewed by nobody  /h0.pem (+2 more)" in lines(
        Style(), same
    )


def test_many_bites_are_counted() -> None:
    many = [finding(f"/{n:02}.pem".encode(), detail(f"n{n}", -n - 1)) for n in range(20)]
    assert "                        and 12 more" in lines(Style(), many)


def test_an_empty_machine_says_so_in_one_line() -> None:
    assert lines(Style(), [], Coverage([], {"files": 3})) == [
        "Seen: 0 places, 3 files in 0 directories, 0 opened"
    ]


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (0, "today"),
        (1, "1 day"),
        (-1, "1 day ago"),
        (700, "700 days"),
        (4000, "10 years"),
        (-4000, "10 years ago"),
    ],
)
def test_days_are_said_as_people_say_them(days: int, text: str) -> None:
    assert span(days) == text


ROOT = detail("Example Root", 3000, is_ca=True, self_signed=True)


def test_what_packages_brought_is_counted_with_the_roots_unless_all_is_asked_for() -> None:
    findings = [
        finding(b"/etc/ssl/certs/root.pem", ROOT, role=Role.TRUST_STORE),
        finding(b"/usr/share/doc/tests/a.pem", detail("a", -20), package="docs"),
        finding(b"/usr/share/doc/tests/b.pem", detail("b", 9), package="docs"),
        finding(b"/usr/share/doc/tests/c.pem", target=b"/usr/share/doc/tests/b.pem"),
    ]
    text = lines(Style(), findings, Coverage([], {}))
    assert text == [
        "+ 4 names (3 in packages, 1 in trust stores): --all shows them",
        "",
        "Seen: 4 places, 0 files in 0 directories, 0 opened",
    ]
    assert len(lines(Style(everything=True), findings, Coverage([], {}))) == 7
    assert lines(Style(), findings[1:], Coverage([], {}))[0].startswith("+ 3 names in packages:")


@pytest.mark.parametrize(
    "shown",
    [
        finding(b"/usr/share/a.key", key(), mode=0o644, package="a"),
        finding(b"/usr/share/a.p12", Entry(EntryKind.SEALED_CONTAINER), status=Status.LOCKED, package="a"),
        finding(b"/usr/share/a.p8", Entry(EntryKind.SEALED_KEY, b"s"), mode=0o600, package="a"),
        finding(b"/usr/share/a.pem", status=Status.MALFORMED, reason="crash", package="a"),
        finding(b"/etc/a/server.pem", detail(days=-3), package="a"),
        finding(b"/etc/ssl/certs/cacerts", ROOT, status=Status.LOCKED, role=Role.TRUST_STORE),
        finding(b"/usr/lib/a/server.pem", detail(days=-3), package="a", target=b"/etc/a/server.pem"),
    ],
)  # fmt: skip
def test_what_bites_is_never_folded(shown: Finding) -> None:
    text = lines(Style(), [shown], Coverage([], {}))
    assert shown.place.path.decode() in text[1]
    assert not any(line.startswith("+") for line in text)


def test_other_names_of_a_file_say_where_it_is_described_and_what_differs() -> None:
    names = [
        finding(b"/a/open.key", key(), mode=0o644, file=b"1"),
        finding(b"/b/same.key", key(), mode=0o644, readable_by="owner", file=b"1"),
        finding(b"/c/old.key.bak", key(), mode=0o644, readable_by="owner", file=b"1", use=Use.RETAINED),
        finding(b"/d/other.key", key(), mode=0o600),
    ]  # fmt: skip
    text = lines(Style(), names, Coverage([], {}))
    assert "rsa 2048" in text[1]
    assert text[2].split(maxsplit=1) == ["/b/same.key", "same file as /a/open.key"]
    assert text[3].split(maxsplit=1) == ["/c/old.key.bak", "retained, same file as /a/open.key"]
    assert "rsa 2048" in text[4]
    names[0], names[1] = (
        finding(b"/a/shut.key", key(), mode=0o644, readable_by="owner", file=b"1"),
        finding(b"/b/open.key", key(), mode=0o644, file=b"1"),
    )
    row = lines(Style(), names)[2].split(maxsplit=1)
    assert row == ["/b/open.key", "key readable by world, same file as /a/shut.key"]


def test_a_known_test_key_is_named_and_comes_last_among_those_that_bite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = key("known")
    monkeypatch.setattr(
        "keycensus_agent.output.judgement.known_key",
        lambda key_id: "openssl 3.0, test/a.pem" if key_id == known.artifact else "",
    )
    text = lines(Style(), [finding(b"/a.key", known), finding(b"/b.key", key("own"))])
    assert "key readable by world, known test key (openssl 3.0)" in text[1]
    start = text.index("What will bite")
    assert text[start + 1].endswith("rsa 2048  /b.key")
    assert text[start + 2].endswith("rsa 2048 (known test key)  /a.key")


def test_gaps_of_one_reason_are_one_line_with_their_common_directory() -> None:
    gaps = [Gap(b"/home/%d/x" % number, "unlisted", "EACCES") for number in range(9)]
    gaps += [Gap(b"/home", "unreadable", "EIO"), Gap(b"/srv/a-b", "excluded"), Gap(b"/srv/a/b", "excluded")]  # fmt: skip
    text = lines(Style(), [], Coverage(gaps, {}))
    assert [line.strip() for line in text[1:-1]] == [
        "not seen              unlisted (EACCES), 9 below  /home",
        "unreadable (EIO)  /home",
        "excluded, 2 below  /srv",
    ]
    assert "12 gaps" in text[-1]


def test_places_that_were_not_read_whole_are_counted() -> None:
    findings = [
        finding(b"/a.p12", status=Status.TOO_BIG, reason="limit-size"),
        finding(b"/b.pem", status=Status.MALFORMED, reason="not-der"),
        finding(b"/c.pem", status=Status.LOCKED, reason="limit-iterations"),
    ]
    assert lines(Style(), findings)[-1].count("1 not read whole") == 1
