"""Campaigns of recertification: what each owner held at a moment, and what they said of it.

A line asks one team about one thing. It is kept as intervals, an answer ends one row and begins another, so
that a past day can be asked; `item` stays the same. What a line is about stands there by reference, as
what people decide does: a certificate by its line, so that a renewal is the same thing.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text, text

from keycensus_collector.store.schema import Number, metadata

STANDING = "to_ms IS NULL"

campaign = Table(
    "campaign",
    metadata,
    Column("campaign_no", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("until_ms", BigInteger, nullable=False),  # what is open from then on is lapsed
    Column("lists", Text, nullable=False),  # names with blanks between them
    Column("query", Text, nullable=False),  # as it was written; empty: everything
    Column("team_no", Number, ForeignKey("team.team_no")),  # null: every team's
    Column("started_by", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_by", Text, nullable=False),  # empty: it takes answers
    Column("closed_ms", BigInteger),
    Column("cancelled_ms", BigInteger),  # from then on it counts for nothing
)

campaign_line = Table(
    "campaign_line",
    metadata,
    Column("line_no", Number, primary_key=True),
    Column("campaign_no", Number, ForeignKey("campaign.campaign_no"), nullable=False),
    Column("item", BigInteger, nullable=False),  # its number in the campaign, by team and name
    Column("scope", Text, nullable=False),  # "line", "certificate", "key", "place", "host"
    Column("number", BigInteger, nullable=False),  # of line, place or host; 0: none
    Column("artifact", LargeBinary, nullable=False),  # SHA-256 or key id; empty: none
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("answer", Text, nullable=False),  # empty, "confirmed", "disputed"
    Column("actor", Text, nullable=False),  # who said so
    Column("remark", Text, nullable=False),
    Column("proposed", Text, nullable=False),  # whose it is, says who disputes it
    Column("answered_ms", BigInteger),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Column("superseded_ms", BigInteger),  # a newer campaign asks the same since
    Column("superseded_by", Number),
    Index("ix_campaign_line_item", "campaign_no", "item", "from_ms"),
    Index(
        "ix_campaign_line_team",
        *("campaign_no", "team_no", "item"),
        sqlite_where=text(STANDING),
        postgresql_where=text(STANDING),
    ),
    Index(None, "team_no"),
    Index(None, "scope", "number", "artifact"),
    Index(None, "answer", "to_ms", "scope"),
    Index(None, "superseded_by"),
)
