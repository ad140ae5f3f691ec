"""No key is invented in files that hold none: every format of text is asked of the Python library's own."""

from __future__ import annotations

import base64
import os
import random
import sysconfig
from pathlib import Path

from keycensus_agent.model import EntryKind
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint

KEYS = {
    EntryKind.EXTERNAL_KEY,
    EntryKind.OPAQUE_KEY,
    EntryKind.PRIVATE_KEY,
    EntryKind.SEALED_CONTAINER,
    EntryKind.SEALED_KEY,
}
FILES_LIMIT = 400


def _keys(data: bytes, name: str) -> list[EntryKind]:
    return [entry.kind for entry in parse(data, Hint(name.encode())).entries if entry.kind in KEYS]


def _ordinary_files() -> list[Path]:
    """Return files of the library, whose tests are left out: those do hold keys."""
    library = Path(sysconfig.get_path("stdlib"))
    return [
        path
        for path in sorted(library.rglob("*"))
        if path.is_file() and not {"test", "tests", "site-packages"} & set(path.parts)
    ][:FILES_LIMIT]


def test_the_python_library_holds_no_key() -> None:
    files = _ordinary_files()
    assert len(files) > 300
    assert [path for path in files if _keys(path.read_bytes(), os.fspath(path))] == []


def test_base64_that_starts_as_keys_do_is_no_key() -> None:
    chance = random.Random(5)  # noqa: S311 - the same noise each time, and no secret
    starts = (
        b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        b"MIIEpAIBAAKCAQEA",
        b"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w",
        b"MHcCAQEEI",
        b"MC4CAQAwBQYDK2",
        b"MIIDdzCCAl+gAwIBAgIE",
        b"MIIJ2QIBAzCCCZ8GCSqGSIb3",
        b"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
        b"AGE-SECRET-KEY-1",
    )
    for _ in range(200):
        text = b"value: " + chance.choice(starts) + base64.b64encode(chance.randbytes(2400))
        assert _keys(text, "values.yaml") == []
