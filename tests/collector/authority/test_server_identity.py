from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from keycensus_collector.authority import local, server_identity
from keycensus_collector.authority.authority import anchor
from keycensus_collector.authority.local import LocalAuthority
from keycensus_collector.errors import AuthorityError

NAMES = ("collector.example", "10.0.0.1")


def test_the_chain_ends_with_the_anchor_and_names_this_machine(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    identity = server_identity.ensure(tmp_path / "server", authority, NAMES, now)
    chain = x509.load_pem_x509_certificates(identity.chain_pem)
    assert chain == [identity.certificate, anchor(authority)]
    stated = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in stated] == [*NAMES, "localhost", "127.0.0.1", "::1"]
    key_file = tmp_path / "server" / server_identity.KEY_FILE
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(identity)


def test_it_stays_until_a_third_of_its_life_is_left(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    first = server_identity.ensure(tmp_path, authority, NAMES, now)
    later = server_identity.ensure(tmp_path, authority, NAMES, now + timedelta(days=59))
    assert later.certificate == first.certificate
    renewed = server_identity.ensure(tmp_path, authority, NAMES, now + timedelta(days=61))
    assert renewed.certificate != first.certificate
    assert renewed.certificate.public_key() != first.certificate.public_key()


def test_other_names_another_authority_or_a_damaged_file_make_a_new_one(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    seen = {server_identity.ensure(tmp_path, authority, NAMES, now).certificate}
    seen.add(server_identity.ensure(tmp_path, authority, ("other.example",), now).certificate)
    seen.add(
        server_identity.ensure(tmp_path, local.create_own("test", now), NAMES, now).certificate
    )
    (tmp_path / server_identity.KEY_FILE).write_text("damaged")
    seen.add(server_identity.ensure(tmp_path, authority, NAMES, now).certificate)
    (tmp_path / server_identity.CHAIN_FILE).write_bytes(b"")
    seen.add(server_identity.ensure(tmp_path, authority, NAMES, now).certificate)
    assert len(seen) == 5


def test_a_key_of_another_certificate_makes_a_new_one(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    first = server_identity.ensure(tmp_path / "a", authority, NAMES, now)
    server_identity.ensure(tmp_path / "b", authority, NAMES, now)
    key = (tmp_path / "b" / server_identity.KEY_FILE).read_bytes()
    (tmp_path / "a" / server_identity.KEY_FILE).write_bytes(key)
    again = server_identity.ensure(tmp_path / "a", authority, NAMES, now)
    assert again.certificate != first.certificate


def test_a_directory_that_can_not_be_written_is_named(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuthorityError, match="can't be written"):
        server_identity.ensure(tmp_path / "file" / "server", authority, NAMES, now)
