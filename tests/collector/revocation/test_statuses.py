"""What revocation lists say of certificates, over a real database and the real parsing child."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from fakes.census import Census, blob_item, certificate
from fakes.pki import NOW, Issued, issue
from fakes.revocation import Reason, entry, revocation_list
from sqlalchemy import select

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.detail import certificate_detail
from keycensus_collector.inventory.results import Revocation
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import revocation_list as lists
from keycensus_collector.timeline.artifact import happenings_of

DAY = 86_400.0
ROOT = issue("Example Root", is_ca=True, days=3650)
AUTHORITY = issue("Example Issuer", issuer=ROOT, is_ca=True, days=1800)
LEAF = issue("www.example.com", issuer=AUTHORITY)
OTHER = issue("api.example.com", issuer=AUTHORITY)
CHAIN = (ROOT, AUTHORITY, LEAF, OTHER)


@pytest.fixture
def census(tmp_path: Path, each_database_in_full: str) -> Iterator[Census]:
    assert each_database_in_full
    census = Census.create(tmp_path)
    census.host("web1")
    yield census
    census.store.close()


def report(census: Census, *items: Issued | bytes) -> None:
    """Let the host report certificates (Issued) and revocation lists (DER), a file each."""
    for item in items:
        data = item.der if isinstance(item, Issued) else item
        entry_ = certificate(item) if isinstance(item, Issued) else blob_item("crl", data)
        census.report(1, f"/etc/ssl/{hashlib.sha256(data).hexdigest()[:12]}", entry_)
    census.fold()


def status(census: Census, issued: Issued) -> Revocation:
    with census.store.read() as connection:
        detail = certificate_detail(connection, issued.sha256, census.clock.now_ms())
    assert detail is not None
    assert detail.revocation is not None
    return detail.revocation


def listed(census: Census, query: str) -> set[str]:
    with census.store.read() as connection:
        page = list_certificates(connection, parse(query), census.clock.now_ms())
    return {item.name for item in page.items}


def state(census: Census, data: bytes) -> str:
    sha256 = hashlib.sha256(data).digest()
    return str(census.row(select(lists.c.state).where(lists.c.sha256 == sha256))[0])


def test_a_certificate_on_its_issuers_list_is_revoked_and_the_others_are_good(
    census: Census,
) -> None:
    invalid = x509.InvalidityDate(NOW - timedelta(days=3))
    revoked = entry(
        LEAF, at=NOW - timedelta(days=1), reason=Reason.key_compromise, extensions=[invalid]
    )
    data = revocation_list(AUTHORITY, revoked)
    report(census, *CHAIN, data)
    said = status(census, LEAF)
    assert (said.status, said.reason, said.since) == (
        "yes",
        "keyCompromise",
        "2026-11-22T12:00:00Z",
    )
    assert said.invalid_since == "2026-11-20T12:00:00Z"
    assert (said.list_sha256, said.list_issuer) == (
        hashlib.sha256(data).hexdigest(),
        "CN=Example Issuer",
    )
    assert said.found == [f"web1:/etc/ssl/{said.list_sha256[:12]}"]
    other = status(census, OTHER)
    assert (other.status, other.as_of, other.until) == (
        "no",
        "2026-11-23T12:00:00Z",
        "2026-11-30T12:00:00Z",
    )
    assert status(census, AUTHORITY).why == "no revocation list of its issuer is here"
    assert listed(census, "revoked:yes") == {"www.example.com"}
    assert listed(census, "revoked:true revocation-reason:keyCompromise") == {"www.example.com"}
    assert listed(census, "revoked<2d") == {"www.example.com"}
    assert listed(census, "revoked>2d") == set()
    assert listed(census, "revoked:no") == {"api.example.com"}
    assert listed(census, "revoked:unknown") == {"Example Root", "Example Issuer"}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_in_which_leaf_list_and_authorities_arrive_does_not_matter(
    census: Census, order: tuple[int, ...]
) -> None:
    items = (ROOT, AUTHORITY, LEAF, revocation_list(AUTHORITY, entry(LEAF)))
    for place in order:
        report(census, items[place])
    assert status(census, LEAF).status == "yes"


def test_a_list_of_the_same_name_and_another_key_counts_for_nothing(census: Census) -> None:
    impostor = issue("Example Issuer", is_ca=True)
    forged = revocation_list(AUTHORITY, entry(LEAF), signer=impostor)
    report(census, *CHAIN, forged)
    assert (state(census, forged), status(census, LEAF).status) == ("unverified", "unknown")
    assert "signature is not verified" in status(census, LEAF).why
    # Its own certificate makes it verified, and still it is nobody above the leaf.
    report(census, impostor)
    assert (state(census, forged), status(census, LEAF).status) == ("in-force", "unknown")


def test_a_leaf_may_not_sign_lists(census: Census) -> None:
    leaf = issue("Example Issuer", issuer=AUTHORITY)
    forged = revocation_list(leaf, entry(LEAF))
    report(census, *CHAIN, leaf, forged)
    assert (state(census, forged), status(census, LEAF).status) == ("unverified", "unknown")


def test_the_newest_number_counts_and_never_an_older_one_over_it(census: Census) -> None:
    report(census, *CHAIN, revocation_list(AUTHORITY, entry(OTHER), number=0xFF))
    older = revocation_list(AUTHORITY, entry(LEAF), number=9, now=NOW + timedelta(days=1))
    report(census, older)
    assert (state(census, older), status(census, LEAF).status) == ("older", "no")
    census.clock.advance(DAY)
    newer = revocation_list(AUTHORITY, entry(LEAF), number=0x100)
    report(census, newer)
    assert [status(census, each).status for each in (LEAF, OTHER)] == ["yes", "no"]
    assert listed(census, "revoked:yes as-of:2026-11-23") == {"api.example.com"}
    with census.store.read() as connection:
        what = [
            each.what for each in happenings_of(connection, OTHER.sha256, ("certificate",), b"")
        ]
    assert [each for each in what if "revoked" in each] == ["revoked", "unrevoked"]


def test_what_is_good_is_unknown_when_the_next_list_is_overdue_and_revoked_stays(
    census: Census,
) -> None:
    report(census, *CHAIN, revocation_list(AUTHORITY, entry(LEAF), days=7))
    census.clock.advance(8 * DAY)
    assert [status(census, each).status for each in (LEAF, OTHER)] == ["yes", "unknown"]
    assert (status(census, LEAF).stale, "stale" in status(census, OTHER).why) == (True, True)
    assert listed(census, "revoked:no") == set()
    assert "api.example.com" in listed(census, "revoked:unknown")
    assert "api.example.com" in listed(census, "revoked:no as-of:8d")
    report(census, revocation_list(AUTHORITY, entry(LEAF), number=2, days=30))
    assert status(census, OTHER).status == "no"


def test_a_delta_adds_to_its_base_and_takes_a_hold_off(census: Census) -> None:
    hold = entry(LEAF, reason=Reason.certificate_hold)
    base = revocation_list(AUTHORITY, hold, number=5)
    lifted = entry(LEAF, reason=Reason.remove_from_crl)
    delta = revocation_list(AUTHORITY, lifted, entry(OTHER), number=6, base=5)
    report(census, *CHAIN, delta)
    assert (state(census, delta), status(census, OTHER).status) == ("waiting", "unknown")
    report(census, base)
    assert state(census, delta) == "in-force"
    assert [status(census, each).status for each in (LEAF, OTHER)] == ["no", "yes"]
    report(census, revocation_list(AUTHORITY, number=7))
    assert (state(census, delta), status(census, OTHER).status) == ("replaced", "no")


POINT = x509.UniformResourceIdentifier("http://crl.example.com/3.crl")


@pytest.mark.parametrize(
    ("scope", "leaf", "authority"),
    [
        ({"only_contains_user_certs": True}, "no", "unknown"),
        ({"only_contains_ca_certs": True}, "unknown", "no"),
        ({"only_contains_attribute_certs": True}, "unknown", "unknown"),
        ({"only_some_reasons": frozenset({Reason.key_compromise})}, "unknown", "unknown"),
        ({"full_name": [POINT]}, "unknown", "unknown"),
    ],
)
def test_a_list_says_good_only_of_what_its_scope_has(
    census: Census, scope: dict[str, object], leaf: str, authority: str
) -> None:
    direct = issue("direct.example.com", issuer=ROOT)
    below = issue("Second Issuer", issuer=ROOT, is_ca=True)
    listed_one = issue("revoked.example.com", issuer=ROOT)
    report(census, ROOT, direct, below, listed_one)
    report(census, revocation_list(ROOT, entry(listed_one), scope=scope))
    assert (status(census, direct).status, status(census, below).status) == (leaf, authority)
    # Whatever it does not speak of, who stands on it is revoked.
    assert status(census, listed_one).status == "yes"


def test_an_indirect_list_tells_of_certificates_that_name_its_issuer(census: Census) -> None:
    teller = issue("List Issuer", issuer=ROOT, is_ca=True)
    name = x509.DirectoryName(teller.certificate.subject)
    point = x509.DistributionPoint(None, None, None, [name])
    named = issue_with(AUTHORITY, x509.CRLDistributionPoints([point]))
    whose = x509.CertificateIssuer([x509.DirectoryName(AUTHORITY.certificate.subject)])
    of_authority = entry(named, extensions=[whose], critical=True)
    # The issuer holds for the entries behind it, too.
    data = revocation_list(teller, of_authority, entry(LEAF), scope={"indirect_crl": True})
    report(census, *CHAIN, teller, named, data)
    assert status(census, named).status == "yes"
    assert status(census, LEAF).status == "unknown", "it names no other issuer of lists"


def issue_with(issuer: Issued, extension: x509.ExtensionType) -> Issued:
    key = LEAF.key
    built = (
        x509.CertificateBuilder()
        .subject_name(LEAF.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=90))
        .add_extension(extension, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return Issued(built.public_bytes(serialization.Encoding.DER), key)


@pytest.mark.parametrize("where", ["list", "entry"])
def test_a_critical_extension_that_is_not_known_makes_a_list_useless(
    census: Census, where: str
) -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    if where == "list":
        data = revocation_list(AUTHORITY, entry(LEAF), extensions=[(odd, True)])
    else:
        data = revocation_list(AUTHORITY, entry(LEAF, extensions=[odd], critical=True))
    report(census, *CHAIN, data)
    assert (state(census, data), status(census, LEAF).status) == ("unusable", "unknown")
    assert "1.2.3.4 is critical and not understood" in status(census, LEAF).why


def test_one_that_had_expired_keeps_what_was_said_of_it(census: Census) -> None:
    short = issue("short.example.com", issuer=AUTHORITY, days=1)
    report(census, *CHAIN, short, revocation_list(AUTHORITY, entry(short)))
    census.clock.advance(3 * DAY)
    later = revocation_list(AUTHORITY, number=2, now=NOW + timedelta(days=3))
    report(census, later)
    assert (status(census, short).status, state(census, later)) == ("yes", "in-force")
    assert listed(census, "revoked:yes") == {"short.example.com"}


def test_lists_that_are_cut_short_or_no_lists_are_kept_with_the_reason(census: Census) -> None:
    whole = revocation_list(AUTHORITY, entry(LEAF))
    for data in (whole[:-9], b"\x30\x03junk", b"", whole[:40] + b"\xff" * 60):
        if data:
            report(census, data)
            assert state(census, data) == "unusable"
    report(census, *CHAIN)
    assert status(census, LEAF).status == "unknown"
