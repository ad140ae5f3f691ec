"""What `keycensus` tells of revoked certificates, by a list that the real `openssl ca` made."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.census import Census, blob_item, certificate
from fakes.pki import issue
from fakes.served import Served, api_token

ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT, days=60)
API = issue("api.example.com", issuer=ROOT, days=60)

_CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
certificate = ca.pem
private_key = ca.key
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
"""


def made_by_openssl(directory: Path) -> bytes:
    """Revoke WWW by `openssl ca`, and return the list that it makes, in DER."""
    (directory / "ca.cnf").write_text(_CONFIGURATION)
    (directory / "index.txt").write_text("")
    (directory / "crlnumber").write_text("1000\n")
    (directory / "ca.pem").write_bytes(ROOT.pem)
    (directory / "ca.key").write_bytes(ROOT.key_pem)
    (directory / "www.pem").write_bytes(WWW.pem)
    for arguments in (
        ("-revoke", "www.pem", "-crl_reason", "keyCompromise"),
        ("-gencrl", "-out", "crl.pem"),
    ):
        command = ("openssl", "ca", "-config", "ca.cnf", *arguments)
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    made = x509.load_pem_x509_crl((directory / "crl.pem").read_bytes())
    return made.public_bytes(Encoding.DER)


def test_a_certificate_that_openssl_revoked_is_told_in_lists_show_where_and_history(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "ca"
    directory.mkdir()
    crl = made_by_openssl(directory)
    census = Census.create(tmp_path)
    web = census.host("web1")
    for path, item in (
        ("/etc/www.pem", certificate(WWW)),
        ("/etc/api.pem", certificate(API)),
        ("/etc/root.pem", certificate(ROOT)),
        ("/etc/root.crl", blob_item("crl", crl)),
    ):
        census.report(web, path, item)
    census.fold()
    served = Served(census, tmp_path, api_token(census))
    try:
        assert served.login().returncode == 0
        shown = served.run("show", WWW.sha256.hex()).stdout
        assert "keyCompromise" in shown
        assert "found at web1:/etc/root.crl" in shown
        assert "no, as of" in served.run("show", API.sha256.hex()).stdout
        assert "revoked since" in served.run("where", WWW.sha256.hex()).stdout
        listed = served.run("certs", "-q", "revoked:yes").stdout.splitlines()
        assert len(listed) == 2
        assert "keyCompromise" in listed[1]
        good = served.run("certs", "-q", "revoked:no", "-o", "json").stdout
        assert [each["name"] for each in json.loads(good)] == ["api.example.com"]
        assert "revoked" in served.run("history", WWW.sha256.hex()).stdout
        document = served.run("show", hashlib.sha256(crl).hexdigest()).stdout
        assert "1000" in document
        assert "in-force" in document
    finally:
        served.close()


def test_lists_that_openssl_made_are_imported_and_held_against_what_was_seen(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "ca"
    directory.mkdir()
    made_by_openssl(directory)
    census = Census.create(tmp_path)
    census.report(census.host("web1"), "/etc/all.pem", *map(certificate, (WWW, API, ROOT)))
    census.fold()
    served = Served(census, tmp_path, api_token(census, role="operator"))
    try:
        assert served.login().returncode == 0
        done = served.run("import", str(directory / "crl.pem"))
        assert "imported a revocation list of CN=Example Root, number 1000" in done.stdout
        census.fold()
        assert "imported by user:ada from crl.pem" in served.run("show", WWW.sha256.hex()).stdout
        index = str(directory / "index.txt")
        refused = served.run("import", index, "--ca-list", "--name", "Root's")
        assert (refused.returncode, "without its issuer" in refused.stderr) == (2, True)
        arguments = ("import", index, "--ca-list", "--name", "Root's", "--issuer")
        by = str(directory / "ca.pem")
        preview = served.run(*arguments, by, "--preview").stdout
        assert preview.startswith(
            "would import 1 certificates of Root's (openssl-index): 1 of them"
        )
        assert served.run("imports", "--lists").stdout == "nothing of that kind was imported\n"
        assert served.run(*arguments, by).stdout.startswith("imported 1 certificates")
        assert "Root's" in served.run("imports", "--lists").stdout
        assert "www.example.com" in served.run("imports", "--of", "Root's").stdout
        missing = served.run("imports", "--of", "Root's", "--missing", "-o", "json")
        assert json.loads(missing.stdout) == []
        viewed = served.run("views", "run", "seen-not-listed", "-o", "json").stdout
        assert [each["name"] for each in json.loads(viewed)] == ["api.example.com"]
        assert (
            "on the list of its authority, Root's," in served.run("show", WWW.sha256.hex()).stdout
        )
        with_key = tmp_path / "with-key.pem"
        with_key.write_bytes(WWW.pem + WWW.key_pem)
        kept = served.run("import", str(with_key))
        assert (kept.returncode, "nothing was sent" in kept.stderr) == (2, True)
        alone = served.run("import", by, "--issuer", "x")
        assert (alone.returncode, "give --ca-list" in alone.stderr) == (2, True)
    finally:
        served.close()
