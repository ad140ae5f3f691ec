"""How pages say figures, times and states: the filters of the templates. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from keycensus_collector.inventory import results
from keycensus_collector.query.model import Query, Term
from keycensus_collector.query.render import render
from keycensus_collector.query.values import duration_ms, period

_DAY_MS = 86_400_000
_MONTHS_FROM_DAYS, _YEARS_FROM_DAYS = 90, 730
_DAYS_A_MONTH, _DAYS_A_YEAR = 30.44, 365.25
# A certificate is told of when this is left of it, or a quarter of its life, whichever is less.
SOON_DAYS = 30
_SOON_SHARE = 4
_SHORT_HASH = 12
# What strangers wrote is shown to so many characters in a row: a path may have 64,000.
CLIPPED = 300
# Where the page of a thing is, by its kind.
PAGE_OF = {"certificate": "/certificates", "key": "/keys", "host": "/hosts"}
# What a verdict on a listener says, in a word or two and with its weight.
_VERDICTS = {
    "served": ("served", "good"),
    "not-reloaded": ("not reloaded", "bad"),
    "served-but-not-on-disk": ("not on disk", "warn"),
    "served-another": ("another is served", "warn"),
}

# What a page says of what was just done, by the word in its address.
DONE = {
    "answered": "It is said.",
    "campaign-cancelled": "The campaign is cancelled: it counts for nothing.",
    "campaign-closed": "The campaign is closed.",
    "campaign-started": "The campaign is started: owners are asked.",
    "disputes-accepted": "They are given. Owners follow within seconds.",
    "tiles-kept": "The overview is arranged.",
    "fallback-set": "The fallback team is set.",
    "labelled": "It is done. Rules that ask for the label follow within seconds.",
    "mark-lifted": "The mark is lifted.",
    "marked": "It is done.",
    "member-added": "They are in the team now.",
    "member-removed": "They are not in the team any more.",
    "owned": "It is done. Owners follow within seconds.",
    "person-left": "They have left. Owners follow within seconds.",
    "person-saved": "The person is saved.",
    "rules-applied": "The rules are in force. Owners follow within seconds, of very many things within minutes.",
    "team-dissolved": "The team is dissolved. Owners follow within seconds.",
    "team-renamed": "The team has its new name.",
    "team-saved": "The team is saved.",
    "agent-banned": "The host is shut out, with every identity of it.",
    "agent-evicted": "The identity has ended.",
    "agent-rekeyed": "The shared identity has ended. Each machine gets one of its own when it comes.",
    "agent-unbanned": "The host is let in again.",
    "host-retired": "The host is retired, and its agents are evicted.",
    "host-succeeds": "The host goes on as the earlier one, with its history.",
    "password-changed": "The password is changed. You are signed out everywhere else.",
    "session-ended": "You are signed out there.",
    "signed-out": "You are signed out.",
    "signed-out-everywhere": "You are signed out, here and everywhere else.",
    "token-revoked": "The token is revoked.",
    "clones-rekeyed": "The shared identities have ended: each machine gets its own at its next contact.",
    "user-added": "The user is added.",
    "user-changed": "The user is changed.",
    "user-password": "The password is set, and the user is signed out everywhere.",
    "user-signed-out": "The user is signed out everywhere.",
    "view-deleted": "The view is deleted.",
    "view-saved": "The view is saved.",
}


def counted(number: int, one: str, many: str = "") -> str:
    """Return a figure with its noun: "1 host", "12,345 hosts"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def figure(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def total(page: results.Page) -> str:
    """Return the total of a list: "1,234", or "10,000+" where it was not counted further."""
    return f"{page.total:,}{'' if page.total_is_exact else '+'}"


def day(text: str | None) -> str:
    """Return the day of a time as the query functions give it; "" if there is none."""
    return "" if text is None else text[:10]


def minute(text: str | None) -> str:
    """Return a time to the minute, in UTC."""
    return "" if text is None else f"{text[:10]} {text[11:16]} UTC"


def second(text: str | None) -> str:
    """Return a time to the second, in UTC."""
    return "" if text is None else f"{text[:10]} {text[11:19]} UTC"


def relative(text: str | None, now_ms: int) -> str:
    """Return how far a time is from now: "in 12 days", "3 years ago", "today"."""
    if text is None:
        return ""
    days = milliseconds(text) // _DAY_MS - now_ms // _DAY_MS
    if days == 0:
        return "today"
    span = _span(abs(days))
    return f"in {span}" if days > 0 else f"{span} ago"


def _span(days: int) -> str:
    if days < _MONTHS_FROM_DAYS:
        return counted(days, "day")
    if days < _YEARS_FROM_DAYS:
        return counted(round(days / _DAYS_A_MONTH), "month")
    return counted(round(days / _DAYS_A_YEAR), "year")


def ends(certificate: results.Certificate | results.Link, now_ms: int) -> str:
    """Return what the end of a certificate means: "expired", "soon", "later", or "unknown"."""
    if certificate.not_after is None:
        return "unknown"
    end_ms = milliseconds(certificate.not_after)
    left_ms = end_ms - now_ms
    if left_ms < 0:
        return "expired"
    life_ms = end_ms - (milliseconds(certificate.not_before) if certificate.not_before else 0)
    return "soon" if left_ms <= min(SOON_DAYS * _DAY_MS, life_ms / _SOON_SHARE) else "later"


def share_of_life(certificate: results.Certificate, now_ms: int) -> int:
    """Return how much of its life a certificate has behind it, in percent."""
    if certificate.not_after is None or certificate.not_before is None:
        return 0
    start, end = milliseconds(certificate.not_before), milliseconds(certificate.not_after)
    if end <= start:
        return 100
    return max(0, min(100, round(100 * (now_ms - start) / (end - start))))


def short(identity: str) -> str:
    """Return the start of a hash, enough to tell it from others by eye."""
    return identity[:_SHORT_HASH]


def spaced(identity: str) -> str:
    """Return a hash in groups of four digits."""
    return " ".join(identity[at : at + 4] for at in range(0, len(identity), 4))


def algorithm(thing: results.Certificate | results.Key) -> str:
    """Return a key's algorithm with its size or curve: "RSA 2048", "EC P-256"."""
    name = thing.algorithm.upper() if len(thing.algorithm) <= len("rsa") else thing.algorithm
    size = thing.curve or (str(thing.bits) if thing.bits else "")
    return f"{name} {size}".strip()


def verdict(word: str) -> tuple[str, str]:
    """Return the words for a verdict on a listener, and its weight: "good", "warn", "bad"."""
    return _VERDICTS.get(word, (word, "plain"))


def address(path: str, **parameters: object) -> str:
    """Return a local address with those parameters that have a value."""
    given = {name: value for name, value in parameters.items() if value not in {"", None}}
    return f"{path}?{urlencode(given)}" if given else path


def owner_query(name: str) -> str:
    """Return the query that lists what a team or person owns."""
    return render(Query(Term("owner", "=", name, quoted=True)))


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def clip(text: str, most: int = CLIPPED) -> str:
    """Return the start of a text that is too long to stand in a row, and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def milliseconds(text: str) -> int:
    """Return a time as the query functions give it, in milliseconds since the epoch."""
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


def past_day(text: str, now_ms: int) -> str:
    """Return the date of a past day that was asked for, by date or age; "" if that is neither."""
    age, found = duration_ms(text), period(text)
    if age is None and found is None:
        return ""
    start_ms = found[0] if found else now_ms - abs(age or 0)
    try:
        return datetime.fromtimestamp(start_ms / 1000, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


FILTERS: dict[str, Callable[..., Any]] = {
    "address": address,
    "algorithm": algorithm,
    "clip": clip,
    "counted": counted,
    "day": day,
    "ends": ends,
    "figure": figure,
    "minute": minute,
    "owner_query": owner_query,
    "past_day": past_day,
    "relative": relative,
    "second": second,
    "segment": segment,
    "share_of_life": share_of_life,
    "short": short,
    "spaced": spaced,
    "total": total,
    "verdict": verdict,
}
