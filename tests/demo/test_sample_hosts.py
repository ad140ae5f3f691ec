"""The sample servers are what the demo says they are."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from demo.issuing import SampleAuthority, make_authority, rsa_key
from demo.jks_writer import KeyEntry, TrustedEntry, write_jks
from demo.sample_hosts import LINEAGE, build_sample_hosts, renew_lineage

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def authority() -> SampleAuthority:
    return make_authority("Example", NOW)


@pytest.fixture(scope="module")
def hosts(authority: SampleAuthority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_sample_hosts(tmp_path_factory.mktemp("hosts"), authority, NOW)


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - NOW).days


def test_live_links_lead_to_the_newest_archive_files(hosts: dict[str, Path]) -> None:
    live = hosts["web-1"] / "etc/letsencrypt/live" / LINEAGE
    assert live.joinpath("cert.pem").readlink() == Path(f"../../archive/{LINEAGE}/cert2.pem")
    assert days_left(certificates(live / "fullchain.pem")[0]) == 25


def test_the_wildcard_key_is_on_two_hosts(hosts: dict[str, Path]) -> None:
    copies = [hosts[name] / "etc/nginx/tls/wildcard.key" for name in ("web-1", "old-1")]
    assert copies[0].read_bytes() == copies[1].read_bytes()


def test_the_database_key_can_be_read_by_everyone(hosts: dict[str, Path]) -> None:
    key = hosts["db-1"] / "var/lib/postgresql/15/main/server.key"
    assert key.stat().st_mode & 0o777 == 0o644


def test_the_old_certificate_is_weak_in_every_way(hosts: dict[str, Path]) -> None:
    [old] = certificates(hosts["old-1"] / "etc/apache2/ssl/legacy.crt")
    assert old.signature_hash_algorithm is not None
    assert old.signature_hash_algorithm.name == "sha1"
    public = old.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == 1024
    assert days_left(old) == -400
    public.verify(old.signature, old.tbs_certificate_bytes, padding.PKCS1v15(), SHA1())  # noqa: S303


def test_a_renewal_turns_the_links_and_keeps_the_old_files(
    authority: SampleAuthority, tmp_path: Path
) -> None:
    root = build_sample_hosts(tmp_path, authority, NOW)["web-1"]
    live = root / "etc/letsencrypt/live" / LINEAGE
    before = certificates(live / "cert.pem")[0]
    renewed = renew_lineage(root, authority, NOW + timedelta(hours=1))
    assert certificates(live / "cert.pem") == [renewed]
    assert certificates(live.parents[1] / "archive" / LINEAGE / "cert2.pem") == [before]
    key = load_pem_private_key((live / "privkey.pem").read_bytes(), None)
    assert key.public_key() == renewed.public_key()
    assert {path.name for path in live.iterdir()} == {
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
        "privkey.pem",
    }


def test_keytool_opens_a_key_store_that_was_written_without_it(
    authority: SampleAuthority, tmp_path: Path
) -> None:
    keytool = shutil.which("keytool")
    if keytool is None:
        pytest.skip("keytool is not here (Debian: default-jre-headless)")
    key = rsa_key()
    leaf = authority.issue(["app"], key, not_before=NOW, not_after=NOW + timedelta(days=9))
    store = tmp_path / "own.jks"
    store.write_bytes(
        write_jks(
            [
                KeyEntry("tomcat", key, (leaf, authority.intermediate.certificate)),
                TrustedEntry("root", authority.root.certificate),
            ],
            "changeit",
            NOW,
        )
    )
    exported = tmp_path / "out.p12"
    subprocess.run(
        [
            *(keytool, "-importkeystore", "-noprompt", "-srckeystore", str(store)),
            *("-srcstorepass", "changeit", "-destkeystore", str(exported)),
            *("-deststoretype", "PKCS12", "-deststorepass", "changeit"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert exported.stat().st_size > 0


def test_app_has_a_store_and_a_locked_copy(hosts: dict[str, Path]) -> None:
    conf = hosts["app-1"] / "opt/tomcat/conf"
    assert conf.joinpath("keystore.jks").read_bytes()[:4] == b"\xfe\xed\xfe\xed"
    assert conf.joinpath("backup.p12").read_bytes()[:1] == b"\x30"
