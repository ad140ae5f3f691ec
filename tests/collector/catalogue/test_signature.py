"""Who signed whom, in process."""

from __future__ import annotations

import pytest
from fakes.pki import issue

from keycensus_collector.catalogue.child import read_blob
from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.parse import CERTIFICATE
from keycensus_collector.catalogue.signature import is_issued_by

ROOT = issue("Root", is_ca=True)
LEAF = issue("leaf", issuer=ROOT)


def test_verdicts_are_yes_no_and_not_to_be_told() -> None:
    assert is_issued_by(LEAF.der, ROOT.der) is True
    assert is_issued_by(LEAF.der, issue("Root", is_ca=True).der) is False
    assert is_issued_by(ROOT.der, LEAF.der) is None
    assert is_issued_by(b"", ROOT.der) is None


def test_running_out_of_memory_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr("cryptography.x509.load_der_x509_certificate", fail)
    with pytest.raises(MemoryError):
        is_issued_by(LEAF.der, ROOT.der)


def test_a_certificate_under_its_own_name_is_self_signed_unless_the_signature_says_no() -> None:
    for issued, expected in ((ROOT, True), (LEAF, False)):
        facts = read_blob(CERTIFICATE, issued.der)
        assert isinstance(facts, CertificateFacts)
        assert facts.self_signed is expected
