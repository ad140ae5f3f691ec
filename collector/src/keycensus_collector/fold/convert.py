"""The one place of the fold that knows protocol messages: a place version's row, as received."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from keycensus_proto.v1.inventory_pb2 import Place


class RowFacts(NamedTuple):
    """What lineage asks of a row: "live" or "retained", and what the place is for."""

    use: str = ""
    role: str = ""


def row_facts(row: bytes) -> RowFacts:
    """Decode a row; one that is empty (gone) or unreadable says nothing."""
    try:
        place = Place.FromString(row)
    except DecodeError:
        return RowFacts()
    return RowFacts("retained" if place.use == "retained" else "live", place.role)
