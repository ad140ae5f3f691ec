"""As much of JSON Schema (draft 2020-12) as docs/scan-output.schema.json uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, type] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
}  # fmt: skip
_KNOWN = {
    "$schema", "$defs", "$ref", "title", "oneOf", "type", "properties", "required",
    "additionalProperties", "items", "enum", "pattern",
}  # fmt: skip

Json = Any


def violations(value: Json, schema: dict[str, Json], whole: dict[str, Json]) -> Iterator[str]:
    """Yield what of `value` breaks `schema`; references are looked up in `whole`."""
    unknown = schema.keys() - _KNOWN
    if unknown:
        yield f"the schema uses {unknown}, which this check does not know"
    if "$ref" in schema:
        yield from violations(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "oneOf" in schema:
        results = [list(violations(value, one, whole)) for one in schema["oneOf"]]
        if sum(not result for result in results) != 1:
            yield f"not exactly one of {len(results)}: {results}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is none of {schema['enum']}"
    yield from _scalar(value, schema)
    if isinstance(value, dict):
        yield from _object(value, schema, whole)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from violations(item, schema["items"], whole)


def _scalar(value: Json, schema: dict[str, Json]) -> Iterator[str]:
    expected = _TYPES.get(schema.get("type", ""))
    if expected is not None and (
        not isinstance(value, expected) or (expected is int and isinstance(value, bool))
    ):
        yield f"{value!r} is no {schema['type']}"
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{value!r} does not match {schema['pattern']}"


def _object(
    value: dict[str, Json], schema: dict[str, Json], whole: dict[str, Json]
) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{name} is missing"
    rest = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], whole)
        elif isinstance(rest, dict):
            yield from violations(item, rest, whole)
        elif not rest:
            yield f"{name} is not described"
