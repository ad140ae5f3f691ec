"""A small SVG of lines and bars: enough to see a slope, a spread or a budget, without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 720, 150, 70, 24, 30
# Of bars: their height, the room for their labels, and how much of what is allowed is shown.
_BAR, _LABELS, _LONGEST = 18, 250, 1.5
_FONT = 'font-family="sans-serif" font-size="11"'
_COLOURS = ("#1f6fb4", "#c8541b", "#2a8a4a", "#7a4fb0")


@dataclass(frozen=True, slots=True)
class Line:
    """One row of values over the chart's moments."""

    label: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines that share an axis from 0; `moments` are in the unit that `axis` names."""

    title: str
    axis: str
    moments: Sequence[float]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each label, its value a share of what is allowed: 1 is all of it, and has a line."""

    title: str
    values: Sequence[tuple[str, float]]


def svg(heading: str, charts: Sequence[Chart | Bars]) -> str:
    """Return the charts below one another as an SVG document."""
    tops = [30.0]
    for each in charts:
        tops.append(tops[-1] + _height(each) + _GAP)
    width, height = _LEFT + _WIDTH + 20, tops[-1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {_FONT}>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(heading)}</text>',
    ]
    for chart, top in zip(charts, tops, strict=False):
        parts += _drawn(chart, top) if isinstance(chart, Chart) else _drawn_bars(chart, top)
    return "\n".join([*parts, "</svg>\n"])


def _height(chart: Chart | Bars) -> float:
    return _TOP + (_HEIGHT if isinstance(chart, Chart) else _BAR * len(chart.values))


def _drawn_bars(chart: Bars, top: float) -> list[str]:
    """Draw bars from the left; one that is longer than the picture is cut, its number says how long."""
    begin, end = _LEFT + _LABELS, _LEFT + _WIDTH - 60
    whole = (end - begin) / _LONGEST
    base = top + _height(chart)
    parts = [f'<text x="{_LEFT}" y="{top + 14}">{escape(chart.title)}</text>']
    for index, (label, value) in enumerate(chart.values):
        y = top + _TOP + _BAR * index
        length = min(value, _LONGEST) * whole
        colour = _COLOURS[0] if value <= 1 else _COLOURS[1]
        parts += [
            f'<text x="{begin - 6}" y="{y + 12}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{begin}" y="{y + 2}" width="{length:.1f}" height="12" fill="{colour}"/>',
            f'<text x="{begin + length + 4:.1f}" y="{y + 12}">{value:.2f}</text>',
        ]
    line = begin + whole
    parts.append(f'<path d="M{line:.1f} {top + _TOP}V{base}" stroke="#444" fill="none"/>')
    return parts


def _drawn(chart: Chart, top: float) -> list[str]:
    base = top + _TOP + _HEIGHT
    end = max(chart.moments, default=0) or 1
    last = f"{end:.4g} {escape(chart.axis)}"
    most = max((value for line in chart.lines for value in line.values), default=0) * 1.1 or 1
    parts = [
        f'<text x="{_LEFT}" y="{top + 14}">{escape(chart.title)}</text>',
        f'<path d="M{_LEFT} {top + _TOP}V{base}H{_LEFT + _WIDTH}" fill="none" stroke="#444"/>',
        f'<text x="{_LEFT - 6}" y="{top + _TOP + 8}" text-anchor="end">{most:.4g}</text>',
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{base + 14}" text-anchor="end">{last}</text>',
    ]
    for index, line in enumerate(chart.lines):
        colour = _COLOURS[index % len(_COLOURS)]
        points = " ".join(
            f"{_LEFT + moment / end * _WIDTH:.1f},{base - value / most * _HEIGHT:.1f}"
            for moment, value in zip(chart.moments, line.values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(
            f'<text x="{_LEFT + 190 + 170 * index}" y="{top + 14}" fill="{colour}">'
            f"{escape(line.label)}</text>"
        )
    return parts
