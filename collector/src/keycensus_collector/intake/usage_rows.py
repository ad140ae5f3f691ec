"""From an encoded Usage to a row that is fit to be written. Pure: no SQL, no clock.

An agent's claim: bounded, and its text escaped. What a listener presented is known by hashes; the
certificates behind them come as blobs and are read here like any others.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from keycensus_collector.intake import convert
from keycensus_collector.intake.model import (
    HASH_BYTES,
    Change,
    HandshakeFields,
    MalformedError,
    UsageFields,
)
from keycensus_collector.intake.words import PATH_BYTES, path_text, word

# What one binding may name (agent: usage.py), with room for agents that know more.
PLACES = 4096
NAMES = 1024
HANDSHAKES = 64
CHAIN = 64
BINDING_BYTES = 512 * 1024
_MANIFEST_BYTES = frozenset({0, HASH_BYTES})
_BIGGEST = 2**53


@dataclass(frozen=True, slots=True)
class UsageChange:
    """One state of one usage; gone if `row` is empty.

    `columns` are those of the table `usage` from `service` to `renewal_schedule`, by name; `places`
    the path hashes that it names.
    """

    key: bytes
    row: bytes = b""
    row_hash: bytes = b""
    manifest: bytes = b""
    asked_ms: int | None = None
    columns: tuple[tuple[str, Any], ...] = ()
    places: tuple[bytes, ...] = ()
    position: int = 0


def usage_key(binding: bytes) -> bytes:
    """Return the row key of a usage (protos/README.md, section 3.1)."""
    return hashlib.sha256(b"keycensus usage v1\0" + binding).digest()


def usage_change(change: Change) -> UsageChange:
    """Decode and check one change; MalformedError if it is not fit."""
    if change.row is None:
        if len(change.key) != HASH_BYTES:
            raise MalformedError("no key")
        return UsageChange(change.key)
    usage = convert.decode_usage(change.row)
    if len(usage.binding) > BINDING_BYTES or usage_key(usage.binding) != change.key:
        raise MalformedError("the key is another row's")
    _check(usage)
    shown = [_handshake(each) for each in usage.handshakes]
    columns: dict[str, Any] = {
        "service": word(usage.service),
        "unit": word(usage.unit),
        "configuration": path_text(usage.configuration),
        "line": usage.line,
        "directive": word(usage.directive),
        "server_names": _lines(usage.server_names),
        "listen": _lines(usage.listen),
        "password_source": word(usage.password_source),
        "processes": _lines(usage.processes),
        "manifest": usage.manifest,
        "verdict": shown[0]["verdict"] if shown else "",
        "handshakes": json.dumps(shown),
        "renewal_tool": word(usage.renewal_tool),
        "renewal_success_ms": usage.renewal_success_ms or None,
        "renewal_overdue": usage.renewal_overdue,
        "renewal_schedule": word(usage.renewal_schedule),
        "renewal_reason": word(usage.renewal_reason),
    }
    return UsageChange(
        change.key,
        change.row,
        hashlib.sha256(change.row).digest(),
        usage.manifest,
        max((each.at_ms for each in usage.handshakes), default=None),
        tuple(columns.items()),
        tuple(sorted(set(usage.places))),
        change.position,
    )


def _check(usage: UsageFields) -> None:
    if len(usage.places) > PLACES or any(len(place) != HASH_BYTES for place in usage.places):
        raise MalformedError("too many places, or one that is no hash")
    if len(usage.manifest) not in _MANIFEST_BYTES:
        raise MalformedError("no manifest hash")
    if len(usage.configuration) > PATH_BYTES or b"\0" in usage.configuration:
        raise MalformedError("no path of a configuration")
    if len(usage.handshakes) > HANDSHAKES:
        raise MalformedError("too many handshakes")
    times = [usage.renewal_success_ms, *(each.at_ms for each in usage.handshakes)]
    if any(abs(time) > _BIGGEST for time in times):
        raise MalformedError("a time that never comes")


def _handshake(handshake: HandshakeFields) -> dict[str, Any]:
    if len(handshake.chain) > CHAIN or any(len(each) != HASH_BYTES for each in handshake.chain):
        raise MalformedError("a chain that is too long, or is none of hashes")
    return {
        "address": word(handshake.address),
        "server_name": word(handshake.server_name),
        "chain": [each.hex() for each in handshake.chain],
        "tls_version": word(handshake.tls_version),
        "cipher": word(handshake.cipher),
        "error": word(handshake.error),
        "verdict": word(handshake.verdict),
    }


def _lines(values: tuple[str, ...]) -> str:
    """Return values one a line: escaped text has no line break."""
    if len(values) > NAMES:
        raise MalformedError("too many names")
    return "\n".join(map(word, values))
