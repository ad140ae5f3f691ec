"""The public corpus of odd files in cryptography-vectors: all certificates, no crash, no silence."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from fakes.filtered_parser import behind_the_filter

from keycensus_agent.model import EntryKind, Parsed, Status
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint
from keycensus_agent.parser.triage import Triage, holds_marker, triage

BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
CORPUS = Path(cryptography_vectors.__file__).parent


def _files() -> Iterator[Path]:
    return (path for path in sorted(CORPUS.rglob("*")) if path.is_file())


@pytest.fixture(scope="module")
def parsed() -> dict[Path, Parsed]:
    """Parse each file on the way that the reader takes."""
    results: dict[Path, Parsed] = {}
    for path in _files():
        data = path.read_bytes()
        verdict = triage(data[:4096], len(data))
        if verdict is Triage.CANDIDATE or (verdict is Triage.TEXT and holds_marker(data)):
            results[path] = parse(data, Hint(path.name.encode()), details=True)
    return results


def _certificates(parsed: Parsed | None) -> set[bytes]:
    entries = parsed.entries if parsed else ()
    return {entry.artifact for entry in entries if entry.kind is EntryKind.CERTIFICATE}


def test_every_certificate_that_a_plain_decode_of_pem_blocks_finds_is_reported(
    parsed: dict[Path, Parsed],
) -> None:
    missed: list[Path] = []
    seen = 0
    for path in _files():
        for body in BLOCK.findall(path.read_bytes()):
            try:
                data = base64.b64decode(body)
            except binascii.Error:
                continue
            seen += 1
            if hashlib.sha256(data).digest() not in _certificates(parsed.get(path)):
                missed.append(path)
    assert not missed
    assert seen > 100


def test_every_certificate_in_der_is_reported(parsed: dict[Path, Parsed]) -> None:
    missed: list[Path] = []
    seen = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in _files():
            data = path.read_bytes()
            try:
                x509.load_der_x509_certificate(data)
            except (ValueError, x509.InvalidVersion):
                continue
            seen += 1
            if hashlib.sha256(data).digest() not in _certificates(parsed.get(path)):
                missed.append(path)
    assert not missed
    assert seen > 400


@pytest.mark.slow
def test_the_corpus_is_read_the_same_behind_the_filter(parsed: dict[Path, Parsed]) -> None:
    found = behind_the_filter(parsed)
    assert len(parsed) > 500
    assert [path for path in parsed if found[path] != parsed[path]] == []


def test_every_refused_file_has_a_status_and_a_reason(parsed: dict[Path, Parsed]) -> None:
    refused = [result for result in parsed.values() if result.status is not Status.READ]
    assert len(refused) > 400
    assert all(result.reason and result.format for result in refused)
    assert not [result for result in parsed.values() if result.reason.startswith("error-")]


def test_the_details_of_every_whole_certificate_agree_with_the_library(
    parsed: dict[Path, Parsed],
) -> None:
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for result in parsed.values():
            blobs = {blob.hash: blob.data for blob in result.blobs}
            for detail in result.details:
                try:
                    certificate = x509.load_der_x509_certificate(blobs[detail.sha256])
                    not_after = certificate.not_valid_after_utc
                    serial = certificate.serial_number
                except (ValueError, x509.InvalidVersion):
                    continue
                compared += 1
                assert detail.serial == f"{serial:x}"
                assert detail.not_after == not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert compared > 500
