from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES, FIXTURES

from keycensus_agent.parser.triage import (
    CONFIGURATION_TEXT_CAP,
    HEAD_BYTES,
    TEXT_CAP,
    Triage,
    holds_marker,
    search_of,
    text_cap,
    triage,
)

NO_FINDING = {
    "attribute.pem",
    "dh-parameters.pem",
    "known_hosts",
    "mentions.md",
    "parameters.pem",
}


@pytest.mark.parametrize("name", [row.name for row in FIXTURES if row.name not in NO_FINDING])
def test_no_form_that_holds_something_is_missed(name: str) -> None:
    data = (FILES / name).read_bytes()
    verdict = triage(data[:HEAD_BYTES], len(data))
    assert verdict is Triage.CANDIDATE or (verdict is Triage.TEXT and holds_marker(data))


@pytest.mark.parametrize(
    ("head", "size", "verdict"),
    [
        (b"", 0, Triage.SKIP),
        (b"#!/bin/sh\n", 10, Triage.TEXT),
        (b"\xff\xfea\0b\0", 6, Triage.TEXT),
        (b"\x7fELF\x02\x01\x01\0", 4000, Triage.SKIP),
        (b"\x89PNG\r\n\x1a\n\0\0", 4000, Triage.SKIP),
        (b"MZ\0-----BEGIN CERTIFICATE", 40, Triage.TEXT),
        (b"\xfe\xed\xfe\xed\0\0\0\2", 32, Triage.CANDIDATE),
        (b"\xce\xce\xce\xce\0\0\0\2", 32, Triage.CANDIDATE),
        (b"\x30\x04\x02\x02\0\1", 6, Triage.CANDIDATE),
        (b"\x30\x04\x02\x02\0\1", 5, Triage.SKIP),
        (b"\x30\x80\x06\x09\0\0", 600, Triage.CANDIDATE),
        (b"\x30\x82\x05\x00\x30\x82\x04\x00\0", 9, Triage.CANDIDATE),
        (b"\x30\x82\x05\x00\x04\x82\x04\x00\0", 4096, Triage.SKIP),
        (b"\x30\x84\x05", 3, Triage.TEXT),
        (b"\x30\xff\x05\0", 4, Triage.SKIP),
        (b"0x1234\n", 7, Triage.TEXT),
        (b"k\0e\0y\0:\0 \0", 500, Triage.TEXT),
        (b"\0k\0e\0y\0:\0 ", 500, Triage.TEXT),
        (b"\0k\0e\0\0\0:\0 ", 500, Triage.SKIP),
        (b"k\0e\0", 500, Triage.SKIP),
        (b"0\x06\x30\x01\x00\x00\x00\x00", 8, Triage.CANDIDATE),
        (b"\x30\x82\x05\x00\x02\x01\x03\x30\x82", 200, Triage.CANDIDATE),
        (b"\x30\x82\x05\x00\x02\x01\x01\x30\x82", 200, Triage.CANDIDATE),
        (
            b"\x30\x82\x05\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x82",
            200,
            Triage.CANDIDATE,
        ),
        (b"\x30\x82\x05\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02\xa0\x82", 200, Triage.SKIP),
        (b"SQLite format 3\0" + bytes(4000), 90_000, Triage.SKIP),
        (b"\0\0\0\0" + bytes(4000), 90_000, Triage.SKIP),
        (b"\0\0\0\1\0\0\0\x14" + bytes(20) + b"\0\0\4\0\1", 900, Triage.CANDIDATE),
        (b"\0\0\0\1\0\0\0\x14" + bytes(20) + b"\4\0\0\0\1", 900, Triage.SKIP),
        (b"\0\0\0\1\0\0\0\xff" + b"x" * 400, 900, Triage.SKIP),
        (b"\0\0\0\x20ftypisom", 90_000, Triage.SKIP),
        (b"\0\x06\x15\x61\0\0\0\3\0\0", 90_000, Triage.SKIP),
        (b"7H\3\2" + bytes(90), 94, Triage.SKIP),
        (b"\xa1\xf8\x4e\x36xxx\0", 90, Triage.SKIP),
        (b"(11:private-key", 90, Triage.TEXT),
        (b"(11:private-key(3:rsa(1:n1:x)))", 90, Triage.CANDIDATE),
        (b"(private-key\n (rsa (n #00#)))", 90, Triage.CANDIDATE),
        (b"(proto x)", 90, Triage.TEXT),
        (b"Certificate:\n    Data:\n", 90, Triage.CANDIDATE),
        (b"Certificates of ours\n", 90, Triage.TEXT),
        (b"\xac\xed\0\5sr", 90, Triage.CANDIDATE),
        (b"Description: x\nKey: (protected-private-key (rsa\n", 90, Triage.CANDIDATE),
        (b"Description: a package\nKey: value\n", 90, Triage.TEXT),
    ],
)
def test_the_first_bytes_decide(head: bytes, size: int, verdict: Triage) -> None:
    assert triage(head, size) is verdict


def test_a_marker_is_found_in_the_encoding_of_the_text() -> None:
    text = "key: -----BEGIN PRIVATE KEY-----"
    assert holds_marker(text.encode())
    assert holds_marker(b"\xff\xfe" + text.encode("utf-16-le"))
    assert holds_marker(b"\xfe\xff" + text.encode("utf-16-be"))
    assert holds_marker(text.encode("utf-16-le"))
    assert holds_marker(text.encode("utf-16-be"))
    assert not holds_marker(b"-----END PRIVATE KEY-----")


def test_text_is_read_longer_where_configuration_lives() -> None:
    assert text_cap(b"/etc/nginx/x.conf") == CONFIGURATION_TEXT_CAP
    assert text_cap(b"/usr/share/doc/x") == TEXT_CAP


SOURCE, DATA = b"/usr/share/x/a.py", b"/usr/share/x/a.txt"
LONG = b"a: MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYD"


# One for each form, as its writer begins it.
STARTS = (
    b"x -----BEGIN y",
    b"k: LS0tLS1CRUdJTi",
    LONG,
    b"MC4CAQAwBQYDK2VwBCIEI",  # PKCS#8 of Ed25519
    b"MFECAQEwBQYDK2VwBCIEI",  # with its public key, RFC 5958
    b"MIGHAgEAMBMGByqGSM49",  # PKCS#8 and SEC 1 of P-256
    b"MHcCAQEEIPd",
    b"MIGkAgEBBDDi",  # SEC 1 of P-384
    b"MIGjMF8GCSqGSIb3DQEFDTBS",  # encrypted PKCS#8, PBES2 and PKCS#12's
    b"MIGxMBwGCiqGSIb3DQEMAQMw",
    b"MFgwHAYKKoZIhvcNAQwBAzAO",
    b"/u3+7QAAAAI",  # JKS, JCEKS
    b"zs7OzgAAAAI",
    b"YXBpVmVyc2lvbjog",  # kubeconfig
    b"ssh-rsa AAAAB3",
    b"---- BEGIN SSH2 PUBLIC KEY ----",
    b"PuTTY-User-Key-File-3: ",
    b"PrivateKey = ",
    b"private-key=",
    b'{"kty": "RSA"',
    b'{\\"kty\\": \\"RSA\\"',
    b"pkcs11:object=x",
    b"AGE-SECRET-KEY-1",
    b"AGE-PLUGIN-YUBIKEY-1",
    b"<RSAKeyValue>",
    b"Private-key-format: v1.3",
    b"SetCredentialEncrypted=x",
    b"Whxqht+dQJax1aZeCGLxm",
    b"k6iUCUh0RJCQyvL8k8q1U",
    b"DHzAexF2RZGcSwvqCLwg/",
    b"BYRp2vb1QySABUnaD46i+",
)


@pytest.mark.parametrize("text", STARTS)
def test_where_keys_are_kept_every_form_is_searched_for(text: bytes) -> None:
    assert holds_marker(b"\n" + text)
    assert holds_marker(b"\n" + text, search_of(b"/srv/app/settings.json"))
    assert holds_marker((b"\n" + text).decode().encode("utf-16"))


def test_the_text_of_programs_is_searched_for_less() -> None:
    for path in (SOURCE, DATA, b"/srv/a.py"):
        assert holds_marker(b"-----BEGIN", search_of(path))
        assert not holds_marker(b"AGE-SECRET-KEY-1", search_of(path))
    assert [holds_marker(LONG, search_of(path)) for path in (SOURCE, DATA, b"/srv/a.py")] == [
        False,
        True,
        True,
    ]
    assert not holds_marker(bytes(65_536).replace(b"\0", b" ") + LONG, search_of(DATA))
    assert holds_marker(b"AGE-SECRET-KEY-1", search_of(b"/usr/share/x/a.key"))
    assert holds_marker(b"MC4CAQAwBQYDK2VwBCIEI", search_of(b"/srv/a.py"))
    assert search_of(b"/etc/a.conf").others
    assert not search_of(b"/etc/a.js").others


@pytest.mark.parametrize(
    "directory",
    [
        b"/srv/build/versions/3.11.7/lib/python3.11/email",
        b"/srv/app/venv/lib64/python3.12/site-packages/x",
        b"/srv/app/node_modules/x",
        b"/srv/go/pkg/mod/x@v1",
        b"/srv/.rustup/toolchains/stable/share/doc/rust/html",
    ],
)
def test_what_a_package_manager_unpacked_is_of_programs_wherever_it_lies(directory: bytes) -> None:
    for name in (b"/a.py", b"/a.txt", b"/a.key"):
        assert search_of(directory + name) == search_of(b"/usr/share/x" + name)
    assert holds_marker(LONG, search_of(b"/srv/site-packages.py"))


def test_short_words_that_chance_to_look_alike_are_no_alarm() -> None:
    assert not holds_marker(b"the MII of a card")
    for text in (
        b"AAAA",
        b"PublicKey=",
        b"KeyValue>",
        b"BEGIN SSH",
        b"Tekton",
        b"C++7Q",
        b"MHMMCAQ",
    ):
        assert not holds_marker(text)
    assert holds_marker(b"MIJ7AgEDMIJ7PQYJKoZIhvcNAQcB")
    assert holds_marker(b"Whxqht+dQJax1aZeCGLxmiAAAAAB")
