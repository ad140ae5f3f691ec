"""From an ID, in any spelling that people use, to the one thing it means."""

from __future__ import annotations

from sqlalchemy import Connection

from keycensus_collector.api.problems import ambiguous, not_found
from keycensus_collector.inventory import results
from keycensus_collector.inventory.identify import identify


def one_match(connection: Connection, text: str, kind: str = "") -> results.Match:
    """Return the one thing that an ID means; ProblemError if it is none, or several."""
    matches = identify(connection, text)
    if kind:
        matches = [match for match in matches if match.kind == kind]
    if not matches:
        raise not_found(repr(text))
    if len(matches) > 1:
        raise ambiguous(text, matches)
    return matches[0]
