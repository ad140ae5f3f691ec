from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.parser import der
from keycensus_agent.parser.database import read_tables
from keycensus_agent.parser.nss_password import opens

PLAIN = b"password-check\2\2"


def checks(name: str) -> tuple[bytes, bytes]:
    table = read_tables((FILES / name).read_bytes(), {"metaData": ("id", "item1", "item2")})
    (row,) = [row for row in table["metaData"].rows if row["id"] == b"password"]
    return row["item1"], row["item2"]


@pytest.mark.parametrize(("name", "password"), [("key4.db", PASSWORD), ("key4-open.db", "")])
def test_what_nss_wrote_opens_with_its_password_only(name: str, password: str) -> None:
    salt, check = checks(name)
    assert opens(salt, check, password)
    assert not opens(salt, check, "wrong")


def test_triple_des_as_before_2018_is_known_too() -> None:
    """Written down a second time, from the description."""
    salt, entry = b"global", b"entry salt"
    hashed = hashlib.sha1(salt).digest()  # noqa: S324 - the format's hash
    mixed = hashlib.sha1(hashed + entry).digest()  # noqa: S324 - the format's hash
    padded = entry + bytes(20 - len(entry))
    first = hmac.new(mixed, padded + entry, "sha1").digest()
    middle = hmac.new(mixed, padded, "sha1").digest()
    key = first + hmac.new(mixed, middle + entry, "sha1").digest()
    encryptor = Cipher(TripleDES(key[:24]), modes.CBC(key[-8:])).encryptor()
    sealed = encryptor.update(PLAIN) + encryptor.finalize()
    parameters = der.encode(der.SEQUENCE, der.encode(4, entry), der.encode_integer(1))
    scheme = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.12.5.1.3"), parameters)
    check = der.encode(der.SEQUENCE, scheme, der.encode(4, sealed))
    assert opens(salt, check)
    assert not opens(salt, check, "x")


def test_an_initialisation_vector_of_the_full_length_is_taken_as_it_is() -> None:
    secret = hashlib.sha1(b"").digest()  # noqa: S324 - the format's hash
    key = hashlib.pbkdf2_hmac("sha1", secret, b"salt", 1, 32)
    encryptor = Cipher(AES(key), modes.CBC(bytes(16))).encryptor()
    sealed = encryptor.update(PLAIN) + encryptor.finalize()
    derivation = der.encode(
        der.SEQUENCE,
        der.encode_oid("1.2.840.113549.1.5.12"),
        der.encode(der.SEQUENCE, der.encode(4, b"salt"), der.encode_integer(1)),
    )
    encryption = der.encode(
        der.SEQUENCE, der.encode_oid("2.16.840.1.101.3.4.1.42"), der.encode(4, bytes(16))
    )
    parameters = der.encode(der.SEQUENCE, derivation, encryption)
    scheme = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.5.13"), parameters)
    assert opens(b"", der.encode(der.SEQUENCE, scheme, der.encode(4, sealed)))


@pytest.mark.parametrize(
    "check",
    [
        b"",
        b"\x30\0",
        der.encode(
            der.SEQUENCE,
            der.encode(der.SEQUENCE, der.encode_oid("1.2.3"), b"\x30\0"),
            der.encode(4, bytes(16)),
        ),
    ],
)
def test_where_nobody_can_tell_it_does_not_open(check: bytes) -> None:
    assert not opens(b"salt", check)
