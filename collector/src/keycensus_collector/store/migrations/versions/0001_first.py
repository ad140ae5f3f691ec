"""The first tables: deployment, hosts, content, catalogue, lines, people.

Written out, not taken from `schema`: a migration says for ever what it did.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table and index."""
    _create_audit()
    _create_authority_certificate()
    _create_blob()
    _create_certificate()
    _create_deployment()
    _create_host()
    _create_issuer_edge()
    _create_line()
    _create_manifest()
    _create_public_key()
    _create_request()
    _create_revocation_list()
    _create_token()
    _create_user()
    _create_work()
    _create_agent()
    _create_api_token()
    _create_certificate_name()
    _create_gap()
    _create_holding()
    _create_host_state()
    _create_line_step()
    _create_manifest_entry()
    _create_manifest_part()
    _create_place()
    _create_usage()
    _create_agent_certificate()
    _create_intake_batch()
    _create_place_version()
    _create_session()
    _create_token_use()


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_no", _NUMBER, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("audit_no", name="pk_audit"),
    )


def _create_authority_certificate() -> None:
    op.create_table(
        "authority_certificate",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_anchor", sa.Boolean(), nullable=False),
        sa.Column("added_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_authority_certificate"),
    )


def _create_blob() -> None:
    op.create_table(
        "blob",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", "kind", name="pk_blob"),
    )


def _create_certificate() -> None:
    op.create_table(
        "certificate",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sha1", sa.LargeBinary(length=20), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("common_name", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("issuer_der_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger()),
        sa.Column("not_after_ms", sa.BigInteger()),
        sa.Column("names_text", sa.Text(), nullable=False),
        sa.Column("is_ca", sa.Boolean(), nullable=False),
        sa.Column("self_signed", sa.Boolean(), nullable=False),
        sa.Column("signature_algorithm", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("subject_key_identifier", sa.LargeBinary(), nullable=False),
        sa.Column("authority_key_identifier", sa.LargeBinary(), nullable=False),
        sa.Column("extended_key_usage", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("catalogue_version", sa.Integer(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("line_no", _NUMBER),
        sa.Column("live_places", sa.Integer(), nullable=False),
        sa.Column("retained_places", sa.Integer(), nullable=False),
        sa.Column("hosts", sa.Integer(), nullable=False),
        sa.Column("folded_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_certificate"),
    )
    op.create_index("ix_certificate_issuer_der_hash", "certificate", ["issuer_der_hash"])
    op.create_index("ix_certificate_key_id", "certificate", ["key_id"])
    op.create_index("ix_certificate_line_no", "certificate", ["line_no"])
    op.create_index("ix_certificate_not_after_ms", "certificate", ["not_after_ms"])
    op.create_index("ix_certificate_serial", "certificate", ["serial"])
    op.create_index("ix_certificate_sha1", "certificate", ["sha1"])
    op.create_index("ix_certificate_subject_der_hash", "certificate", ["subject_der_hash"])


def _create_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("deployment_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("database_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_no", name="pk_deployment"),
    )


def _create_host() -> None:
    op.create_table(
        "host",
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("host_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("operating_system", sa.Text(), nullable=False),
        sa.Column("kernel", sa.Text(), nullable=False),
        sa.Column("agent_version", sa.Text(), nullable=False),
        sa.Column("machine_hash", sa.LargeBinary()),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("counters", sa.Text(), nullable=False),
        sa.Column("clock_skew_ms", sa.BigInteger(), nullable=False),
        sa.Column("retired_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("host_no", name="pk_host"),
        sa.UniqueConstraint("host_id", name="uq_host_host_id"),
    )
    op.create_index("ix_host_machine_hash", "host", ["machine_hash"])
    op.create_index("ix_host_name", "host", ["name"])


def _create_issuer_edge() -> None:
    op.create_table(
        "issuer_edge",
        sa.Column("child", sa.LargeBinary(length=32), nullable=False),
        sa.Column("parent", sa.LargeBinary(length=32), nullable=False),
        sa.Column("verified_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("child", "parent", name="pk_issuer_edge"),
    )
    op.create_index("ix_issuer_edge_parent", "issuer_edge", ["parent"])


def _create_line() -> None:
    op.create_table(
        "line",
        sa.Column("line_no", _NUMBER, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("line_no", name="pk_line"),
    )


def _create_manifest() -> None:
    op.create_table(
        "manifest",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("entry_count", sa.Integer(), nullable=False),
        sa.Column("part_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_manifest"),
    )


def _create_public_key() -> None:
    op.create_table(
        "public_key",
        sa.Column("key_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("catalogue_version", sa.Integer(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("live_places", sa.Integer(), nullable=False),
        sa.Column("retained_places", sa.Integer(), nullable=False),
        sa.Column("hosts", sa.Integer(), nullable=False),
        sa.Column("folded_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_public_key"),
    )


def _create_request() -> None:
    op.create_table(
        "request",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("names_text", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_request"),
    )


def _create_revocation_list() -> None:
    op.create_table(
        "revocation_list",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("issuer_der_hash", sa.LargeBinary(), nullable=False),
        sa.Column("this_update_ms", sa.BigInteger()),
        sa.Column("next_update_ms", sa.BigInteger()),
        sa.Column("revoked_count", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_revocation_list"),
    )


def _create_token() -> None:
    op.create_table(
        "token",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("token_id", name="pk_token"),
    )


def _create_user() -> None:
    op.create_table(
        "user",
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("user_no", name="pk_user"),
        sa.UniqueConstraint("name", name="uq_user_name"),
    )


def _create_work() -> None:
    op.create_table(
        "work",
        sa.Column("work_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("queued_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("work_no", name="pk_work"),
    )


def _create_agent() -> None:
    op.create_table(
        "agent",
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("enrolled_ms", sa.BigInteger(), nullable=False),
        sa.Column("enrolled_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_agent_host_no"),
        sa.PrimaryKeyConstraint("agent_no", name="pk_agent"),
        sa.UniqueConstraint("agent_id", name="uq_agent_agent_id"),
    )
    op.create_index("ix_agent_host_no", "agent", ["host_no"])


def _create_api_token() -> None:
    op.create_table(
        "api_token",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_no", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger()),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_no"], ["user.user_no"], name="fk_api_token_user_no"),
        sa.PrimaryKeyConstraint("token_id", name="pk_api_token"),
    )


def _create_certificate_name() -> None:
    op.create_table(
        "certificate_name",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reversed_labels", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["certificate.sha256"], name="fk_certificate_name_sha256"
        ),
        sa.PrimaryKeyConstraint("sha256", "position", name="pk_certificate_name"),
    )
    op.create_index("ix_certificate_name_reversed_labels", "certificate_name", ["reversed_labels"])
    op.create_index("ix_certificate_name_value", "certificate_name", ["value"])


def _create_gap() -> None:
    op.create_table(
        "gap",
        sa.Column("gap_no", _NUMBER, nullable=False),
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("prefix_raw", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_gap_host_no"),
        sa.PrimaryKeyConstraint("gap_no", name="pk_gap"),
    )
    op.create_index("ix_gap_host_no_key", "gap", ["host_no", "key"])


def _create_holding() -> None:
    op.create_table(
        "holding",
        sa.Column("artifact", sa.LargeBinary(length=32), nullable=False),
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("retained", sa.Integer(), nullable=False),
        sa.Column("roles", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_holding_host_no"),
        sa.PrimaryKeyConstraint("artifact", "host_no", "kind", name="pk_holding"),
    )
    op.create_index("ix_holding_host_no", "holding", ["host_no"])


def _create_host_state() -> None:
    op.create_table(
        "host_state",
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_host_state_host_no"),
        sa.PrimaryKeyConstraint("host_no", "from_ms", name="pk_host_state"),
    )


def _create_line_step() -> None:
    op.create_table(
        "line_step",
        sa.Column("successor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("predecessor", sa.LargeBinary(length=32), nullable=False),
        sa.Column("line_no", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place_no", _NUMBER, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["line_no"], ["line.line_no"], name="fk_line_step_line_no"),
        sa.PrimaryKeyConstraint("successor", "predecessor", name="pk_line_step"),
    )
    op.create_index("ix_line_step_predecessor", "line_step", ["predecessor"])


def _create_manifest_entry() -> None:
    op.create_table(
        "manifest_entry",
        sa.Column("manifest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("artifact", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["manifest"], ["manifest.hash"], name="fk_manifest_entry_manifest"),
        sa.PrimaryKeyConstraint("manifest", "position", name="pk_manifest_entry"),
    )
    op.create_index("ix_manifest_entry_artifact", "manifest_entry", ["artifact"])


def _create_manifest_part() -> None:
    op.create_table(
        "manifest_part",
        sa.Column("manifest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("part", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["manifest"], ["manifest.hash"], name="fk_manifest_part_manifest"),
        sa.PrimaryKeyConstraint("manifest", "position", name="pk_manifest_part"),
    )
    op.create_index("ix_manifest_part_part", "manifest_part", ["part"])


def _create_place() -> None:
    op.create_table(
        "place",
        sa.Column("place_no", _NUMBER, nullable=False),
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("path_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scope_kind", sa.Text(), nullable=False),
        sa.Column("scope_name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("mode", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("file_id", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("gone_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_place_host_no"),
        sa.PrimaryKeyConstraint("place_no", name="pk_place"),
        sa.UniqueConstraint("host_no", "path_hash", name="uq_place_host_no_path_hash"),
    )
    op.create_index("ix_place_manifest", "place", ["manifest"])


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("host_no", _NUMBER, nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["host_no"], ["host.host_no"], name="fk_usage_host_no"),
        sa.PrimaryKeyConstraint("host_no", "key", name="pk_usage"),
    )


def _create_agent_certificate() -> None:
    op.create_table(
        "agent_certificate",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("public_key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_no"], ["agent.agent_no"], name="fk_agent_certificate_agent_no"
        ),
        sa.PrimaryKeyConstraint("serial", name="pk_agent_certificate"),
    )
    op.create_index("ix_agent_certificate_agent_no", "agent_certificate", ["agent_no"])


def _create_intake_batch() -> None:
    op.create_table(
        "intake_batch",
        sa.Column("batch_no", _NUMBER, nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("instance", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("ack", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_intake_batch_agent_no"),
        sa.PrimaryKeyConstraint("batch_no", name="pk_intake_batch"),
        sa.UniqueConstraint(
            "agent_no", "instance", "sequence", name="uq_intake_batch_agent_no_instance_sequence"
        ),
    )


def _create_place_version() -> None:
    op.create_table(
        "place_version",
        sa.Column("version_no", _NUMBER, nullable=False),
        sa.Column("place_no", _NUMBER, nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger()),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("observed_ms", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("batch_no", _NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["place_no"], ["place.place_no"], name="fk_place_version_place_no"),
        sa.PrimaryKeyConstraint("version_no", name="pk_place_version"),
    )
    op.create_index("ix_place_version_batch_no", "place_version", ["batch_no"])
    op.create_index("ix_place_version_manifest", "place_version", ["manifest"])
    op.create_index("ix_place_version_place_no_from_ms", "place_version", ["place_no", "from_ms"])


def _create_session() -> None:
    op.create_table(
        "session",
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("instance", sa.LargeBinary(length=16), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16)),
        sa.Column("pending_nonce", sa.LargeBinary(length=16)),
        sa.Column("boot_id", sa.LargeBinary(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("list_wanted", sa.Boolean(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_session_agent_no"),
        sa.PrimaryKeyConstraint("agent_no", name="pk_session"),
    )


def _create_token_use() -> None:
    op.create_table(
        "token_use",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("public_key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("agent_no", _NUMBER, nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_token_use_agent_no"),
        sa.ForeignKeyConstraint(["token_id"], ["token.token_id"], name="fk_token_use_token_id"),
        sa.PrimaryKeyConstraint("token_id", "public_key_hash", name="pk_token_use"),
    )
