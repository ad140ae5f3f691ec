"""Agent, collector and client each escape text themselves: in the same way, and nothing gets by."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable

import pytest

from keycensus_agent import text as agent_text
from keycensus_client import text as client_text
from keycensus_collector import text as collector_text

SAFE_TEXTS = [agent_text.safe_text, collector_text.safe_text, client_text.safe_text]
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize("safe_text", SAFE_TEXTS)
def test_each_character_is_shown_or_escaped_by_its_category(
    safe_text: Callable[[str], str],
) -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        shown = safe_text(character)
        if unicodedata.category(character) in UNSAFE or character == "\\":
            assert shown.startswith("\\"), hex(code)
            assert shown.isascii(), hex(code)
        else:
            assert shown == character, hex(code)


@pytest.mark.parametrize("safe_text", SAFE_TEXTS)
def test_one_unsafe_character_among_others_is_escaped(safe_text: Callable[[str], str]) -> None:
    assert safe_text("Főtanúsítvány \u202egnp.exe") == "Főtanúsítvány \\u202egnp.exe"
    assert safe_text("a\\x1b") == "a\\\\x1b"
    assert safe_text("a\x1b[31m") == "a\\x1b[31m"


def test_a_path_keeps_what_is_text_and_shows_the_bytes_that_are_none() -> None:
    assert agent_text.safe_path("/ő/\\".encode()) == "/ő/\\\\"
    assert agent_text.safe_path("/ő/".encode() + b"\xff\n") == "/ő/\\xff\\x0a"
