from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import cryptography_vectors
import pytest
from fakes.certificates import Leaf

from keycensus_agent.known_keys import known_key
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint

LIST = resources.files("keycensus_agent").joinpath("known_keys.txt").read_text("utf-8")


def test_the_list_is_in_order_each_key_once_and_says_where_it_comes_from() -> None:
    lines = [line for line in LIST.splitlines() if not line.startswith("#")]
    assert len(lines) > 1000
    assert lines == sorted(lines)
    assert len({line[:64] for line in lines}) == len(lines)
    assert all(re.fullmatch(r"[0-9a-f]{64} \S+ \d[^ ,]*, \S.*", line) for line in lines)


def test_it_names_no_directory_of_the_machine_that_made_it() -> None:
    assert not re.search(r", /|/tmp/|/home/|/root/", LIST)


@pytest.mark.parametrize(
    "name", ["asymmetric/PKCS8/unenc-rsa-pkcs8.pem", "asymmetric/Traditional_OpenSSL_Serialization/testrsa.pem"]
)  # fmt: skip
def test_a_published_key_is_known_and_a_fresh_one_is_not(name: str) -> None:
    file = Path(cryptography_vectors.__file__).parent / name
    parsed = parse(file.read_bytes(), Hint(b"x.pem"), details=False)
    (entry,) = parsed.entries
    assert known_key(entry.artifact)
    fresh = parse(Leaf("a.example").key_pem, Hint(b"x.pem"), details=False)
    assert known_key(fresh.entries[0].artifact) == ""
    assert known_key(b"") == ""
