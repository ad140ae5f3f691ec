"""Who owns what: teams, people, what they were given, and what follows from it.

Given by people: `team`, `person`, `membership`, `owner_assignment`, `owner_setting`. Worked out from
that and from rules by `ownership.worker`, and written nowhere else: `host_owner`, `place_owner`,
`artifact_owner`. All of them are intervals, so that a past day can be asked.

A place has the owner of its own row, or else that of its host: giving a host, or whatever a rule
says of hosts alone, writes one row and not one for each place.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)

from keycensus_collector.store.schema import Number, metadata

# A person who owns something is a team of one: `person_no` says whose.
team = Table(
    "team",
    metadata,
    Column("team_no", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("contact", Text, nullable=False),  # how to reach all of them: a list's address
    Column("person_no", Number),
    Column("created_ms", BigInteger, nullable=False),
    Column("dissolved_ms", BigInteger),
    Index(None, "person_no"),
)

person = Table(
    "person",
    metadata,
    Column("person_no", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # short, as a user's name
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False),  # lower case
    Column("contact", Text, nullable=False),  # telephone, chat
    Column("user_name", Text, nullable=False),  # the local user; empty: the one of the same name
    Column("subject", Text, nullable=False),  # of OpenID Connect; empty: known by e-mail
    Column("state", Text, nullable=False),  # "active", "left"
    Column("created_ms", BigInteger, nullable=False),
    Column("left_ms", BigInteger),
    Index(None, "email"),
    Index(None, "user_name"),
    Index(None, "subject"),
)

membership = Table(
    "membership",
    metadata,
    Column("membership_no", Number, primary_key=True),
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("person_no", Number, ForeignKey("person.person_no"), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    # "": by hand; "oidc:NAME": by groups at that provider, and gone when they say so
    Column("source", Text, nullable=False, server_default=""),
    Index(None, "team_no", "to_ms"),
    Index(None, "person_no", "to_ms"),
)

# "fallback": the name of the team that answers for what nobody owns; and others by name.
owner_setting = Table(
    "owner_setting",
    metadata,
    Column("setting_no", Number, primary_key=True),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "name", "to_ms"),
)

# What people decided. A certificate's owner hangs on its line, so that a renewal does not lose it.
owner_assignment = Table(
    "owner_assignment",
    metadata,
    Column("assignment_no", Number, primary_key=True),
    Column("scope", Text, nullable=False),  # "line", "certificate", "key", "place", "host"
    Column("number", BigInteger, nullable=False),  # of line, place or host; 0: none
    Column("artifact", LargeBinary, nullable=False),  # SHA-256 or key id; empty: none
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "scope", "number", "artifact", "from_ms"),
    Index(None, "team_no", "to_ms"),
)

# Rules as they were applied: one that did not change keeps its row.
owner_rule = Table(
    "owner_rule",
    metadata,
    Column("rule_no", Number, primary_key=True),
    Column("name", Text, nullable=False),
    Column("what", Text, nullable=False),  # "certificates", "keys", "places", "hosts"
    Column("query", Text, nullable=False),  # its tree as JSON (query/stored.py)
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("note", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "to_ms", "name"),
    Index(None, "team_no", "to_ms"),
)

host_owner = Table(
    "host_owner",
    metadata,
    Column("host_owner_no", Number, primary_key=True),
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("how", Text, nullable=False),  # "explicit", "rule"
    Column("source_no", Number, nullable=False),  # of the assignment or the rule
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "host_no", "from_ms"),
    Index(None, "team_no", "to_ms", "host_no"),
)

place_owner = Table(
    "place_owner",
    metadata,
    Column("place_owner_no", Number, primary_key=True),
    Column("place_no", Number, ForeignKey("place.place_no"), nullable=False),
    Column("host_no", Number, nullable=False),
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("how", Text, nullable=False),
    Column("source_no", Number, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "place_no", "from_ms"),
    Index(None, "host_no", "to_ms"),
    Index(None, "team_no", "to_ms", "place_no"),
)

# Certificates (kind 1) and keys (kind 2): who owns them, and whose places they stand at.
CERTIFICATE, KEY = 1, 2

artifact_owner = Table(
    "artifact_owner",
    metadata,
    Column("artifact_owner_no", Number, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("artifact", LargeBinary(32), nullable=False),
    Column("team_no", Number, ForeignKey("team.team_no"), nullable=False),
    Column("owns", Boolean, nullable=False),  # false: a place of it is the team's, and no more
    # "explicit", "rule", "line" (the rule of what it follows), "certificates" (of a key), "places",
    # "shared"; of a place: "".
    Column("how", Text, nullable=False),
    # Of the assignment or rule; of "certificates" a row of this table; 0: follows from places.
    Column("source_no", Number, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "artifact", "kind", "from_ms"),
    Index(None, "team_no", "kind", "to_ms", "artifact"),
)

# What is to be worked out again: kind "host" by number, "certificate" and "key" by hash. One row each,
# however often it is asked for; `stamp` changes, so that what is asked for meanwhile is not lost.
owner_work = Table(
    "owner_work",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("artifact", LargeBinary, primary_key=True),
    Column("stamp", BigInteger, nullable=False),
)

# A look at everything, a chunk at a time: where each kind has come to. No row: all was looked at.
owner_sweep = Table(
    "owner_sweep",
    metadata,
    Column("kind", Text, primary_key=True),  # "host", "certificate", "key"
    Column("number", BigInteger, nullable=False),  # the last host that was done
    Column("artifact", LargeBinary, nullable=False),  # the last artifact
    Column("asked_ms", BigInteger, nullable=False),
    Column("stamp", BigInteger, nullable=False),
)

# The files of rules as they were applied; the last one is in force.
rule_file = Table(
    "rule_file",
    metadata,
    Column("version", Number, primary_key=True),
    Column("text", Text, nullable=False),
    Column("applied_by", Text, nullable=False),
    Column("applied_ms", BigInteger, nullable=False),
)

# Rules that say something else than an owner: "label" (key and value) and "importance" (points).
fact_rule = Table(
    "fact_rule",
    metadata,
    Column("rule_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("points", Integer, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "to_ms", "kind"),
)

# Labels by hand and by rule, of hosts, certificates and (by hand) their lines. Those of enrolment tokens
# and of hosts themselves stand at the host.
label = Table(
    "label",
    metadata,
    Column("label_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),  # "host", "certificate", "line"
    Column("number", BigInteger, nullable=False),  # of a host or line; 0: none
    Column("artifact", LargeBinary, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("source", Text, nullable=False),  # "manual", "rule"
    Column("source_no", Number, nullable=False),  # of the rule; 0: by hand
    Column("actor", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "kind", "number", "artifact", "key", "from_ms"),
    Index(None, "key", "to_ms", "value"),
)
