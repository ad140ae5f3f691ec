"""Frames between the collector and its catalogue child, and facts as JSON: never pickle.

A frame is four bytes of length (big-endian), that much JSON in UTF-8, then the raw parts whose lengths
the JSON's "parts" names. What the child answers is checked field by field: it has read hostile bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from keycensus_collector.catalogue.facts import (
    CertificateFacts,
    Facts,
    PublicKeyFacts,
    RequestFacts,
    RevocationListFacts,
    RevokedEntry,
)
from keycensus_collector.catalogue.names import NameFact

LENGTH_BYTES = 4
# A certificate with every name it may have, and room.
HEADER_LIMIT = 16 * 1024 * 1024
_HASH_BYTES = 32

_TYPES: dict[str, type[Facts]] = {
    "certificate": CertificateFacts,
    "key": PublicKeyFacts,
    "request": RequestFacts,
    "revocation-list": RevocationListFacts,
}
_NAMES = {type_: name for name, type_ in _TYPES.items()}
_HINTS: dict[type[Any], dict[str, Any]] = {
    type_: get_type_hints(type_) for type_ in (*_TYPES.values(), NameFact)
}


class WireError(Exception):
    """The other side sent what is no frame or no facts."""


def encode_frame(header: dict[str, Any], parts: tuple[bytes, ...] = ()) -> bytes:
    """Return one frame."""
    text = json.dumps(header | {"parts": [len(part) for part in parts]}).encode()
    return b"".join((len(text).to_bytes(LENGTH_BYTES, "big"), text, *parts))


def read_frame(read: Callable[[int], bytes], part_limit: int) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame with `read`, which gives exactly as many bytes as asked for. WireError."""
    length = int.from_bytes(read(LENGTH_BYTES), "big")
    if length > HEADER_LIMIT:
        raise WireError("a frame over the limit")
    try:
        header = json.loads(read(length))
        lengths = [int(part) for part in header["parts"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError("a frame that is no frame") from error
    if not all(0 <= part <= part_limit for part in lengths):
        raise WireError("a part over the limit")
    return header, [read(part) for part in lengths]


def facts_to_json(facts: Facts) -> dict[str, Any]:
    """Return facts as JSON values, bytes in hexadecimal."""
    return {"type": _NAMES[type(facts)], "fields": _to_json(facts)}


def _to_json(value: object) -> Any:  # noqa: ANN401 - JSON is any
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if is_dataclass(value):
        return {field.name: _to_json(getattr(value, field.name)) for field in fields(value)}
    return value


def facts_from_json(value: Any) -> Facts:  # noqa: ANN401 - JSON is any
    """Return the facts that `facts_to_json` wrote; WireError if any field is of another type."""
    try:
        facts: Facts = _object(_TYPES[value["type"]], value["fields"])
    except (KeyError, TypeError, ValueError) as error:
        raise WireError("facts that are no facts") from error
    return facts


def _object(type_: type[Any], content: dict[str, Any]) -> Any:  # noqa: ANN401 - any of the facts
    hints = _HINTS[type_]
    if set(content) != set(hints):
        raise WireError("facts with other fields")
    return type_(**{name: _field(hints[name], content[name]) for name in hints})


def _field(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON is any
    if hint is bytes:
        return bytes.fromhex(value)
    if hint == tuple[NameFact, ...]:
        return tuple(_object(NameFact, item) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        return _object(hint, value)
    allowed = get_args(hint) or (hint,)
    if type(value) not in allowed:
        raise WireError("a field of another type")
    return value


def entries_to_json(entries: Iterable[RevokedEntry]) -> list[list[Any]]:
    """Return entries of a revocation list as JSON values, an issuer only where it is another one."""
    rows: list[list[Any]] = []
    issuer = b""
    for each in entries:
        changed = "" if each.issuer == issuer else each.issuer.hex()
        issuer = each.issuer
        rows.append([changed, each.serial, each.revoked_ms, each.reason, each.invalidity_ms])
    return rows


def entries_from_json(value: Any) -> list[RevokedEntry]:  # noqa: ANN401 - JSON is any
    """Return the entries that `entries_to_json` wrote; WireError if any field is of another type."""
    entries: list[RevokedEntry] = []
    issuer = b""
    try:
        for changed, serial, revoked_ms, reason, invalidity_ms in value:
            issuer = bytes.fromhex(changed) or issuer
            row = (serial, revoked_ms, reason, invalidity_ms)
            if tuple(map(type, row[:3])) != (str, int, str) or len(issuer) != _HASH_BYTES:
                raise WireError("an entry of another type")
            if not (invalidity_ms is None or type(invalidity_ms) is int):
                raise WireError("an entry of another type")
            entries.append(RevokedEntry(issuer, *row))
    except (TypeError, ValueError) as error:
        raise WireError("entries that are no entries") from error
    return entries
