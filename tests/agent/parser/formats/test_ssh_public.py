from __future__ import annotations

import base64

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

LINE = (FILES / "id_ed25519.pub").read_bytes().strip()
KEY = b" ".join(LINE.split()[:2])
ARMOUR = (FILES / "rfc4716.pub").read_bytes()


def _members(text: bytes) -> list[bytes]:
    return [item.entry.member for item in read("ssh-public-key", text).found]


def test_authorized_keys_are_public_keys_named_by_their_comment() -> None:
    result = read("ssh-public-key", (FILES / "authorized_keys").read_bytes())
    assert kinds(result) == ["public-key"] * 3
    assert result.found[0].entry.member == b"ops@example.com"


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        b"  " + LINE,
        b"  - " + LINE,
        b'"' + LINE + b'"',
        b"ssh_key: " + LINE,
        b"keys=[" + LINE,
        b'from="10.0.0.1" ' + LINE,
        b"no-pty,restrict " + LINE,
        b"cert-authority " + LINE,
        b"first line\r" + LINE,
    ],
)
def test_keys_of_users_and_in_configuration_are_found(text: bytes) -> None:
    assert kinds(read("ssh-public-key", text)) == ["public-key"]


@pytest.mark.parametrize(
    "text",
    [
        b"github.example " + KEY,
        b"[h]:22 " + KEY,
        b"|1|cGVwcGVy=|cGVwcGVy= " + KEY,
        b"@cert-authority *.example.com " + KEY,
        b"# " + KEY,
        b"ssh-rsa " + KEY.split()[1],
        b"AAAA " + KEY.split()[1],
        KEY[:-30],
        KEY.replace(b"AAAAC3", b"AAAAC4"),
        b"ssh-ed25519 AAAAD3NzaC1lZDI1NTE5AAAAIAAAA",
        b"ssh-other AAAACXNzaC1vdGhlcgAAAAAAAAAA",
    ],
)
def test_keys_of_other_hosts_and_what_is_none_are_passed_over(text: bytes) -> None:
    assert kinds(read("ssh-public-key", text)) == []


def test_a_file_of_known_hosts_is_passed_over_whatever_its_lines() -> None:
    assert not read("ssh-public-key", LINE, file=b"/root/.ssh/known_hosts.old").found


def test_a_certificate_says_what_it_is() -> None:
    (found,) = read("ssh-public-key", (FILES / "id_ed25519-cert.pub").read_bytes()).found
    assert (found.entry.kind, found.entry.reason) == ("public-key", "ssh-certificate")


def test_a_key_in_a_token_has_its_public_half_too() -> None:
    raw = base64.b64decode(KEY.split()[1])[-32:]
    parts = (b"sk-ssh-ed25519@openssh.com", raw, b"ssh:")
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    (found,) = read("ssh-public-key", parts[0] + b" " + base64.b64encode(blob) + b" c").found
    (plain,) = read("ssh-public-key", LINE).found
    assert (found.public, found.entry.member) == (plain.public, b"c")


def test_the_armour_of_rfc_4716_is_read_with_and_without_headers() -> None:
    assert _members(ARMOUR) == [b"256-bit ED25519, converted from OpenSSH"]
    lines = ARMOUR.split(b"\n")
    assert _members(b"\n".join(lines[:1] + lines[2:])) == [b""]
    folded = b"\n".join([lines[0], b"Subject: me", b"X-Long: a\\", b"b", *lines[2:]])
    assert _members(folded.replace(b"\n", b"\r\n")) == [b""]


def test_damaged_armour_is_told_and_a_mention_is_not() -> None:
    assert read("ssh-public-key", ARMOUR.replace(b"AAAA", b"A", 1)).reason == "malformed-public-key"
    assert (
        read("ssh-public-key", ARMOUR.replace(b"AAAA", b"////", 1)).reason == "malformed-public-key"
    )
    assert read("ssh-public-key", b"---- BEGIN SSH2 PUBLIC KEY ----").reason == ""
    written = b'puts("---- BEGIN SSH2 PUBLIC KEY ----"); puts("---- END SSH2 PUBLIC KEY ----");'
    assert read("ssh-public-key", written).reason == ""


@pytest.mark.parametrize(
    ("kind", "cipher", "expected"),
    [
        (b"if-modn{sign{rsa-pkcs1-sha1}}", b"none", ("opaque-key", "rsa")),
        (b"dl-modp{sign{dsa-nist-sha1}}", b"none", ("opaque-key", "dsa")),
        (b"other", b"none", ("opaque-key", "")),
        (b"if-modn{sign{rsa-pkcs1-sha1}}", b"3des-cbc", ("sealed-key", "")),
    ],
)
def test_a_private_key_of_ssh_com_is_named(
    kind: bytes, cipher: bytes, expected: tuple[str, str]
) -> None:
    parts = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, cipher, b"x" * 64))
    data = b"\x3f\x6f\xf9\xeb" + (len(parts) + 8).to_bytes(4, "big") + parts
    label = b"SSH2 ENCRYPTED PRIVATE KEY"
    text = b"---- BEGIN %b ----\nComment: c\n%b---- END %b ----\n"
    (found,) = read("ssh-public-key", text % (label, base64.encodebytes(data), label)).found
    assert (found.entry.kind, found.entry.algorithm) == expected
    assert found.entry.member == b"c"
    for body in (b"A", base64.encodebytes(b"x" * 64)):
        assert read("ssh-public-key", text % (label, body, label)).reason == "malformed-public-key"
