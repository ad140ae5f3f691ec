"""Revocation lists that an operator brings: by an import, or by files that the collector is told to look at.

They are taken as those that agents send, and besides say where they are from. Their bytes are kept, since
the certificate that verifies them may come later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from keycensus_collector.catalogue.facts import RevocationListFacts
from keycensus_collector.catalogue.parse import CRL
from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.catalogue.rows import list_columns
from keycensus_collector.revocation.queue import note_lists
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import blob, revocation_list


@dataclass(frozen=True, slots=True)
class Brought:
    """One list: its bytes, and what they say."""

    data: bytes
    facts: RevocationListFacts

    @property
    def sha256(self) -> bytes:
        """What it is known by."""
        return hashlib.sha256(self.data).digest()


def read_brought(lists: Sequence[bytes], parser: CatalogueParser) -> list[Brought]:
    """Return lists with what they say; ValueError if one is of no use, with the reason."""
    brought = [Brought(data, parser.read_list(data, ())[0]) for data in lists]
    for each in brought:
        if each.facts.unusable:
            raise ValueError(f"the revocation list of {each.facts.issuer}: {each.facts.unusable}")
    return brought


def bring(connection: Connection, lists: Sequence[Brought], origin: str, now_ms: int) -> None:
    """Store lists that are from `origin`, which people are told, and ask that they be taken."""
    for each in lists:
        row = {"hash": each.sha256, "kind": CRL, "data": each.data, "received_ms": now_ms}
        connection.execute(upsert(connection, blob).values(row).on_conflict_do_nothing())
        columns = list_columns(each.facts) | {"origin": origin}
        statement = upsert(connection, revocation_list).values(
            sha256=each.sha256, first_seen_ms=now_ms, **columns
        )
        connection.execute(
            statement.on_conflict_do_update(index_elements=["sha256"], set_={"origin": origin})
        )
    note_lists(connection, [each.sha256 for each in lists])
