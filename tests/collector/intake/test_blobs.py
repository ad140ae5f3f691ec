"""What a blob must be to be stored: manifests of trees, whose names are a stranger's."""

from __future__ import annotations

import hashlib

import pytest

from keycensus_collector.intake.blobs import UnfitBlobError, check_blob
from keycensus_collector.intake.model import BlobKey, BlobKind, ReceivedBlob
from keycensus_proto.v1.manifest_pb2 import Manifest

PART = hashlib.sha256(b"part").digest()


def tree(*names: bytes, format_: str = "tree", part: bytes = PART) -> ReceivedBlob:
    message = Manifest(format=format_)
    for name in names:
        message.tree.add(name=name, manifest=part)
    return blob_of(message)


def blob_of(message: Manifest) -> ReceivedBlob:
    data = message.SerializeToString()
    key = BlobKey(BlobKind.MANIFEST.value, hashlib.sha256(data).digest())
    return ReceivedBlob(key, data)


def test_a_tree_has_names_and_their_manifests() -> None:
    checked = check_blob(tree(b"a\xff.pem", b"b.pem"))
    assert checked.manifest is not None
    assert checked.manifest.names == (b"a\xff.pem", b"b.pem")
    assert checked.manifest.parts == (PART, PART)
    assert checked.row_count == 4


@pytest.mark.parametrize(
    "names",
    [
        (b"b", b"a"),
        (b"a", b"a"),
        (b"",),
        (b".",),
        (b"..",),
        (b"a/b",),
        (b"a\0b",),
        (b"a" * 256,),
    ],
)
def test_names_that_no_directory_has_are_refused(names: tuple[bytes, ...]) -> None:
    with pytest.raises(UnfitBlobError, match="malformed"):
        check_blob(tree(*names))


def test_a_tree_says_that_it_is_one_and_nothing_else_does() -> None:
    for malformed in (tree(b"a", format_="pem"), tree()):
        with pytest.raises(UnfitBlobError, match="malformed"):
            check_blob(malformed)
    both = Manifest(format="tree", parts=[PART])
    both.tree.add(name=b"a", manifest=PART)
    for malformed in (blob_of(both), tree(b"a", part=b"short")):
        with pytest.raises(UnfitBlobError, match="malformed"):
            check_blob(malformed)


def test_a_tree_has_no_more_names_than_a_manifest_has_entries() -> None:
    names = [b"%05d" % number for number in range(4097)]
    check_blob(tree(*names[:-1]))
    with pytest.raises(UnfitBlobError, match="malformed"):
        check_blob(tree(*names))
