"""Every table of the collector's database, as SQLAlchemy Core.

Conventions. Times are integers, milliseconds since the epoch in UTC by the collector's clock, named
`*_ms`; an interval is [from_ms, to_ms) and open while `to_ms` is null. Hashes are the raw 32 bytes.
Text columns hold escaped text only (`text.safe_text`): PostgreSQL refuses NUL, and people see it.
Raw bytes that must survive stand in binary columns. Hosts and agents are named by UUID text outside
and by small numbers (`host_no`, `agent_no`) inside, because those stand in the largest tables.
Small rows with a hash for a key are kept in its index by SQLite (`sqlite_with_rowid`): one look instead of two.

Who writes what. Intake: blob, manifest*, place, place_version, place_past, gap, usage, holding, intake_batch,
session, work, refusal, host (facts, last_seen). Catalogue: certificate*, public_key, csr, crl, issuer_edge.
Fold: line, line_step and the folded columns of certificate and public_key. Everything else: admin
operations and REST.
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
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives rowids to INTEGER PRIMARY KEY only; PostgreSQL gets an identity column of 8 bytes.
Number = BigInteger().with_variant(Integer, "sqlite")

# --- the deployment and its authority ---------------------------------------------------------

deployment = Table(
    "deployment",
    metadata,
    Column("deployment_no", Integer, primary_key=True),  # always 1
    Column("name", Text, nullable=False),  # in agents' URIs; [a-z0-9-]
    Column("database_id", LargeBinary(16), nullable=False),  # random, new after a restore
    Column("created_ms", BigInteger, nullable=False),
)

authority_certificate = Table(
    "authority_certificate",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),  # "current", "next", "past"
    Column("is_anchor", Boolean, nullable=False),  # a trust anchor, else an intermediate
    Column("added_ms", BigInteger, nullable=False),
)

# Between the last certificate that the database knows and a start of the collector: what was issued then
# was lost with a restored database (authority/readmission.py).
lost_time = Table(
    "lost_time",
    metadata,
    Column("from_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("to_ms", BigInteger, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("token_id", Text, primary_key=True),  # base64url of 8 bytes, not secret
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON object
    Column("uses_left", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("host_no", Number),  # the host that it re-installs; null: it makes a new one
)

# One row a spent use: the same key asking again with the same token gets the same answer.
token_use = Table(
    "token_use",
    metadata,
    Column("token_id", Text, ForeignKey("token.token_id"), primary_key=True),
    Column("public_key_hash", LargeBinary(32), primary_key=True),
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("certificate", LargeBinary, nullable=False),  # DER, as issued
    Column("used_ms", BigInteger, nullable=False),
)

# --- hosts and agents -------------------------------------------------------------------------

host = Table(
    "host",
    metadata,
    Column("host_no", Number, primary_key=True),
    Column("host_id", Text, nullable=False, unique=True),  # UUID
    Column("name", Text, nullable=False),  # as the host says
    Column("state", Text, nullable=False),  # "active", "silent", "retired"
    Column("created_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),  # its agent finished a full sweep
    Column("facts", LargeBinary, nullable=False),  # encoded HostFacts as received
    Column("operating_system", Text, nullable=False),
    Column("kernel", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
    Column("machine_hash", LargeBinary),
    Column("labels", Text, nullable=False),  # JSON: {"token": {...}, "host": {...}}
    Column("counters", Text, nullable=False),  # JSON of the last Counters
    Column("clock_skew_ms", BigInteger, nullable=False),  # agent minus collector at the last hello
    Column("retired_ms", BigInteger),
    Column("banned_ms", BigInteger),
    Index(None, "name"),
    Index(None, "machine_hash"),
)

host_state = Table(
    "host_state",
    metadata,
    Column("host_no", Number, ForeignKey("host.host_no"), primary_key=True),
    Column("from_ms", BigInteger, primary_key=True),
    Column("to_ms", BigInteger),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    Column("agent_no", Number, primary_key=True),
    Column("agent_id", Text, nullable=False, unique=True),  # UUID, in the certificate's URI
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    # "active", "cloned", "rekeyed", "banned", "left", "evicted"
    Column("state", Text, nullable=False),
    Column("state_reason", Text, nullable=False),
    Column("enrolled_ms", BigInteger, nullable=False),
    Column("enrolled_by", Text, nullable=False),  # token id, or "rekey:" and an agent's id
    Column("state_before_ban", Text, nullable=False, server_default=""),
    Index(None, "host_no"),
)

agent_certificate = Table(
    "agent_certificate",
    metadata,
    Column("serial", Text, primary_key=True),  # lower-case hexadecimal
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("public_key_hash", LargeBinary(32), nullable=False),
    Column("state", Text, nullable=False),  # "current", "new", "void"
    Column("not_after_ms", BigInteger, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("issuer", LargeBinary(32)),  # SHA-256 of the signing certificate; null: the first one
    Index(None, "agent_no"),
)

# Which machines have said hello under an identity; evidence where they are more than one.
agent_contact = Table(
    "agent_contact",
    metadata,
    Column("contact_no", Number, primary_key=True),
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("contact_key", LargeBinary(32), nullable=False),  # over boot, machine and name
    Column("boot_id", LargeBinary, nullable=False),
    Column("instance", LargeBinary(16), nullable=False),  # of the last hello
    Column("machine_hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("hellos", Integer, nullable=False),
    Column("verdict", Text, nullable=False),  # of the last hello: "fine", "restored", "cloned", ...
    UniqueConstraint("agent_no", "contact_key"),
)

# An operator's word that the copies of one identity may each get one of their own, for a time.
rekey_grant = Table(
    "rekey_grant",
    metadata,
    Column("grant_no", Number, primary_key=True),
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("copies_left", Integer, nullable=False),
    Column("keep_contact_no", Number),  # the copy that stays this host
    Column("kept_ms", BigInteger),  # when it came for its new identity
    Index(None, "agent_no"),
)

# One row a copy that got an identity: the same key asking again gets the same answer.
rekey_use = Table(
    "rekey_use",
    metadata,
    Column("old_agent_no", Number, ForeignKey("agent.agent_no"), primary_key=True),
    Column("public_key_hash", LargeBinary(32), primary_key=True),
    Column("grant_no", Number, ForeignKey("rekey_grant.grant_no"), nullable=False),
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("certificate", LargeBinary, nullable=False),  # DER, as issued
    Column("used_ms", BigInteger, nullable=False),
)

# The stream state of one agent: which instance, how far, which stream is the newest.
session = Table(
    "session",
    metadata,
    Column("agent_no", Number, ForeignKey("agent.agent_no"), primary_key=True),
    Column("session", BigInteger, nullable=False),
    Column("instance", LargeBinary(16), nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("nonce", LargeBinary(16)),  # current
    Column("pending_nonce", LargeBinary(16)),
    Column("boot_id", LargeBinary, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("list_wanted", Boolean, nullable=False),  # until a complete listing of places came
    Column("duplicates", Integer, nullable=False),  # batches that came again, over all instances
    # What `intake.nonces` remembers: nonces of 16 bytes; a byte and a nonce; a byte and a boot.
    Column("past_nonces", LargeBinary, nullable=False, server_default=""),
    Column("nonces_aside", LargeBinary, nullable=False, server_default=""),
    Column("boots", LargeBinary, nullable=False, server_default=""),
    Column("agent_time_ms", BigInteger, nullable=False, server_default="0"),  # of the last hello
    Column("trust_anchors", LargeBinary),  # SHA-256 each; null: an agent that does not say
)

intake_batch = Table(
    "intake_batch",
    metadata,
    Column("batch_no", Number, primary_key=True),
    Column("agent_no", Number, ForeignKey("agent.agent_no"), nullable=False),
    Column("instance", LargeBinary(16), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("ack", LargeBinary, nullable=False),  # encoded Ack, for duplicates and lost acks
    Column("received_ms", BigInteger, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),  # how often it came again
    UniqueConstraint("agent_no", "instance", "sequence"),
)

# --- content ----------------------------------------------------------------------------------

# The kind is part of the identity: an agent that names a certificate's hash as a CSR must not keep
# other agents' certificate from being stored and read as one.
blob = Table(
    "blob",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),  # keycensus.v1.BlobKind
    Column("data", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

manifest = Table(
    "manifest",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("format", Text, nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("part_count", Integer, nullable=False),
)

# The smallest cap of a blob (protos/README.md, section 8), as the index's condition has it.
LONG_ENTRY = "size > 262144"

manifest_entry = Table(
    "manifest_entry",
    metadata,
    Column("manifest", LargeBinary(32), ForeignKey("manifest.hash"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("artifact", LargeBinary, nullable=False),  # 32 bytes, or empty
    Column("member", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("bits", Integer, nullable=False),
    Column("curve", Text, nullable=False),
    Column("encrypted", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("location", Text, nullable=False),
    Index("ix_manifest_entry_artifact", "artifact", "kind", "manifest"),  # read alone
    # Artifacts that are named and never sent, for being too long; nearly always there are none.
    Index(
        "ix_manifest_entry_long",
        "manifest",
        sqlite_where=text(LONG_ENTRY),
        postgresql_where=text(LONG_ENTRY),
    ),
    sqlite_with_rowid=False,
)

manifest_part = Table(
    "manifest_part",
    metadata,
    Column("manifest", LargeBinary(32), ForeignKey("manifest.hash"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("part", LargeBinary(32), nullable=False),
    Column("name", Text),  # escaped file name in a tree; null: a part of a long manifest
    Index(None, "part"),
    # The trees: a few kinds of trust store for a whole fleet.
    Index(
        "ix_manifest_part_named",
        "manifest",
        sqlite_where=text("name IS NOT NULL"),
        postgresql_where=text("name IS NOT NULL"),
    ),
)

# --- what hosts report ------------------------------------------------------------------------

# What of a path PostgreSQL's index holds, whose entries end at 2,700 bytes; SQLite's holds all of it.
PATH_START = 500

# The rows as they are now. A place that went stays for its history with `gone_ms` set.
# Of trust-store directories that are told as one place: a name leads to each file in it.
TREE_FORMAT = "tree"
TREE_PLACE = f"format = '{TREE_FORMAT}' AND gone_ms IS NULL"
# Few places could not be read.
READ_STATUS = "read"
UNREAD_PLACE = f"gone_ms IS NULL AND status != '{READ_STATUS}'"
# Bits of place.holds: what its manifest lists, parts included.
HOLDS = {"certificate": 1, "private-key": 2, "sealed-key": 4, "sealed-container": 4}

place = Table(
    "place",
    metadata,
    Column("place_no", Number, primary_key=True),
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    Column("path_hash", LargeBinary(32), nullable=False),  # the row's key
    Column("row_hash", LargeBinary(32), nullable=False),
    Column("scope_kind", Text, nullable=False),
    Column("scope_name", Text, nullable=False),
    Column("path", Text, nullable=False),  # escaped; the raw bytes are in the version's row
    Column("manifest", LargeBinary, nullable=False),  # 32 bytes, or empty
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("mode", Integer, nullable=False),
    Column("owner", Text, nullable=False),  # name, else number
    Column("group", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("file_id", LargeBinary, nullable=False),
    Column("role", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column(
        "readable_by", Text, nullable=False, server_default=""
    ),  # empty: an agent that can't say
    Column("package", Text, nullable=False, server_default=""),  # name; empty: none owns it
    Column("package_version", Text, nullable=False, server_default=""),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("gone_ms", BigInteger),
    Column("holds", SmallInteger, nullable=False, server_default="0"),  # HOLDS
    UniqueConstraint("host_no", "path_hash"),
    # What a look for a place of some content asks: it ends in the index.
    Index(
        "ix_place_manifest", "manifest", "gone_ms", "use", "role", "readable_by", "mode", "host_no"
    ),
    # PostgreSQL's B-tree entries are too short for the longest paths.
    Index("ix_place_path", "path").ddl_if(dialect="sqlite"),
    # Which trees there are, and where: one of each is looked at, of ten thousands.
    Index(
        "ix_place_tree",
        # Begins with what its condition says, too: so SQLite searches it, and goes through no other one.
        *("format", "manifest", "path_hash", "place_no"),
        sqlite_where=text(TREE_PLACE),
        postgresql_where=text(TREE_PLACE),
    ),
    Index(
        "ix_place_unread",
        "status",
        sqlite_where=text(UNREAD_PLACE),
        postgresql_where=text(UNREAD_PLACE),
    ),
    # What is looked for has a mode that few files of its kind have. Of all places: of those that are there SQLite
    # would take it for a shorter table, and go through all of them by it.
    Index("ix_place_mode", "mode", "holds", "gone_ms"),
)

place_version = Table(
    "place_version",
    metadata,
    Column("version_no", Number, primary_key=True),
    Column("place_no", Number, ForeignKey("place.place_no"), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Column("manifest", LargeBinary, nullable=False),  # empty where it held nothing readable
    Column("row", LargeBinary, nullable=False),  # encoded Place as received; empty: gone
    Column("cause", Text, nullable=False),
    Column("observed_ms", BigInteger, nullable=False),  # by the agent's clock
    Column("skipped", Integer, nullable=False),
    Column("batch_no", Number, nullable=False),
    Index(None, "place_no", "from_ms"),
    Index(None, "manifest"),  # where content was in the past
    Index(None, "batch_no"),
)

# What a place was before it changed or went, as columns, for questions about a past day. What it is
# now stands in `place`, since `changed_ms`; so a first report writes nothing here.
place_past = Table(
    "place_past",
    metadata,
    Column("past_no", Number, primary_key=True),
    Column("place_no", Number, ForeignKey("place.place_no"), nullable=False),
    Column("host_no", Number, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("mode", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("readable_by", Text, nullable=False),
    Column("package", Text, nullable=False),
    Column("package_version", Text, nullable=False),
    Index(None, "manifest"),
    Index(None, "place_no", "from_ms"),
    Index(None, "host_no", "from_ms"),
    Index(None, "to_ms", "manifest"),  # what stood somewhere until lately
)

# Who uses places, as intervals. An answer that was only given again changes `row` and `asked_ms`.
usage = Table(
    "usage",
    metadata,
    Column("usage_no", Number, primary_key=True),
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("row_hash", LargeBinary(32), nullable=False),
    Column("row", LargeBinary, nullable=False),
    Column("service", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("configuration", Text, nullable=False),  # path, escaped
    Column("line", Integer, nullable=False),  # 0: not known
    Column("directive", Text, nullable=False),
    Column("server_names", Text, nullable=False),  # one a line, as the two below
    Column("listen", Text, nullable=False),
    Column("processes", Text, nullable=False),
    Column("password_source", Text, nullable=False),
    Column("manifest", LargeBinary, nullable=False),  # of what was presented; or empty
    Column("verdict", Text, nullable=False),  # of the first handshake; empty: none
    Column("handshakes", Text, nullable=False),  # JSON list, what matters most first, without times
    Column("asked_ms", BigInteger),  # by the agent's clock
    Column("renewal_tool", Text, nullable=False),  # empty: nobody renews
    Column("renewal_success_ms", BigInteger),
    Column("renewal_overdue", Boolean, nullable=False),
    Column("renewal_schedule", Text, nullable=False),
    Column("renewal_reason", Text, nullable=False, server_default=""),  # why it is overdue
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "host_no", "key"),
    Index(None, "manifest"),
    Index(None, "verdict"),
)

usage_place = Table(
    "usage_place",
    metadata,
    Column("usage_no", Number, ForeignKey("usage.usage_no"), primary_key=True),
    Column("path_hash", LargeBinary(32), primary_key=True),
    Index(None, "path_hash"),
)

gap = Table(
    "gap",
    metadata,
    Column("gap_no", Number, primary_key=True),
    Column("host_no", Number, ForeignKey("host.host_no"), nullable=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("row_hash", LargeBinary(32), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("prefix_raw", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger),
    Index(None, "host_no", "key"),
)

# Rows of a host whose newest state was not taken, until one is, or until the host lists them no more.
# Bounded per host; what is beyond is counted by the agent.
refusal = Table(
    "refusal",
    metadata,
    Column("host_no", Number, ForeignKey("host.host_no"), primary_key=True),
    Column("row_class", SmallInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, primary_key=True),
    Column("path", Text, nullable=False),  # escaped; empty if it could not be read
    Column("reason", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),  # how often it was tried
)

# Artifact on host: how many live and retained places hold it there. Not for trust stores. A key's
# private and public halves share one identity, so the kind tells them apart.
# As the index's condition has it: a query with the same words reads sealed keys only.
SEALED_HOLDING = "kind IN ('sealed-key', 'sealed-container')"

holding = Table(
    "holding",
    metadata,
    Column("artifact", LargeBinary(32), primary_key=True),
    Column("host_no", Number, ForeignKey("host.host_no"), primary_key=True),
    Column("kind", Text, primary_key=True),  # EntryKind
    Column("live", Integer, nullable=False),
    Column("retained", Integer, nullable=False),
    Column("roles", Integer, nullable=False),  # bit mask: 1 server, 2 client, 4 ca, 8 unknown
    Index(None, "host_no"),
    # Sealed keys have no table of their own; there are few, and lists of them take their counts from here.
    Index(
        "ix_holding_sealed",
        *("artifact", "kind", "live", "retained"),
        sqlite_where=text(SEALED_HOLDING),
        postgresql_where=text(SEALED_HOLDING),
    ),
    sqlite_with_rowid=False,
)

# What the catalogue and fold workers still have to do. Taken by deleting; never a watermark.
work = Table(
    "work",
    metadata,
    Column("work_no", Number, primary_key=True),
    Column("kind", Text, nullable=False),  # "blob" (subject: hash), "batch" (number: batch_no)
    Column("subject", LargeBinary, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("queued_ms", BigInteger, nullable=False),
)

# --- catalogue: what the blobs say ------------------------------------------------------------

# As the indices' conditions have it: few things are owned by nobody once there are owners.
OWNERLESS, OWNERLESS_SQLITE = "owned IS false", "owned IS 0"
# Few keys are readable by everybody.
OPEN, OPEN_SQLITE = "world_readable IS true", "world_readable IS 1"
# Most have a counterpart and a known issuer; what stands nowhere any more is history.
KEYLESS, KEYLESS_SQLITE = "key_found IS false", "key_found IS 0"
ISSUERLESS, ISSUERLESS_SQLITE = "issuer_found IS false", "issuer_found IS 0"
UNCERTIFIED, UNCERTIFIED_SQLITE = "certified IS false", "certified IS 0"
AUTHORITY, AUTHORITY_SQLITE = "is_ca IS true", "is_ca IS 1"
GONE = "live_places + retained_places = 0"

certificate = Table(
    "certificate",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("sha1", LargeBinary(20), nullable=False),
    Column("key_id", LargeBinary, nullable=False),  # empty if the key can't be read
    Column("subject", Text, nullable=False),
    Column("subject_der_hash", LargeBinary(32), nullable=False),
    Column("common_name", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("issuer_der_hash", LargeBinary(32), nullable=False),
    Column("serial", Text, nullable=False),  # lower-case hexadecimal
    Column("not_before_ms", BigInteger),
    Column("not_after_ms", BigInteger),
    Column("names_text", Text, nullable=False),  # SANs, one a line
    Column("is_ca", Boolean, nullable=False),
    Column("self_signed", Boolean, nullable=False),
    Column("signature_algorithm", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("bits", Integer, nullable=False),
    Column("curve", Text, nullable=False),
    Column("subject_key_identifier", LargeBinary, nullable=False),
    Column("authority_key_identifier", LargeBinary, nullable=False),
    Column("extended_key_usage", Text, nullable=False),  # names or OIDs, space-separated
    # SHA-256 of each name of its CRL distribution points, and of other CRL issuers there.
    Column("crl_points", LargeBinary, nullable=False, server_default=""),
    Column("crl_issuers", LargeBinary, nullable=False, server_default=""),
    Column("problem", Text, nullable=False),  # why it could not be parsed whole; else empty
    Column("catalogue_version", Integer, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    # folded
    Column("line_no", Number),
    Column("live_places", Integer, nullable=False),
    # Live places outside trust stores: what lists and charts show unless told otherwise.
    Column("in_use", Integer, nullable=False, server_default="0"),
    Column("retained_places", Integer, nullable=False),
    Column("hosts", Integer, nullable=False),
    Column("folded_ms", BigInteger, nullable=False),
    Column("owned", Boolean, nullable=False, server_default=false()),  # by a team or several
    # Minus its importance: what matters most comes first, and of that what expires first.
    Column("rank", Integer, nullable=False, server_default="0"),
    # Its private key is somewhere; it is self-signed, or its issuer's certificate is known.
    Column("key_found", Boolean, nullable=False, server_default=false()),
    Column("issuer_found", Boolean, nullable=False, server_default=false()),
    Index(None, "rank", "not_after_ms", "sha256"),
    Index(None, "first_seen_ms", "sha256"),  # what was found last; grows at its end
    Index(
        "ix_certificate_ownerless",
        "not_after_ms",
        "sha256",
        sqlite_where=text(OWNERLESS_SQLITE),
        postgresql_where=text(OWNERLESS),
    ),
    Index(
        "ix_certificate_gone",
        *("not_after_ms", "sha256"),
        sqlite_where=text(GONE),
        postgresql_where=text(GONE),
    ),
    Index(
        "ix_certificate_keyless",
        *("not_after_ms", "sha256", "in_use", "is_ca"),
        sqlite_where=text(KEYLESS_SQLITE),
        postgresql_where=text(KEYLESS),
    ),
    Index(
        "ix_certificate_issuerless",
        *("not_after_ms", "sha256", "in_use", "self_signed"),
        sqlite_where=text(ISSUERLESS_SQLITE),
        postgresql_where=text(ISSUERLESS),
    ),
    # Of what an authority has issued, the authorities are few.
    Index(
        "ix_certificate_authority",
        *("sha256", "key_id"),
        sqlite_where=text(AUTHORITY_SQLITE),
        postgresql_where=text(AUTHORITY),
    ),
    # Whether a key has a certificate somewhere: it ends in the index, for each key of a list.
    Index("ix_certificate_key_id", "key_id", "live_places", "retained_places"),
    Index(None, "sha1"),
    Index(None, "serial", postgresql_using="hash"),  # as long as a stranger likes
    # The order of lists, and what they ask of most certificates: counting reads no rows.
    Index(
        "ix_certificate_by_end",
        *("not_after_ms", "sha256", "is_ca", "self_signed", "live_places", "retained_places"),
        *("hosts", "key_id", "in_use", "algorithm", "bits"),
    ),
    # For charts; PostgreSQL's B-tree entries are too short for the longest names.
    Index("ix_certificate_issuer", "issuer", "in_use").ddl_if(dialect="sqlite"),
    Index(None, "subject_der_hash"),
    Index(None, "issuer_der_hash", "sha256"),
    Index(None, "line_no"),
)

certificate_name = Table(
    "certificate_name",
    metadata,
    Column("sha256", LargeBinary(32), ForeignKey("certificate.sha256"), primary_key=True),
    Column("position", Integer, primary_key=True),
    # "common-name" (position 0), then SANs: "dns", "ip", "email", "uri", "directory", "other"
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reversed_labels", Text, nullable=False),  # "com.example.www" for dns
    Index(None, "value", postgresql_using="hash"),  # as long as a stranger likes
    Index(None, "reversed_labels").ddl_if(dialect="sqlite"),
)

public_key = Table(
    "public_key",
    metadata,
    Column("key_id", LargeBinary(32), primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("bits", Integer, nullable=False),
    Column("curve", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("catalogue_version", Integer, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    # folded: places of private halves
    Column("live_places", Integer, nullable=False),
    # Live places outside trust stores, as of certificates.
    Column("in_use", Integer, nullable=False, server_default="0"),
    Column("retained_places", Integer, nullable=False),
    Column("hosts", Integer, nullable=False),
    Column("folded_ms", BigInteger, nullable=False),
    # A certificate of it is somewhere.
    Column("certified", Boolean, nullable=False, server_default=false()),
    # A live place outside trust stores is readable by everybody.
    Column("world_readable", Boolean, nullable=False, server_default=false()),
    Column("owned", Boolean, nullable=False, server_default=false()),
    Index(
        "ix_public_key_uncertified",
        "key_id",
        sqlite_where=text(UNCERTIFIED_SQLITE),
        postgresql_where=text(UNCERTIFIED),
    ),
    Index(
        "ix_public_key_open",
        "key_id",
        sqlite_where=text(OPEN_SQLITE),
        postgresql_where=text(OPEN),
    ),
    Index(
        "ix_public_key_ownerless",
        "key_id",
        sqlite_where=text(OWNERLESS_SQLITE),
        postgresql_where=text(OWNERLESS),
    ),
    sqlite_with_rowid=False,
)

request = Table(
    "request",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("key_id", LargeBinary, nullable=False),
    Column("subject", Text, nullable=False),
    Column("names_text", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
)

revocation_list = Table(
    "revocation_list",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("issuer_der_hash", LargeBinary, nullable=False),
    Column("this_update_ms", BigInteger),
    Column("next_update_ms", BigInteger),
    Column("revoked_count", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("number", Text, nullable=False, server_default=""),  # 40 hexadecimal digits; or empty
    Column("base_number", Text, nullable=False, server_default=""),  # of a delta
    Column("authority_key_identifier", LargeBinary, nullable=False, server_default=""),
    Column("only_contains", Text, nullable=False, server_default=""),  # "user", "ca", "attribute"
    Column("reasons", LargeBinary, nullable=False, server_default=""),  # empty: all
    Column("indirect", Boolean, nullable=False, server_default=false()),
    Column("points", LargeBinary, nullable=False, server_default=""),
    Column("unusable", Text, nullable=False, server_default=""),
    # What became of it (revocation/taking.py): "", "in-force", "replaced", "older", "waiting", "unverified",
    # "unusable"; and why.
    Column("state", Text, nullable=False, server_default=""),
    Column("why", Text, nullable=False, server_default=""),
    # Where else than on hosts it is from: a configured file, an import; empty: hosts report it.
    Column("origin", Text, nullable=False, server_default=""),
    Index(None, "issuer_der_hash"),
)

# child was signed by parent's key: verified, not guessed from names.
issuer_edge = Table(
    "issuer_edge",
    metadata,
    Column("child", LargeBinary(32), primary_key=True),
    Column("parent", LargeBinary(32), primary_key=True),
    Column("verified_ms", BigInteger, nullable=False),
    Index(None, "parent"),
    sqlite_with_rowid=False,
)

# --- lines ------------------------------------------------------------------------------------

line = Table(
    "line",
    metadata,
    Column("line_no", Number, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("name", Text, nullable=False),  # common name or first SAN of its newest certificate
)

line_step = Table(
    "line_step",
    metadata,
    Column("successor", LargeBinary(32), primary_key=True),
    Column("predecessor", LargeBinary(32), primary_key=True),
    Column("line_no", Number, ForeignKey("line.line_no"), nullable=False),
    Column("kind", Text, nullable=False),  # "renewal", "rekey", "replacement"
    Column("place_no", Number, nullable=False),  # evidence: where it followed
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "predecessor"),
    Index(None, "at_ms", "successor"),  # what was renewed lately
)

# --- views ------------------------------------------------------------------------------------

view = Table(
    "view",
    metadata,
    Column("view_no", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("what", Text, nullable=False),  # "certificates", "keys", "places", "hosts"
    Column("query", Text, nullable=False),  # its tree as JSON, with a version (query/stored.py)
    Column("columns", Text, nullable=False),  # JSON list of names
    Column("saved_by", Text, nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
)

# --- people -----------------------------------------------------------------------------------

user = Table(
    "user",
    metadata,
    Column("user_no", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),  # argon2id; empty: can't sign in
    Column("role", Text, nullable=False),  # one of access.permissions.ROLES
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
    # "all", or "teams": only what the teams of the person behind it own
    Column("sees", Text, nullable=False, server_default="all"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("user_no", Number, ForeignKey("user.user_no"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("last_used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    # JSON list: no more than these, nor more than its user; empty: all that the user may.
    Column("permissions", Text, nullable=False, server_default=""),
    Column("teams", Text, nullable=False, server_default=""),  # likewise, of numbers of teams
)

audit = Table(
    "audit",
    metadata,
    Column("audit_no", Number, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),  # "user:NAME", "agent:UUID", "operator" (local command)
    Column("action", Text, nullable=False),  # "token.create", "agent.enrol", "agent.ban", ...
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON, without secrets
    Column("hash", LargeBinary(32)),  # of the row and the hash before it (access/audit.py)
    Index(None, "at_ms"),
    Index(None, "subject", postgresql_using="hash"),  # as long as a stranger likes
)
