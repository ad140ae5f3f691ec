from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import java_serialization
from keycensus_agent.parser.cursor import CutError

HEADER = b"\xac\xed\0\5"
OBJECTS = sorted((FILES.parent / "java").glob("*.ser"))


@pytest.mark.parametrize("file", OBJECTS, ids=lambda file: file.stem)
def test_whatever_java_serializes_is_passed_over_to_the_byte(file: Path) -> None:
    data = file.read_bytes()
    assert java_serialization.skip(data + b"behind", 0) == len(data)


def test_there_is_an_object_of_each_kind_and_a_long_string_is_passed_over_too() -> None:
    assert len(OBJECTS) == 9
    text = HEADER + b"|" + (70_000).to_bytes(8, "big") + b"x" * 70_000
    assert java_serialization.skip(text + b"behind", 0) == len(text)


def described(fields: bytes, flags: int = 2, *, name: bytes = b"A", parent: bytes = b"p") -> bytes:
    head = b"r" + len(name).to_bytes(2, "big") + name + bytes(8) + bytes([flags])
    return head + fields + b"x" + parent


def test_a_class_that_says_nothing_of_its_objects_has_no_values() -> None:
    stream = HEADER + b"s" + described(b"\0\0", flags=0)
    assert java_serialization.skip(stream + b"behind", 0) == len(stream)


@pytest.mark.parametrize(
    "stream",
    [
        b"no header",
        HEADER + b"y",
        HEADER + b"s" + described(b"\0\1Q\0\1q"),
        HEADER + b"sq\0\x7e\0\5",
        HEADER + b"sq\0\0\0\0",
        HEADER + b"st\0\0",
        HEADER + b"s" + described(b"\0\0", flags=4),
        HEADER + b"u" + described(b"\0\0", name=b"[I") + b"\xff\xff\xff\xff",
        HEADER + b"u" + described(b"\0\0", name=b"[L") + b"\0\0\xff\xff" + b"p" * 20_000,
        HEADER + b"s" + described(b"\0\0", parent=b"q\0\x7e\0\0"),
        HEADER + (b"u" + described(b"\0\0", name=b"[[") + b"\0\0\0\1") * 50,
        HEADER + b"s" + b"r\0\1A" + bytes(8) + b"\2\0\0x" * 1 + b"r\0\1A" * 50,
    ],
)
def test_what_is_no_object_is_refused_in_bounded_steps(stream: bytes) -> None:
    with pytest.raises(CutError):
        java_serialization.skip(stream, 0)
