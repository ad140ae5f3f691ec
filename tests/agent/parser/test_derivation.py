from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.parser import libcrypto
from keycensus_agent.parser.derivation import IterationBudget, LimitError, Pkcs12Derivation

DIGESTS = ("sha1", "sha224", "sha256", "sha384", "sha512")


def derivation(digest: str, secret: bytes = b"\0a\0\0", salt: bytes = b"salt") -> Pkcs12Derivation:
    return Pkcs12Derivation(secret, salt, 3, IterationBudget(), digest)


@given(
    digest=st.sampled_from(DIGESTS),
    secret=st.binary(max_size=300),
    salt=st.binary(max_size=200),
    purpose=st.integers(1, 3),
    size=st.integers(1, 150),
)
def test_openssl_derives_what_appendix_b_says(
    digest: str, secret: bytes, salt: bytes, purpose: int, size: int
) -> None:
    """Two ways that know nothing of each other: OpenSSL's, and what is computed where that is not there."""
    derive = derivation(digest, secret, salt)
    assert libcrypto._LIBRARY is not None
    assert derive(purpose, size) == derive._computed(purpose, size)


@pytest.mark.parametrize("digest", DIGESTS)
def test_without_openssl_the_same_is_derived(digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = derivation(digest)(1, 100)
    monkeypatch.setattr(libcrypto, "_LIBRARY", None)
    assert derivation(digest)(1, 100) == expected


def test_what_openssl_could_not_count_is_none_of_its() -> None:
    for iterations in (0, 1 << 31):
        assert (
            libcrypto.derived(b"", b"s", purpose=1, iterations=iterations, size=8, digest="sha1")
            is None
        )


def test_work_is_counted_before_it_is_done() -> None:
    budget = IterationBudget(5000)
    Pkcs12Derivation(b"", b"s", 2000, budget)(1, 40)
    with pytest.raises(LimitError):
        Pkcs12Derivation(b"", b"s", 2000, budget)(1, 8)
