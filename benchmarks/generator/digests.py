"""What an inventory says, whatever its rows are numbered: a digest of each kind of facts."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, text

# ruff: noqa: S608 - nothing of it comes from outside
_PLACE = "h.name, p.scope_kind, p.scope_name, p.path"
_FACTS = 'status, reason, format, mode, owner, "group", target, role, "use", readable_by, package'

# Left out: numbers of rows, times of the fold, blobs (bulk has none), and lines of a single certificate.
QUERIES = {
    "hosts": "SELECT name, state, operating_system, kernel, agent_version, labels, complete FROM host",
    "places": f"SELECT {_PLACE}, p.manifest, {_FACTS}, first_seen_ms, changed_ms, gone_ms "
    "FROM place p JOIN host h ON h.host_no = p.host_no",
    "versions": f"SELECT {_PLACE}, v.from_ms, v.to_ms, v.manifest, v.row, v.cause FROM place_version v "
    "JOIN place p ON p.place_no = v.place_no JOIN host h ON h.host_no = p.host_no",
    "past": f'SELECT {_PLACE}, v.from_ms, v.to_ms, v.manifest, v.mode, v.role, v."use" FROM place_past v '
    "JOIN place p ON p.place_no = v.place_no JOIN host h ON h.host_no = p.host_no",
    "manifests": "SELECT m.hash, m.format, m.entry_count, e.position, e.kind, e.artifact, e.algorithm, "
    "e.bits, e.encrypted, e.size FROM manifest m JOIN manifest_entry e ON e.manifest = m.hash",
    "certificates": "SELECT sha256, sha1, key_id, subject, subject_der_hash, common_name, issuer, "
    "issuer_der_hash, serial, not_before_ms, not_after_ms, names_text, is_ca, self_signed, "
    "signature_algorithm, algorithm, bits, curve, subject_key_identifier, authority_key_identifier, "
    "extended_key_usage, problem, first_seen_ms, rank, owned FROM certificate",
    "counts": "SELECT sha256, live_places, in_use, retained_places, hosts, key_found, issuer_found FROM certificate",
    "names": "SELECT sha256, position, kind, value, reversed_labels FROM certificate_name",
    "keys": "SELECT key_id, algorithm, bits, curve, problem, live_places, in_use, retained_places, hosts, owned, certified, "
    "world_readable FROM public_key",
    "edges": "SELECT child, parent FROM issuer_edge",
    "holdings": "SELECT h.name, o.artifact, o.kind, o.live, o.retained, o.roles FROM holding o "
    "JOIN host h ON h.host_no = o.host_no",
    "steps": "SELECT successor, predecessor, kind, l.name FROM line_step s JOIN line l ON l.line_no = s.line_no",
    "owners": "SELECT o.kind, o.artifact, t.name, o.owns, o.how, o.from_ms, o.to_ms "
    "FROM artifact_owner o JOIN team t ON t.team_no = o.team_no",
    "host-owners": "SELECT h.name, t.name, o.how, o.from_ms, o.to_ms FROM host_owner o "
    "JOIN team t ON t.team_no = o.team_no JOIN host h ON h.host_no = o.host_no",
    "place-owners": f"SELECT {_PLACE}, t.name, o.how, o.from_ms, o.to_ms FROM place_owner o "
    "JOIN team t ON t.team_no = o.team_no JOIN place p ON p.place_no = o.place_no "
    "JOIN host h ON h.host_no = p.host_no",
    "labels": "SELECT l.kind, h.name, l.artifact, l.key, l.value, l.source FROM label l "
    "LEFT JOIN host h ON h.host_no = l.number AND l.kind = 'host'",
    "marks": "SELECT kind, subject, word, reason, from_ms, to_ms FROM mark",
    "people": "SELECT p.name, p.state, t.name FROM person p LEFT JOIN membership m ON m.person_no = p.person_no "
    "LEFT JOIN team t ON t.team_no = m.team_no",
}


def digests(connection: Connection) -> dict[str, tuple[int, str]]:
    """Return how many rows say what, and the hash of them in an order of their own."""
    found = {}
    for name, query in QUERIES.items():
        rows = sorted(repr(tuple(map(_plain, row))) for row in connection.execute(text(query)))
        found[name] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    return found


def _plain(value: object) -> object:
    """Return a value as both products say it."""
    if isinstance(value, bool):
        return int(value)
    return bytes(value) if isinstance(value, memoryview) else value
