from __future__ import annotations

import hashlib

from keycensus_agent.model import BlobKind, Entry, EntryKind
from keycensus_agent.parser.convert import encode_manifest, public_blobs
from keycensus_agent.parser.findings import Found, certificate
from keycensus_proto.v1 import manifest_pb2


def entries(count: int, member: bytes = b"") -> list[Entry]:
    return [
        Entry(EntryKind.CERTIFICATE, hashlib.sha256(b"%d" % index).digest(), member=member, size=1)
        for index in range(count)
    ]


def decoded(data: bytes) -> manifest_pb2.Manifest:
    return manifest_pb2.Manifest.FromString(data)


def test_no_entries_have_no_manifest() -> None:
    assert encode_manifest("pem", []) == (b"", ())


def test_a_manifest_says_every_field_and_is_named_by_its_hash() -> None:
    entry = Entry(
        EntryKind.PRIVATE_KEY, b"k" * 32, b"alias", "ec", 256, "secp256r1", encrypted=True, size=3
    )
    root, (blob,) = encode_manifest("jks", [entry])
    assert root == blob.hash == hashlib.sha256(blob.data).digest()
    (got,) = decoded(blob.data).entries
    assert (got.kind, got.artifact, got.member) == ("private-key", b"k" * 32, b"alias")
    assert (got.algorithm, got.bits, got.curve) == ("ec", 256, "secp256r1")
    assert (got.encrypted, got.size) == (True, 3)


def test_equal_findings_give_equal_bytes() -> None:
    assert encode_manifest("pem", entries(50)) == encode_manifest("pem", entries(50))


def test_many_entries_become_parts_in_order() -> None:
    wanted = entries(9000)
    root, blobs = encode_manifest("pem", wanted)
    stored = {blob.hash: blob.data for blob in blobs}
    top = decoded(stored[root])
    parts = [decoded(stored[part]) for part in top.parts]
    assert not top.entries
    assert [len(part.entries) for part in parts] == [4096, 4096, 808]
    assert [entry.artifact for part in parts for entry in part.entries] == [
        entry.artifact for entry in wanted
    ]


def test_long_entries_become_parts_under_the_limit_of_bytes() -> None:
    root, blobs = encode_manifest("jks", entries(300, b"m" * 4096))
    assert len(blobs) == 4
    assert all(len(blob.data) <= 512 * 1024 for blob in blobs)
    assert blobs[0].hash == root


def test_equal_parts_are_sent_once() -> None:
    _, blobs = encode_manifest("pem", [entries(1)[0]] * 8192)
    assert len(blobs) == 2


def test_artifacts_over_the_cap_are_named_and_not_sent() -> None:
    over = certificate(bytes(256 * 1024 + 1))
    under = certificate(bytes(256 * 1024))
    assert over.entry.size == 256 * 1024 + 1
    (blob,) = public_blobs([over, under, under, Found(Entry(EntryKind.OPAQUE_KEY))])
    assert (blob.kind, blob.hash) == (BlobKind.CERTIFICATE, under.entry.artifact)
