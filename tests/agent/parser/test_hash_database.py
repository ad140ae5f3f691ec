from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.hash_database import is_hash_database, pairs

DATABASE = (FILES / "key3.db").read_bytes()


def page(*numbers: int, size: int = 512, body: bytes = b"") -> bytes:
    head = b"".join(number.to_bytes(2, "big") for number in numbers)
    return head + body.rjust(size - len(head), b"\0")


def database(*pages: bytes) -> bytes:
    numbers = (0x61561, 2, 4321, 512)
    head = b"".join(number.to_bytes(4, "big") for number in numbers)
    return head.ljust(512, b"\0") + b"".join(pages)


def test_the_pairs_of_a_real_one_are_read() -> None:
    assert is_hash_database(DATABASE)
    assert {b"Version", b"global-salt", b"password-check"} <= {key for key, _ in pairs(DATABASE)}


@pytest.mark.parametrize("at", [0, 7, 11, 15])
def test_a_header_with_other_numbers_is_no_database(at: int) -> None:
    assert not is_hash_database(DATABASE[:at] + b"\x07" + DATABASE[at + 1 :])
    assert not is_hash_database(DATABASE[:at])


def test_either_order_of_bytes_is_read() -> None:
    data = database(page(2, 509, 507, body=b"vvkey"))
    assert is_hash_database(data)
    assert list(pairs(data)) == [(b"key", b"vv")]


@pytest.mark.parametrize(
    "odd",
    [
        page(3, 509, 507, 500),
        page(300),
        page(2, 507, 509, body=b"vvkey"),
        page(2, 600, 500),
        page(2, 509, 0),
        b"\0",
    ],
)
def test_pages_of_nonsense_are_passed_over(odd: bytes) -> None:
    good = page(2, 509, 507, body=b"vvkey")
    assert list(pairs(database(odd.ljust(512, b"\0"), good))) == [(b"key", b"vv")]
