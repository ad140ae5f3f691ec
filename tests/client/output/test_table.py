"""Tables to a pipe and to a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from keycensus_client.output.table import Cell, Column, Row, print_facts, print_table

COLUMNS = (Column("NAME", merge=True), Column("N", "right"), Column("PATH", fold=True))
ROWS: list[Row] = [("a", "1", "/x"), ("a", "10", Cell("[bold]:smile:", "red")), ("b", "2", "")]


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_to_a_pipe_columns_are_plain_whole_and_never_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(COLUMNS, ROWS, "title")
    assert capsys.readouterr().out == (
        "NAME   N  PATH\na      1  /x\na     10  [bold]:smile:\nb      2  -\n"
    )


def test_on_a_terminal_text_is_no_markup_and_repeats_are_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_table(COLUMNS, ROWS, "title")
    shown = terminal.getvalue()
    assert "[bold]:smile:" in shown
    assert "title" in shown
    assert next(line.split() for line in shown.splitlines() if "10" in line)[0] == "10"


def test_facts_are_aligned_and_keep_their_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: list[tuple[str, Cell | str]] = [
        ("name", "a\nb"),
        ("expired", Cell("1", "red")),
        ("empty", ""),
    ]
    print_facts(facts, "title")
    assert capsys.readouterr().out == ("title\n  name     a\n           b\n  expired  1\n  empty\n")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_facts(facts, "title")
    assert "\x1b[31m1\x1b[0m" in terminal.getvalue()
    before = terminal.getvalue()
    print_facts([])
    assert terminal.getvalue() == before
