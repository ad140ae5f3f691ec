"""How a line of a campaign can stand, in words. Pure."""

from __future__ import annotations

CONFIRMED, DISPUTED, OPEN = "confirmed", "disputed", "open"
LAPSED, GONE, MOVED = "lapsed", "gone", "moved"
STATES = (CONFIRMED, DISPUTED, OPEN, LAPSED, MOVED, GONE)
# What a query can ask: of a thing that has moved or is gone nobody owes an answer.
ASKED = (CONFIRMED, OPEN, DISPUTED, LAPSED, "never")
# What owners say; open takes it back.
ANSWERS = (CONFIRMED, DISPUTED, OPEN)
