"""From facts to the catalogue's tables: one row a blob, written again when parsing learned more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete

from keycensus_collector.catalogue.facts import (
    CATALOGUE_VERSION,
    CertificateFacts,
    Facts,
    PublicKeyFacts,
    RequestFacts,
    RevocationListFacts,
)
from keycensus_collector.catalogue.names import NameFact, reversed_labels
from keycensus_collector.fold.counterparts import note_found
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import (
    certificate,
    certificate_name,
    public_key,
    request,
    revocation_list,
)

# Written by the fold, or once: not to be overwritten when a blob is parsed again.
_KEPT = {"first_seen_ms", "line_no", "live_places", "retained_places", "hosts", "folded_ms"}
_KEPT |= {"in_use", "key_found", "issuer_found", "certified"}
_UNFOLDED = {"live_places": 0, "retained_places": 0, "hosts": 0, "folded_ms": 0}


@dataclass(frozen=True, slots=True)
class ReadBlob:
    """One blob with what it says. `hash` was recomputed when it was stored."""

    hash: bytes
    sha1: bytes
    facts: Facts


def read_blob_of(hash_: bytes, data: bytes, facts: Facts) -> ReadBlob:
    """Return the blob with the older fingerprint that people still paste."""
    return ReadBlob(hash_, hashlib.sha1(data, usedforsecurity=False).digest(), facts)


def write_blobs(connection: Connection, blobs: Sequence[ReadBlob], now_ms: int) -> None:
    """Insert or renew the rows of these blobs. The folded columns stay as they are."""
    certificates = {
        b.hash: (b.sha1, b.facts) for b in blobs if isinstance(b.facts, CertificateFacts)
    }
    _write(
        connection,
        certificate,
        [_certificate(h, sha1, facts, now_ms) for h, (sha1, facts) in certificates.items()],
    )
    _write_names(connection, {hash_: facts for hash_, (_, facts) in certificates.items()})
    note_found(connection, list(certificates))
    keys = {b.hash: b.facts for b in blobs if isinstance(b.facts, PublicKeyFacts)}
    _write(connection, public_key, [_public_key(h, facts, now_ms) for h, facts in keys.items()])
    certified = {f.key.key_id: f.key for _, f in certificates.values() if f.key.key_id}
    _write_certified_keys(connection, certified, now_ms)
    requests = {b.hash: b.facts for b in blobs if isinstance(b.facts, RequestFacts)}
    _write(connection, request, [_request(h, facts, now_ms) for h, facts in requests.items()])
    lists = {b.hash: b.facts for b in blobs if isinstance(b.facts, RevocationListFacts)}
    _write(connection, revocation_list, [_crl(h, facts, now_ms) for h, facts in lists.items()])


def _write(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = upsert(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in _KEPT | set(keys)}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _certificate(hash_: bytes, sha1: bytes, facts: CertificateFacts, now_ms: int) -> dict[str, Any]:
    return {
        "sha256": hash_,
        "sha1": sha1,
        "key_id": facts.key.key_id,
        "subject": facts.subject,
        "subject_der_hash": facts.subject_der_hash,
        "common_name": facts.common_name,
        "issuer": facts.issuer,
        "issuer_der_hash": facts.issuer_der_hash,
        "serial": facts.serial,
        "not_before_ms": facts.not_before_ms,
        "not_after_ms": facts.not_after_ms,
        "names_text": _names_text(facts.names),
        "is_ca": facts.is_ca,
        "self_signed": facts.self_signed,
        "signature_algorithm": facts.signature_algorithm,
        "algorithm": facts.key.algorithm,
        "bits": facts.key.bits,
        "curve": facts.key.curve,
        "subject_key_identifier": facts.subject_key_identifier,
        "authority_key_identifier": facts.authority_key_identifier,
        "extended_key_usage": facts.extended_key_usage,
        "crl_points": facts.crl_points,
        "crl_issuers": facts.crl_issuers,
        "problem": facts.problem,
        "catalogue_version": CATALOGUE_VERSION,
        "first_seen_ms": now_ms,
        **_UNFOLDED,
    }


def _names_text(names: Iterable[NameFact]) -> str:
    return "\n".join(name.value for name in names)


def _write_names(connection: Connection, certificates: dict[bytes, CertificateFacts]) -> None:
    rows: list[dict[str, Any]] = []
    for hash_, facts in certificates.items():
        # The common name is searched like the others: one index for "any name".
        names = (NameFact("common-name", facts.common_name), *facts.names)
        rows += [
            {
                "sha256": hash_,
                "position": position,
                "kind": name.kind,
                "value": name.value.lower(),
                "reversed_labels": reversed_labels(name),
            }
            for position, name in enumerate(names)
            if name.value
        ]
    connection.execute(
        delete(certificate_name).where(certificate_name.c.sha256.in_(list(certificates)))
    )
    if rows:
        connection.execute(certificate_name.insert(), rows)


def _public_key(hash_: bytes, facts: PublicKeyFacts, now_ms: int) -> dict[str, Any]:
    problem = facts.problem
    if not problem and facts.key_id != hash_:
        problem = "not in canonical form"
    return {
        "key_id": hash_,
        "algorithm": facts.algorithm,
        "bits": facts.bits,
        "curve": facts.curve,
        "problem": problem,
        "catalogue_version": CATALOGUE_VERSION,
        "first_seen_ms": now_ms,
        **_UNFOLDED,
    }


def _write_certified_keys(
    connection: Connection, keys: dict[bytes, PublicKeyFacts], now_ms: int
) -> None:
    """Make a row for each certificate's key that has none yet."""
    if keys:
        rows = [_public_key(key_id, facts, now_ms) for key_id, facts in keys.items()]
        connection.execute(upsert(connection, public_key).on_conflict_do_nothing(), rows)


def _request(hash_: bytes, facts: RequestFacts, now_ms: int) -> dict[str, Any]:
    return {
        "sha256": hash_,
        "key_id": facts.key.key_id,
        "subject": facts.subject,
        "names_text": _names_text(facts.names),
        "problem": facts.problem,
        "first_seen_ms": now_ms,
    }


def _crl(hash_: bytes, facts: RevocationListFacts, now_ms: int) -> dict[str, Any]:
    return {"sha256": hash_, "first_seen_ms": now_ms, **list_columns(facts)}


def list_columns(facts: RevocationListFacts) -> dict[str, Any]:
    """Return what a revocation list says as columns of its row."""
    return {
        "issuer": facts.issuer,
        "issuer_der_hash": facts.issuer_der_hash,
        "this_update_ms": facts.this_update_ms,
        "next_update_ms": facts.next_update_ms,
        "revoked_count": facts.revoked_count,
        "number": facts.number,
        "base_number": facts.base_number,
        "authority_key_identifier": facts.authority_key_identifier,
        "only_contains": facts.only_contains,
        "reasons": facts.reasons,
        "indirect": facts.indirect,
        "points": facts.points,
        "unusable": facts.unusable,
        "problem": facts.problem,
    }
