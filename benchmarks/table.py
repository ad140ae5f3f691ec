"""What a measurement gets and gives: settings, rows of the table, figures for the charts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Cost
from benchmarks.plot import Bars, Chart

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is compared with `budget`; `at_least` turns the comparison.

    Without a budget it is there to be compared with, and always holds.
    """

    what: str
    ours: str
    reference: str
    ratio: float
    budget: float | None
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the budget is kept."""
        if self.budget is None:
            return True
        return self.ratio >= self.budget if self.at_least else self.ratio <= self.budget

    def line(self) -> str:
        """Return the row in Markdown."""
        cells = [self.what, self.ours, self.reference, f"{self.ratio:.2f}"]
        if self.budget is None:
            return f"| {' | '.join(cells)} | | |"
        sign = "≥" if self.at_least else "≤"
        verdict = "holds" if self.holds else "**missed**"
        return f"| {' | '.join(cells)} | {sign} {self.budget:g} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement gets: where to look, how often, where to keep its files, what to draw."""

    root: Path
    rounds: int
    scratch: Path
    idle_seconds: float = 600.0
    changes: int = 30
    charts: list[Chart | Bars] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """The compiled C program."""
        return str(self.scratch / "reference")


def shares(rows: Sequence[Row]) -> Bars:
    """Return how much of its budget each row takes, for a chart; rows without one are left out."""
    values = []
    for row in rows:
        # A budget of nothing can't be divided: what is nothing takes nothing of it.
        if row.budget and row.ratio:
            share = row.budget / row.ratio if row.at_least else row.ratio / row.budget
            values.append((row.what, share))
    return Bars("share of the budget that is used (the line: all of it)", values)


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def time_row(
    what: str,
    median: Callable[[list[Cost]], float],
    ours: list[Cost],
    reference: list[Cost],
    budget: float | None,
) -> Row:
    """Return the row of two medians in seconds."""
    a, b = median(ours), median(reference)
    return Row(what, f"{a:.3f} s", f"{b:.3f} s", a / b, budget)


def limit_row(what: str, value: float, limit: float, unit: str) -> Row:
    """Return the row of a figure whose budget is a number and not a ratio."""
    return Row(what, f"{value:.3g} {unit}", f"{limit:g} {unit}", value / limit, 1.0)
