from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.findings import NOW, detail, finding, key

from keycensus_agent.model import Entry, EntryKind, Finding, Package, Role, Status, Use
from keycensus_agent.output.judgement import (
    INSTALLATION_NS,
    Judged,
    common_name,
    days_left,
    is_weak,
    issuer_of,
    judge,
    key_title,
    title_of,
)


def odd(one: Finding, certified: dict[bytes, list[bytes]] | None = None) -> list[tuple[str, str]]:
    return [(o.text, o.style) for o in Judged(one, NOW, certified or {}).oddities]


def test_an_ordinary_certificate_has_nothing_odd() -> None:
    assert odd(finding(b"/a", detail())) == []


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-0.5, [("expired", "bad")]),
        (0.5, [("expires soon", "warn")]),
        (29.9, [("expires soon", "warn")]),
        (30, []),
    ],
)
def test_time_is_judged_to_the_day(days: float, expected: list[tuple[str, str]]) -> None:
    assert odd(finding(b"/a", detail(days=days))) == expected


def test_what_is_retained_or_a_root_is_no_alarm() -> None:
    assert odd(finding(b"/a", detail(days=-5), use=Use.RETAINED)) == [
        ("expired", ""),
        ("retained", ""),
    ]
    assert odd(finding(b"/a", detail(days=-5), role=Role.TRUST_STORE)) == [("expired", "")]


def test_the_leaf_is_judged_and_not_its_chain() -> None:
    chain = finding(
        b"/a", detail(), detail("Old Root", -5, is_ca=True, signature_algorithm="sha1WithRSA")
    )
    assert odd(chain) == []
    assert Judged(chain, NOW, {}).days == 90


def test_a_key_that_others_can_read_is_bad() -> None:
    certified = {key().artifact: [b"c"]}
    assert odd(finding(b"/k", key(), mode=0o644), certified) == [("key readable by world", "bad")]
    assert odd(finding(b"/k", key(), mode=0o640, gid=5), certified) == [
        ("key readable by group tls", "warn")
    ]
    assert odd(finding(b"/k", key(), mode=0o640), certified) == []
    encrypted = key(encrypted=True)
    assert odd(finding(b"/k", encrypted, mode=0o644), certified) == [("encrypted", "")]


def test_a_key_without_a_certificate_is_odd_unless_it_is_for_ssh() -> None:
    assert odd(finding(b"/k", key(), mode=0o600)) == [("no certificate", "")]
    assert odd(finding(b"/root/.ssh/id_rsa", key(), mode=0o600)) == []


@pytest.mark.parametrize(
    ("algorithm", "bits", "weak"),
    [
        ("rsa", 1024, True), ("rsa", 2048, False), ("dsa", 1024, True), ("ec", 192, True),
        ("ec", 256, False), ("ed25519", 256, False), ("rsa", 0, False),
    ],
)  # fmt: skip
def test_weak_keys_are_short_ones(algorithm: str, bits: int, *, weak: bool) -> None:
    assert is_weak(algorithm, bits) is weak


def test_weak_keys_and_signatures_are_named() -> None:
    one = finding(b"/a", detail(bits=1024, signature_algorithm="md5WithRSAEncryption"))
    assert odd(one) == [("weak key (rsa 1024)", "warn"), ("md5 signature", "warn")]
    for harmless in ("RSA-SHA3-224", "ecdsa-with-SHA256", "sha512WithRSAEncryption", "ed25519"):
        assert odd(finding(b"/a", detail(signature_algorithm=harmless))) == []
    # Nobody checks the signature of a root.
    assert (
        odd(finding(b"/a", detail(signature_algorithm="ecdsa-with-SHA1", self_signed=True))) == []
    )


def test_what_could_not_be_read_whole_says_why() -> None:
    assert odd(finding(b"/a", status=Status.LOCKED, reason="password-needed")) == [
        ("locked: password-needed", "warn")
    ]
    assert odd(finding(b"/a", status=Status.MALFORMED, reason="\x1b[31m")) == [
        ("malformed: \\x1b[31m", "warn")
    ]
    assert odd(finding(b"/a", status=Status.PARTIAL)) == [("partial", "warn")]


def test_a_certificate_without_a_date_is_not_shown_as_valid() -> None:
    judged = Judged(finding(b"/a", detail(not_after="")), NOW, {})
    assert judged.days is None
    assert days_left("rubbish", NOW) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CN=a.example,O=Example", "a.example"),
        ("O=Example,CN=a.example", "a.example"),
        (r"O=Evil\,CN=bank.example,CN=a.example", "a.example"),
        (r"O=Evil\\,CN=a.example", "a.example"),
        (r"CN=Example\, Inc.,C=DE", "Example, Inc."),
        ("OU=x+CN=y", "y"),
        ("O=Example", ""),
        ("", ""),
        ("CN=line\nbreak", "line\nbreak"),
    ],
)
def test_the_common_name_is_not_taken_from_inside_another_value(name: str, expected: str) -> None:
    assert common_name(name) == expected


def test_titles_are_what_people_know_things_by() -> None:
    assert title_of(detail()) == "www.example.com"
    assert title_of(detail(subject="", san=("b.example",))) == "b.example"
    assert title_of(detail(subject="O=x", san=())) == "O=x"
    assert title_of(detail(subject="", san=(), sha256=b"\xab" * 32)) == "certificate " + "ab" * 8
    assert title_of(detail(subject="CN=\x1b]0;x\a\u202e")) == "\\x1b]0;x\\x07\\u202e"
    assert issuer_of(detail()) == "Example R1"
    assert issuer_of(detail(issuer="O=Example")) == "O=Example"
    assert issuer_of(detail(self_signed=True)) == "self-signed"
    assert issuer_of(detail(issuer="CN=www.example.com")) == "itself"
    assert key_title(key()) == "rsa 2048"
    assert key_title(key(algorithm="ec", curve="secp256r1")) == "ec secp256r1"
    assert key_title(key(algorithm="ed25519", bits=256)) == "ed25519"
    assert key_title(Entry(EntryKind.SEALED_KEY)) == "key"


def test_readers_by_list_or_directory_are_named() -> None:
    certified = {key().artifact: [b"c"]}
    some = finding(b"/k", key(), mode=0o640, gid=5, readable_by="group user:web group:9")
    assert odd(some, certified) == [("key readable by group tls, user web, group 9", "warn")]
    assert odd(finding(b"/k", key(), mode=0o644, readable_by="owner"), certified) == []


def test_what_a_package_brought_is_no_alarm() -> None:
    brought = finding(b"/usr/share/a.pem", detail(days=-5), package="a")
    link = finding(b"/opt/a.pem", detail(days=-5), target=b"/usr/share/a.pem")
    own = finding(b"/etc/a.pem", detail(days=-5), package="a")
    judged = judge([brought, link, own], NOW, {})
    assert [one.is_live for one in judged] == [False, False, True]


def test_what_was_written_since_its_package_came_is_this_hosts_own() -> None:
    one = finding(b"/opt/vendor/server.pem", detail(days=-5), package="vendor")
    mtime_ns = one.place.facts.mtime_ns

    def live(installed_ns: int) -> bool:
        place = replace(one.place, package=Package("dpkg", "vendor", "1", installed_ns))
        return judge([Finding(place, one.parsed)], NOW, {})[0].is_live

    assert live(mtime_ns - INSTALLATION_NS - 1)
    assert not live(mtime_ns - INSTALLATION_NS)
    assert not live(0)
