from __future__ import annotations

from keycensus_agent.output.grid import Cell, Column, fit, line, paint, shorten, shown_width

COLUMNS = (Column("A", keep=4), Column("LONG TITLE"), Column("C", keep=3))


def test_width_is_what_a_terminal_shows() -> None:
    assert shown_width("abc") == 3
    assert shown_width("日本") == 4
    assert shown_width("e\u0301") == 1


def test_text_is_shortened_where_something_is_missing() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcdef", 4, keep_end=True) == "…def"
    assert shorten("日本語", 4) == "日…"


def test_columns_give_way_the_widest_first() -> None:
    rows = [[Cell("a" * 20), Cell("b"), Cell("c" * 10)]]
    assert fit(COLUMNS, rows, 0) == [20, 10, 10]
    assert fit(COLUMNS, rows, 44) == [20, 10, 10]
    assert fit(COLUMNS, rows, 34) == [10, 10, 10]
    assert sum(fit(COLUMNS, rows, 30)) == 26
    assert fit(COLUMNS, rows, 5) == [4, 10, 3]


def test_a_line_is_padded_and_has_no_blanks_at_its_end() -> None:
    row = [Cell("abcdef"), Cell("x", "bad"), Cell("")]
    assert line(row, [4, 3, 3], colour=False) == "abc…  x"
    assert line(row, [4, 3, 3], colour=True) == "abc…  \x1b[31;1mx\x1b[0m"
    assert paint("", "bad", colour=True) == ""
