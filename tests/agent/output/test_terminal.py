from __future__ import annotations

import io

import pytest

from keycensus_agent.output.terminal import ProgressLine, wants_colour, width_of


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_has_neither_width_nor_colour_nor_progress() -> None:
    stream = io.StringIO()
    assert width_of(stream) == 0
    assert not wants_colour(stream)
    progress = ProgressLine(stream, lambda: 0.0)
    progress.show(1, 2, 3)
    progress.clear()
    assert stream.getvalue() == ""


def test_colour_is_for_terminals_that_can_and_people_who_like_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())


def test_the_width_is_the_terminals_but_never_absurd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "132")
    assert width_of(Terminal()) == 132
    monkeypatch.setenv("COLUMNS", "5")
    assert width_of(Terminal()) == 60


def test_progress_is_shown_five_times_a_second_and_taken_away() -> None:
    stream, times = Terminal(), iter([0.0, 0.1, 0.25])
    progress = ProgressLine(stream, lambda: next(times))
    progress.show(1, 10, 0)
    progress.show(2, 20, 0)
    progress.show(1234, 5678, 9)
    progress.clear()
    progress.clear()
    assert stream.getvalue() == (
        "\r\x1b[K1 directories, 10 files, 0 found"
        "\r\x1b[K1,234 directories, 5,678 files, 9 found\r\x1b[K"
    )
