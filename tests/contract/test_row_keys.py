"""Row keys are computed by agent and collector with code of their own; this holds them together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keycensus_agent import model, usage
from keycensus_collector.intake import rows, usage_rows

_VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "row_key_vectors.json").read_text(encoding="utf-8")
)


def _bytes(vector: dict[str, str], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("vector", _VECTORS["places"])
def test_both_sides_compute_the_same_key_of_a_place(vector: dict[str, str]) -> None:
    kind = vector["scope_kind"]
    name, path, key = _bytes(vector, "scope_name", "path", "key")
    assert model.place_key(model.Scope(kind, name), path) == key
    assert rows.place_key(kind, name, path) == key


@pytest.mark.parametrize("vector", _VECTORS["gaps"])
def test_both_sides_compute_the_same_key_of_a_gap(vector: dict[str, str]) -> None:
    kind, reason = vector["scope_kind"], vector["reason"]
    name, prefix, key = _bytes(vector, "scope_name", "prefix", "key")
    assert model.gap_key(model.Gap(prefix, reason, "detail", model.Scope(kind, name))) == key
    assert rows.gap_key(kind, name, prefix, reason) == key


@pytest.mark.parametrize("vector", _VECTORS["usages"])
def test_both_sides_compute_the_same_key_of_a_usage(vector: dict[str, str]) -> None:
    binding, key = _bytes(vector, "binding", "key")
    assert usage.usage_key(binding) == usage_rows.usage_key(binding) == key


def test_an_empty_scope_kind_means_the_host() -> None:
    assert rows.place_key("", b"", b"/a") == rows.place_key("host", b"", b"/a")
    assert rows.gap_key("", b"", b"/a", "x") == rows.gap_key("host", b"", b"/a", "x")
    assert rows.place_key("", b"name", b"/a") == rows.place_key("host", b"name", b"/a")
