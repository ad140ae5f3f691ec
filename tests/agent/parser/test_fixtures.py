"""Every form that real tools write, read as the golden says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fixtures.build_fixtures import CATALOGUE, FILES, FIXTURES, GOLDEN, what_they_hold

GOLDENS: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def held() -> dict[str, object]:
    return what_they_hold()


@pytest.mark.parametrize("name", GOLDENS)
def test_a_fixture_holds_what_the_golden_says(name: str, held: dict[str, object]) -> None:
    assert held[name] == GOLDENS[name]


def test_every_file_is_in_the_table_and_the_catalogue() -> None:
    catalogue = CATALOGUE.read_text(encoding="utf-8")
    assert {file.name for file in FILES.iterdir()} == {fixture.name for fixture in FIXTURES}
    assert all(f"\n| {fixture.name} | " in catalogue for fixture in FIXTURES)


def test_one_key_has_one_identity_in_every_form_that_holds_it() -> None:
    same_key = (
        "sec1.pem",
        "sec1-compressed.pem",
        "sec1.der",
        "pkcs8.der",
        "public.pem",
        "public.der",
        "encrypted.pem with its password",
        "scrypt.pem with its password",
        "encrypted.p8 with its password",
        "locked.p12 with its password",
        "legacy.pfx with its password",
        "keytool.p12 with its password",
        "keystore.jks with its password",
        "empty-password.p12",
    )
    keys = {
        entry["artifact"]
        for name in same_key
        for entry in GOLDENS[name]["entries"]
        if entry["kind"].endswith("-key")
    }
    certificate = GOLDENS["certificate.pem"]["details"][0]
    assert keys == {certificate["key_id"]}


def test_a_sealed_key_has_one_identity_in_pem_and_der_of_the_same_ciphertext() -> None:
    sealed = GOLDENS["encrypted.pem"]["entries"][0]
    assert sealed["kind"] == "sealed-key"
    assert sealed["artifact"] != GOLDENS["scrypt.pem"]["entries"][0]["artifact"]
