"""A certificate's line as a drawing: each one's validity as a bar on one scale of time, and today. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keycensus_collector.inventory import results
from keycensus_collector.web.wording import milliseconds

_SCALE = 1000.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One certificate: from `left`, `width` wide, in thousandths of the whole. `step`: what led to it."""

    sha256: str
    text: str
    step: str
    live_places: int
    left: float
    width: float
    is_this: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Bars from the oldest to the newest. `today` in thousandths; None if it lies outside."""

    bars: list[Bar]
    today: float | None


def draw(detail: results.CertificateDetail, now_ms: int) -> Drawing | None:
    """Return the drawing; None for a certificate without others before or behind it, or without dates."""
    own = detail.certificate
    if not (detail.predecessors or detail.successors):
        return None
    this = (own.sha256, own.not_before, own.not_after, "", own.live_places)
    spans = [
        (sha256, milliseconds(begin), milliseconds(end), step, places)
        for sha256, begin, end, step, places in [
            *[_of(link) for link in detail.predecessors],
            this,
            *[_of(link) for link in detail.successors],
        ]
        if begin is not None and end is not None
    ]
    if not spans:
        return None
    first, last = min(span[1] for span in spans), max(span[2] for span in spans)
    share = _SCALE / max(last - first, 1)
    bars = [
        Bar(
            sha256,
            _days(detail, sha256),
            step,
            places,
            (begin - first) * share,
            max((end - begin) * share, 1.0),
            sha256 == own.sha256,
        )
        for sha256, begin, end, step, places in sorted(spans, key=lambda span: span[1:3])
    ]
    return Drawing(bars, (now_ms - first) * share if first <= now_ms <= last else None)


def _of(link: results.Link) -> tuple[str, str | None, str | None, str, int]:
    return link.sha256, link.not_before, link.not_after, link.step, link.live_places


def _days(detail: results.CertificateDetail, sha256: str) -> str:
    of: Sequence[results.Link | results.Certificate]
    of = [*detail.predecessors, detail.certificate, *detail.successors]
    found = next(each for each in of if each.sha256 == sha256)
    return f"{(found.not_before or '')[:10]} to {(found.not_after or '')[:10]}"
