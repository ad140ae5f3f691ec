"""What the overview tells of the last seven days: queries like those of views, counted and kept as theirs are."""

from __future__ import annotations

from keycensus_collector.views.model import View

WEEK = (
    View("certificates appeared", "in use, never seen before", "certificates", "first-seen<7d"),
    View("certificates renewed", "took the place of another", "certificates", "renewed<7d"),
    View("certificates went", "nowhere any more", "certificates", "gone<7d"),
    View("keys appeared", "in use, never seen before", "keys", "first-seen<7d"),
    View("places appeared", "files never seen before", "places", "appeared<7d"),
    View("places changed", "content, rights or use", "places", "changed<7d not appeared<7d"),
    View("hosts came", "of agents, imports and lists", "hosts", "enrolled<7d"),
    View("gaps opened", "where agents can't look", "gaps", "gap-since<7d"),
)
