"""Build the file systems of four sample servers, with what a security team finds on real ones.

    web-1   nginx with Let's Encrypt's live/ and archive/ as certbot lays them; the wildcard pair
    app-1   Tomcat with a Java key store that expires next week, and a locked PKCS#12
    db-1    PostgreSQL with a private key that everyone can read; an SSH key
    old-1   an old box: expired, 1024 bits, SHA-1, a key without a certificate, the wildcard pair

Only files, made by `cryptography` (and keytool where there is one); nothing of it ever runs. Dates
are relative to the time that is passed in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from demo.issuing import SampleAuthority, SampleKey, certificate_pem, ec_key, key_pem, rsa_key
from demo.jks_writer import KeyEntry, TrustedEntry, write_jks

STORE_PASSWORD = "changeit"
LINEAGE = "shop.example.com"
WILDCARD = "*.example.com"
# Numeric owners as Debian hands them out; used only where the builder may change owners.
_POSTGRES, _TOMCAT = 111, 112


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: SampleKey


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Writes files below one host's root, with modes and owners."""

    root: Path

    def write(self, path: str, data: bytes | str, mode: int = 0o644, uid: int = 0) -> Path:
        """Write `data` at the absolute `path` of the host; the owner only if we may."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        target.chmod(mode)
        if os.geteuid() == 0:
            os.chown(target, uid, uid)
        return target

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link at `path`, replacing what is there in one step, as certbot does."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        fresh.symlink_to(target)
        fresh.replace(place)


def build_sample_hosts(work: Path, authority: SampleAuthority, now: datetime) -> dict[str, Path]:
    """Build all four below `work`; returns host name → root directory."""
    wildcard = _pair(authority, [WILDCARD, "example.com"], now, age=10, left=80)
    builders: dict[str, Callable[[SampleFiles], None]] = {
        "web-1": lambda files: _web(files, authority, wildcard, now),
        "app-1": lambda files: _app(files, authority, now),
        "db-1": lambda files: _db(files, authority, now),
        "old-1": lambda files: _old(files, wildcard, now),
    }
    roots: dict[str, Path] = {}
    for name, build in builders.items():
        files = SampleFiles(work / name)
        _operating_system(files, name)
        bundle = certificate_pem(authority.root.certificate, authority.intermediate.certificate)
        files.write("/etc/ssl/certs/example-ca-bundle.pem", bundle)
        build(files)
        roots[name] = files.root
    return roots


def renew_lineage(
    root: Path, authority: SampleAuthority, now: datetime, name: str = LINEAGE
) -> x509.Certificate:
    """Renew `name` below a host's `root` as certbot does; returns the new certificate.

    The next files of the archive are written first, then each live link is turned atomically.
    """
    archive = root / "etc/letsencrypt/archive" / name
    number = 1 + max(int(path.stem.removeprefix("cert")) for path in archive.glob("cert*.pem"))
    pair = _pair(authority, [name, f"www.{name}"], now, age=0, left=90)
    _archive_files(SampleFiles(root), authority, name, number, pair)
    return pair.certificate


def _pair(
    authority: SampleAuthority, names: list[str], now: datetime, *, age: int, left: int
) -> Pair:
    key = ec_key()
    begin, end = now - timedelta(days=age, hours=1), now + timedelta(days=left, hours=1)
    return Pair(authority.issue(names, key, not_before=begin, not_after=end), key)


def _operating_system(files: SampleFiles, name: str) -> None:
    us = os.geteuid()
    # Who builds this without being root owns the files, so that name is "root" on the sample host.
    files.write(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n"
        f"root:x:{us}:{os.getegid()}:root:/root:/bin/sh\n"
        f"postgres:x:{_POSTGRES}:{_POSTGRES}::/var/lib/postgresql:/bin/sh\n"
        f"tomcat:x:{_TOMCAT}:{_TOMCAT}::/opt/tomcat:/usr/sbin/nologin\n",
    )
    files.write(
        "/etc/group",
        f"root:x:0:\nroot:x:{os.getegid()}:\npostgres:x:{_POSTGRES}:\ntomcat:x:{_TOMCAT}:\n",
    )
    files.write("/etc/hostname", f"{name}.example.com\n")
    old = name == "old-1"
    version, label = ("8", "jessie") if old else ("12", "bookworm")
    files.write(
        "/etc/os-release",
        f'PRETTY_NAME="Debian GNU/Linux {version} ({label})"\nID=debian\nVERSION_ID="{version}"\n',
    )
    files.write("/etc/machine-id", os.urandom(16).hex() + "\n", 0o444)


def _archive_files(
    files: SampleFiles, authority: SampleAuthority, name: str, number: int, pair: Pair
) -> None:
    chain = certificate_pem(authority.intermediate.certificate)
    leaf = certificate_pem(pair.certificate)
    archive, live = f"/etc/letsencrypt/archive/{name}", f"/etc/letsencrypt/live/{name}"
    contents = {"cert": leaf, "chain": chain, "fullchain": leaf + chain}
    files.write(f"{archive}/privkey{number}.pem", key_pem(pair.key), 0o600)
    for kind, data in contents.items():
        files.write(f"{archive}/{kind}{number}.pem", data)
    for kind in ("cert", "privkey", "chain", "fullchain"):
        files.link(f"{live}/{kind}.pem", f"../../archive/{name}/{kind}{number}.pem")


def _web(files: SampleFiles, authority: SampleAuthority, wildcard: Pair, now: datetime) -> None:
    names = [LINEAGE, f"www.{LINEAGE}"]
    first = _pair(authority, names, now, age=125, left=-35)
    _archive_files(files, authority, LINEAGE, 1, first)
    _archive_files(files, authority, LINEAGE, 2, _pair(authority, names, now, age=65, left=25))
    live = f"/etc/letsencrypt/live/{LINEAGE}"
    files.write(
        f"/etc/letsencrypt/renewal/{LINEAGE}.conf",
        "version = 2.11.0\n"
        f"archive_dir = /etc/letsencrypt/archive/{LINEAGE}\n"
        f"cert = {live}/cert.pem\nprivkey = {live}/privkey.pem\n"
        f"chain = {live}/chain.pem\nfullchain = {live}/fullchain.pem\n",
    )
    _wildcard_files(files, wildcard, authority.intermediate.certificate)
    files.write("/etc/nginx/nginx.conf", "http {\n  include /etc/nginx/sites-enabled/*;\n}\n")
    _site(files, LINEAGE, "443", f"{live}/fullchain.pem", f"{live}/privkey.pem")
    wildcard_paths = ("/etc/nginx/tls/wildcard.pem", "/etc/nginx/tls/wildcard.key")
    _site(files, "intranet.example.com", "443", *wildcard_paths)


def serve_lineage_at(root: Path, address: str, name: str = LINEAGE) -> None:
    """Have the configuration of nginx below `root` say that `name` is served at `address`."""
    live = f"/etc/letsencrypt/live/{name}"
    _site(SampleFiles(root), name, address, f"{live}/fullchain.pem", f"{live}/privkey.pem")


def _site(files: SampleFiles, server: str, address: str, certificate: str, key: str) -> None:
    files.write(
        f"/etc/nginx/sites-enabled/{server}.conf",
        f"server {{\n  listen {address} ssl;\n  server_name {server};\n"
        f"  ssl_certificate {certificate};\n  ssl_certificate_key {key};\n}}\n",
    )


def _wildcard_files(files: SampleFiles, wildcard: Pair, *chain: x509.Certificate) -> None:
    files.write("/etc/nginx/tls/wildcard.pem", certificate_pem(wildcard.certificate, *chain))
    files.write("/etc/nginx/tls/wildcard.key", key_pem(wildcard.key), 0o640)


def _app(files: SampleFiles, authority: SampleAuthority, now: datetime) -> None:
    app = _pair(authority, ["app.example.com"], now, age=356, left=9)
    chain = (app.certificate, authority.intermediate.certificate)
    path = "/opt/tomcat/conf/keystore.jks"
    pkcs12 = serialize_key_and_certificates(
        b"tomcat",
        app.key,
        app.certificate,
        [authority.intermediate.certificate],
        BestAvailableEncryption(STORE_PASSWORD.encode()),
    )
    files.write("/opt/tomcat/conf/backup.p12", pkcs12, 0o640, _TOMCAT)
    if not _keytool_store(files, path):
        files.write(
            path,
            write_jks(
                [
                    KeyEntry("tomcat", app.key, chain),
                    TrustedEntry("example-root", authority.root.certificate),
                ],
                STORE_PASSWORD,
                now,
            ),
            0o640,
            _TOMCAT,
        )
    files.write(
        "/opt/tomcat/conf/server.xml",
        '<Server>\n <Connector port="8443" SSLEnabled="true">\n  <SSLHostConfig>\n'
        f'   <Certificate certificateKeystoreFile="{path}" certificateKeyAlias="tomcat"/>\n'
        "  </SSLHostConfig>\n </Connector>\n</Server>\n",
        0o640,
        _TOMCAT,
    )


def _keytool_store(files: SampleFiles, path: str) -> bool:
    """Turn the PKCS#12 beside `path` into a JKS with Java's own tool; False if there is none."""
    keytool = shutil.which("keytool")
    if keytool is None:
        return False
    source = files.root / "opt/tomcat/conf/backup.p12"
    target = files.root / path.lstrip("/")
    subprocess.run(
        [
            *(keytool, "-importkeystore", "-noprompt"),
            *("-srckeystore", str(source), "-srcstoretype", "PKCS12"),
            *("-srcstorepass:env", "STORE_PASSWORD"),
            *("-destkeystore", str(target), "-deststoretype", "JKS"),
            *("-deststorepass:env", "STORE_PASSWORD"),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "STORE_PASSWORD": STORE_PASSWORD},
    )
    files.write(path, target.read_bytes(), 0o640, _TOMCAT)
    return True


def _db(files: SampleFiles, authority: SampleAuthority, now: datetime) -> None:
    data = "/var/lib/postgresql/15/main"
    pair = _pair(authority, ["db.example.com"], now, age=20, left=345)
    files.write(f"{data}/server.crt", certificate_pem(pair.certificate), 0o644, _POSTGRES)
    files.write(f"{data}/server.key", key_pem(pair.key), 0o644, _POSTGRES)
    files.write(
        "/etc/postgresql/15/main/postgresql.conf",
        f"ssl = on\nssl_cert_file = '{data}/server.crt'\nssl_key_file = '{data}/server.key'\n",
    )
    ssh = ed25519.Ed25519PrivateKey.generate()
    files.write(
        "/root/.ssh/id_ed25519",
        ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        0o600,
    )
    files.write(
        "/root/.ssh/id_ed25519.pub",
        ssh.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" root@db-1\n",
    )


def _old(files: SampleFiles, wildcard: Pair, now: datetime) -> None:
    key = rsa_key(1024)
    certificate = _sha1_certificate("legacy.example.com", key, now)
    files.write("/etc/apache2/ssl/legacy.crt", certificate.public_bytes(Encoding.PEM))
    traditional = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    files.write("/etc/apache2/ssl/legacy.key", traditional, 0o600)
    files.write("/etc/apache2/ssl/legacy.der", certificate.public_bytes(Encoding.DER))
    files.write("/root/migration/forgotten.key", key_pem(rsa_key()), 0o600)
    sealed = ec_key().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(STORE_PASSWORD.encode())
    )
    files.write("/root/migration/sealed.key", sealed, 0o600)
    _wildcard_files(files, wildcard)


def _sha1_certificate(name: str, key: rsa.RSAPrivateKey, now: datetime) -> x509.Certificate:
    """Return a self-signed certificate signed with SHA-1, expired for 400 days.

    No library signs so any more, so one signed with SHA-256 is marked otherwise and signed again:
    both algorithm identifiers (RFC 8017, A.2.4) and both signatures have the same length.
    """
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(key.public_key()).serial_number(4711)
    builder = builder.not_valid_before(now - timedelta(days=400 + 3650))
    signed = builder.not_valid_after(now - timedelta(days=400)).sign(key, SHA256())
    sha256_with_rsa, sha1_with_rsa = (bytes.fromhex(f"2a864886f70d0101{n}") for n in ("0b", "05"))
    marked = signed.tbs_certificate_bytes.replace(sha256_with_rsa, sha1_with_rsa)
    whole = signed.public_bytes(Encoding.DER).replace(signed.tbs_certificate_bytes, marked)
    whole = whole.replace(sha256_with_rsa, sha1_with_rsa)
    fresh = key.sign(marked, padding.PKCS1v15(), SHA1())  # noqa: S303 - the sample is old on purpose
    return x509.load_der_x509_certificate(whole[: -len(fresh)] + fresh)
