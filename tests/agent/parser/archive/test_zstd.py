"""Zstandard, which the running Python may lack: frames are told apart by our code either way."""

from __future__ import annotations

import struct
import sys
import types

import pytest

from keycensus_agent.parser.archive import compressed
from keycensus_agent.parser.archive.streams import BytesSource, Plain

FRAME = b"\x28\xb5\x2f\xfd" + b"data"


def begins(data: bytes) -> bool:
    return compressed._begin_zstd(Plain(BytesSource(data)))


def test_frames_that_carry_nothing_are_passed_over() -> None:
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"12345"
    assert begins(FRAME)
    assert begins(skipped * 3 + FRAME)
    assert not begins(skipped + b"none")
    assert not begins(struct.pack("<II", 0x184D2A50, 0) * 3000 + FRAME)
    assert not begins(struct.pack("<II", 0x184D2A53, 500) + FRAME)


def test_its_window_is_bounded_where_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("compression.zstd")
    parameter = types.SimpleNamespace(window_log_max="window")
    module.__dict__["DecompressionParameter"] = parameter
    module.__dict__["ZstdDecompressor"] = lambda options: options
    monkeypatch.setitem(sys.modules, "compression", types.ModuleType("compression"))
    monkeypatch.setitem(sys.modules, "compression.zstd", module)
    make = compressed._zstd()
    assert make is not None
    assert make() == {"window": 24}  # type: ignore[comparison-overlap]


def test_it_is_missing_where_python_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    assert compressed._zstd() is None
