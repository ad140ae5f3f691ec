from __future__ import annotations

import pytest

from keycensus_agent.parser.s_expression import Expression, ExpressionError, read_expression


@pytest.mark.parametrize(
    ("data", "expression"),
    [
        (b"(3:rsa(1:n2:\x00()))", [b"rsa", [b"n", b"\0("]]),
        (b' ( rsa (n #00 0A\n FF#) "a b" )rest', [b"rsa", [b"n", b"\0\n\xff"], b"a b"]),
        (b"()", []),
        (b"(NIST-P.256 #  #)", [b"NIST-P.256", b""]),
    ],
)
def test_canonical_and_readable_forms_are_read(data: bytes, expression: Expression) -> None:
    assert read_expression(data) == expression


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"a", b")", b"(", b"(a", b"(9:short)", b"(#0#)", b"(#xx#)", b"(\0)", b"(" * 50),
        b"(" + b"a " * 20_000 + b")",
    ],
)
def test_what_is_none_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(ExpressionError):
        read_expression(data)
