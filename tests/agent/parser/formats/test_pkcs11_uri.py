from __future__ import annotations

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

FILE = (FILES / "nginx-pkcs11.conf").read_bytes()


def _locations(text: bytes) -> list[str]:
    return [item.entry.location for item in read("pkcs11-uri", text).found]


def test_the_key_is_external_with_its_place_and_without_the_pin() -> None:
    (found,) = read("pkcs11-uri", FILE).found
    assert (found.entry.kind, found.entry.reason) == ("external-key", "pkcs11-uri")
    assert found.entry.location == "pkcs11:token=prod;object=www%20key;type=private"


@pytest.mark.parametrize(
    "uri",
    [
        b"pkcs11:object=k?pin-value=5521",
        b"pkcs11:object=k;pin-value=5521",
        b"pkcs11:object=k;pin-value=5521;x=5521",
        b"pkcs11:object=k&pin-value=5521",
        b"pkcs11:object=k,pin-value=5521",
        b"pkcs11:object=kpin-value=5521",
        b"pkcs11:pin-value=5521;object=k",
        b"PKCS11='pkcs11:object=k?pin-source=5521'",
        b'pkcs11:object=k"5521',
    ],
)
def test_no_way_to_write_a_pin_lets_it_out(uri: bytes) -> None:
    assert _locations(uri) == ["pkcs11:object=k"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"pkcs11:",
        b"pkcs11:token=t",
        b"pkcs11:object=k;type=cert",
        b"# key = pkcs11:object=k",
        b"  ; pkcs11:object=k",
        b"xpkcs11:object=k",
    ],
)
def test_what_names_no_key_and_what_is_commented_out_are_none(text: bytes) -> None:
    assert _locations(text) == []


def test_a_key_that_is_named_twice_is_one_entry() -> None:
    text = b"a=pkcs11:id=%01;token=t\nb=pkcs11:id=%01;token=t?pin-value=1\nc=pkcs11:id=%02;token=t"
    assert len(_locations(text)) == 2


def test_more_than_any_file_names_is_told() -> None:
    text = b"".join(b"pkcs11:object=k%d\n" % number for number in range(1030))
    result = read("pkcs11-uri", text)
    assert (len(kinds(result)), result.reason) == (1024, "limit-values")
