from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from keycensus_collector.authority.authority import (
    anchor,
    from_ms,
    intermediates,
    issue_agent_certificate,
    issue_server_certificate,
    to_ms,
)
from keycensus_collector.authority.local import LocalAuthority
from keycensus_collector.errors import AuthorityError

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
AGENT = "6b0b1f6e-52a4-4d0b-9e2c-0a5a6a3f8a11"


def issue(authority: LocalAuthority, now: datetime) -> x509.Certificate:
    return issue_agent_certificate(authority, KEY, deployment="test", agent_id=AGENT, now=now)


def test_an_agents_certificate_is_its_profiles_and_nothing_else(
    authority: LocalAuthority, now: datetime
) -> None:
    certificate = issue(authority, now)
    certificate.verify_directly_issued_by(anchor(authority))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [f"keycensus://test/agent/{AGENT}"]
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    assert certificate.not_valid_before_utc == now - timedelta(hours=1)
    assert certificate.not_valid_after_utc == now + timedelta(days=30)


def test_serials_are_twenty_random_bytes(authority: LocalAuthority, now: datetime) -> None:
    serials = {issue(authority, now).serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(serial.bit_length() == 159 for serial in serials)


def test_a_servers_certificate_serves_only_its_names(
    authority: LocalAuthority, now: datetime
) -> None:
    names = ["collector.example", "10.0.0.1", "::1"]
    certificate = issue_server_certificate(authority, KEY, names=names, now=now)
    stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in stated] == names
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.not_valid_after_utc == now + timedelta(days=90)


def test_a_long_name_does_not_break_the_common_name(
    authority: LocalAuthority, now: datetime
) -> None:
    name = ".".join(["a" * 60] * 3)
    certificate = issue_server_certificate(authority, KEY, names=[name], now=now)
    assert certificate.subject.rfc4514_string() == "CN=keycensus-collector"


def test_no_certificate_outlives_its_authority(authority: LocalAuthority) -> None:
    end = anchor(authority).not_valid_after_utc
    assert issue(authority, end - timedelta(days=1)).not_valid_after_utc == end
    with pytest.raises(AuthorityError, match="has expired"):
        issue(authority, end)


def test_our_own_ca_issues_no_further_ca(authority: LocalAuthority, now: datetime) -> None:
    certificate = anchor(authority)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    assert constraints.path_length == 0
    assert certificate.not_valid_after_utc - now > timedelta(days=3650)
    assert intermediates(authority) == ()


def test_times_keep_their_second() -> None:
    assert to_ms(from_ms(1_700_000_000_999)) == 1_700_000_000_000
