"""When a certificate that a tool renews was made and ends, and whether it should have been renewed by now.

Runs in the reader, which has no library for certificates: two dates are read by DER code of our own, of PEM files
that a tool's record names. The parser's findings are not asked, since a tool's record may name what no sweep has seen.
Source: RFC 5280, 4.1.2.5.
"""

from __future__ import annotations

import binascii
import datetime as dt
from dataclasses import dataclass

from keycensus_agent.context.sources import Sources
from keycensus_agent.parser import der
from keycensus_agent.parser.x509 import certificate_fields

# A certificate has one or two kilobytes; a chain follows it.
_FILE_LIMIT = 64 * 1024
_BEGIN, _END = "CERTIFICATE-----", "-----END "
DAY_MS = 86_400_000
# What tools renew before the end unless they are told otherwise: 30 days (certbot, lego, acme.sh with its 60 of 90),
# a third of what lives shorter.
_WINDOW_DAYS = 30
# A tool runs once or twice a day, and a failure of some days is nothing yet.
_GRACE_DAYS = 3


@dataclass(frozen=True, slots=True)
class Validity:
    """First and last moment of a certificate, in milliseconds since the epoch."""

    not_before_ms: int
    not_after_ms: int

    def is_past_due(self, now_ms: int, window_days: int = 0) -> bool:
        """Whether a tool that renews `window_days` before the end (0: its default) is too late."""
        lifetime = max(self.not_after_ms - self.not_before_ms, 0)
        window = min(
            (window_days or _WINDOW_DAYS) * DAY_MS, lifetime // 3 * (2 if window_days else 1)
        )
        grace = min(_GRACE_DAYS * DAY_MS, lifetime // 30)
        return now_ms > self.not_after_ms - window + grace


def validity_of(sources: Sources, path: str) -> Validity | None:
    """Return the dates of the first certificate in a PEM file; None if there is none that can be read."""
    return validity_in(sources.text(path, _FILE_LIMIT) or "")


def validity_in(text: str) -> Validity | None:
    """Return the dates of the first certificate in PEM text; None if there is none that can be read."""
    # With "BEGIN CERTIFICATE" and "BEGIN TRUSTED CERTIFICATE" alike.
    _, _, rest = text[:_FILE_LIMIT].partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not end:
        return None
    try:
        data = binascii.a2b_base64(body)
        times = certificate_fields(data).validity
        first, last = der.children(data, times) if times is not None else (None, None)
        if first is None or last is None:
            return None
        return Validity(_moment(data, first), _moment(data, last))
    except ValueError:
        return None


def _moment(data: bytes, element: der.Element) -> int:
    """Return a UTCTime or GeneralizedTime; ValueError if it is none."""
    text = der.content(data, element).decode("ascii").removesuffix("Z")
    if element.tag == der.UTC_TIME:
        # RFC 5280: 50 to 99 are of the 20th century.
        text = ("19" if text[:2] >= "50" else "20") + text
    moment = dt.datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1000
