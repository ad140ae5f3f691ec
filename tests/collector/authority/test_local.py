"""Own and company authorities; the company's are made by the real openssl."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from keycensus_collector.authority import local
from keycensus_collector.authority.authority import anchor, issue_agent_certificate
from keycensus_collector.authority.local import LocalAuthority
from keycensus_collector.errors import AuthorityError

# openssl dates certificates by the machine's clock.
NOW = datetime.now(UTC) + timedelta(hours=1)
CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make_root(
    directory: Path,
    name: str = "root",
    *,
    key: tuple[str, ...] = ("ec", "ec_paramgen_curve:P-256"),
    extensions: tuple[str, ...] = CA,
    days: int = 100,
) -> tuple[Path, Path]:
    """Make a self-signed certificate; return its file and its key's."""
    certificate, key_file = directory / f"{name}.crt", directory / f"{name}.key"
    algorithm = [
        "-algorithm",
        key[0],
        *(item for option in key[1:] for item in ("-pkeyopt", option)),
    ]
    openssl("genpkey", *algorithm, "-out", str(key_file))
    openssl(
        *("req", "-x509", "-new", "-key", str(key_file), "-out", str(certificate)),
        *("-subj", f"/CN={name}", "-days", str(days)),
        *(item for extension in extensions for item in ("-addext", extension)),
    )
    return certificate, key_file


def make_intermediate(directory: Path) -> tuple[Path, Path, Path]:
    """Make a root and an intermediate; return the intermediate's file and key, and the root's."""
    root, root_key = make_root(directory)
    certificate, key_file = directory / "sub.crt", directory / "sub.key"
    request = directory / "sub.csr"
    openssl(
        "genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key_file)
    )
    openssl(
        *("req", "-new", "-key", str(key_file), "-out", str(request), "-subj", "/CN=sub"),
        *(item for extension in CA for item in ("-addext", extension)),
    )
    openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(root), "-CAkey", str(root_key)),
        *("-CAcreateserial", "-copy_extensions", "copy", "-days", "50", "-out", str(certificate)),
    )
    return certificate, key_file, root


def test_an_authority_comes_back_as_saved_for_its_owner_alone(
    tmp_path: Path, authority: LocalAuthority, now: datetime
) -> None:
    authority.save(tmp_path / "authority")
    loaded = local.load(tmp_path / "authority", now)
    assert loaded.chain == authority.chain
    assert (tmp_path / "authority").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "authority").iterdir()} == {0o600}


def test_the_key_does_not_show(authority: LocalAuthority) -> None:
    assert "Key" not in repr(authority)


def test_a_companys_root_signs_agents(tmp_path: Path) -> None:
    company = local.adopt(*make_root(tmp_path), None, NOW)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = issue_agent_certificate(company, key, deployment="d", agent_id="a", now=NOW)
    certificate.verify_directly_issued_by(company.chain[0])
    assert anchor(company).subject.rfc4514_string() == "CN=root"


def test_a_companys_intermediate_brings_its_root(tmp_path: Path) -> None:
    certificate, key_file, root = make_intermediate(tmp_path)
    both = tmp_path / "both.crt"
    both.write_bytes(certificate.read_bytes() + root.read_bytes())
    company = local.adopt(both, key_file, None, NOW)
    names = [each.subject.rfc4514_string() for each in company.chain]
    assert names == ["CN=sub", "CN=root"]


def test_an_intermediate_without_its_root_says_what_to_append(tmp_path: Path) -> None:
    certificate, key_file, _ = make_intermediate(tmp_path)
    with pytest.raises(AuthorityError, match="issuer of CN=sub is missing; append"):
        local.adopt(certificate, key_file, None, NOW)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    certificate, key_file = make_root(tmp_path)
    sealed = tmp_path / "sealed.key"
    openssl(
        *("pkcs8", "-topk8", "-in", str(key_file), "-out", str(sealed), "-passout", "pass:secret")
    )
    with pytest.raises(AuthorityError, match="--ca-passphrase-file"):
        local.adopt(certificate, sealed, None, NOW)
    with pytest.raises(AuthorityError, match="passphrase is wrong"):
        local.adopt(certificate, sealed, b"wrong", NOW)
    assert local.adopt(certificate, sealed, b"secret", NOW).chain
    assert local.adopt(certificate, key_file, b"not needed", NOW).chain


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        (("basicConstraints=critical,CA:FALSE",), "no CA certificate"),
        ((CA[0], "keyUsage=critical,digitalSignature"), "may not sign certificates"),
        ((*CA, "extendedKeyUsage=serverAuth"), "may not issue for both clients and servers"),
    ],
)
def test_a_certificate_that_is_unfit_is_refused(
    tmp_path: Path, extensions: tuple[str, ...], message: str
) -> None:
    files = make_root(tmp_path, extensions=extensions)
    with pytest.raises(AuthorityError, match=message) as raised:
        local.adopt(*files, None, NOW)
    assert str(files[0]) in str(raised.value)


@pytest.mark.parametrize(
    "key",
    [("rsa", "rsa_keygen_bits:1024"), ("ed25519",), ("ec", "ec_paramgen_curve:secp256k1")],
    ids=["rsa-1024", "ed25519", "secp256k1"],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: tuple[str, ...]) -> None:
    with pytest.raises(AuthorityError, match="can't be used; a CA key is RSA of 2048"):
        local.adopt(*make_root(tmp_path, key=key), None, NOW)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = make_root(tmp_path, "one")
    _, key_file = make_root(tmp_path, "two")
    with pytest.raises(AuthorityError, match="is not that of"):
        local.adopt(certificate, key_file, None, NOW)


def test_times_out_of_range_are_told(tmp_path: Path) -> None:
    files = make_root(tmp_path)
    with pytest.raises(AuthorityError, match="expired on"):
        local.adopt(*files, None, NOW + timedelta(days=101))
    with pytest.raises(AuthorityError, match=r"is not valid before .* check the clock"):
        local.adopt(*files, None, NOW - timedelta(days=2))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\0" * 2_000_000])
def test_files_that_hold_neither_are_named(tmp_path: Path, content: bytes) -> None:
    certificate, key_file = make_root(tmp_path)
    junk = tmp_path / "junk"
    junk.write_bytes(content)
    with pytest.raises(AuthorityError, match=str(junk)):
        local.adopt(junk, key_file, None, NOW)
    with pytest.raises(AuthorityError, match=str(junk)):
        local.adopt(certificate, junk, None, NOW)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match=r"chain\.pem can't be read: No such file"):
        local.load(tmp_path, NOW)


def test_a_directory_that_can_not_be_written_is_named(
    tmp_path: Path, authority: LocalAuthority
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuthorityError, match="can't be written"):
        authority.save(tmp_path / "file" / "authority")
