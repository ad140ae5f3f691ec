from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from fakes.collector_stub import ThrowAwayAuthority

from keycensus_agent.errors import LinkError
from keycensus_agent.link.certificate import (
    agent_uri,
    check_issued,
    find_pinned,
    key_from_pem,
    key_to_pem,
    new_key,
    signing_request,
    spki_pin,
)

URI = agent_uri("test", "6f0b1c1e-0000-4000-8000-000000000001")
ROOT = ThrowAwayAuthority()
KEY = new_key()
DER = serialization.Encoding.DER


def issued(
    *, uri: str = URI, client: bool = True, ca: bool = False, root: ThrowAwayAuthority = ROOT
) -> bytes:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    certificate = root.issue(KEY.public_key(), names, client=client, ca=ca)
    return certificate.public_bytes(DER)


def test_a_certificate_as_ordered_is_taken() -> None:
    check_issued([issued()], [ROOT.der], KEY, URI)
    check_issued([issued(), ROOT.der], [ROOT.der], KEY, URI)


@pytest.mark.parametrize(
    ("chain", "says"),
    [
        ([], "a chain of 0"),
        ([b"rubbish"], "not fit"),
        ([issued()] * 11, "a chain of 11"),
        ([issued(uri=URI + "2")], "names another agent"),
        ([issued(client=False)], "not for client authentication"),
        ([issued(ca=True)], "an authority's"),
        ([ROOT.der], "another key"),
        ([issued(), issued()], "issuer is no authority"),
        ([issued(), ThrowAwayAuthority().der], "signature"),
        ([issued(root=ThrowAwayAuthority())], "no trust anchor"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_stored(chain: list[bytes], says: str) -> None:
    with pytest.raises(LinkError, match=says) as caught:
        check_issued(chain, [ThrowAwayAuthority("other").der, ROOT.der], KEY, URI)
    assert caught.value.reason == "protocol"


def test_a_certificate_without_name_and_usage_is_refused() -> None:
    bare = ThrowAwayAuthority("bare", key=KEY)
    with pytest.raises(LinkError, match="lacks its name"):
        check_issued([bare.der], [bare.der], KEY, URI)


def test_the_pinned_certificate_is_found_among_rubbish() -> None:
    assert find_pinned([b"rubbish", issued(), ROOT.der], ROOT.pin) == ROOT.der
    assert find_pinned([b"rubbish", issued()], ROOT.pin) is None
    assert spki_pin(ROOT.der) == ROOT.pin


def test_a_pin_beyond_the_longest_chain_is_not_looked_for() -> None:
    assert find_pinned([issued()] * 10 + [ROOT.der], ROOT.pin) is None


def test_keys_come_back_from_pem_and_other_kinds_are_refused() -> None:
    assert key_from_pem(key_to_pem(KEY)).public_key() == KEY.public_key()
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ValueError, match="elliptic-curve"):
        key_from_pem(pem)


def test_a_signing_request_proves_its_key() -> None:
    request = x509.load_der_x509_csr(signing_request(KEY))
    assert request.is_signature_valid
    assert request.public_key() == KEY.public_key()
