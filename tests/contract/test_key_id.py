"""The agent's and the collector's `key_id` are two copies of one rule: these vectors hold them to it."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import pytest

VECTORS: list[dict[str, str]] = json.loads(
    Path(__file__).with_name("key_id_vectors.json").read_text(encoding="utf-8")
)["vectors"]
MODULES = ("keycensus_agent.parser.key_id", "keycensus_collector.catalogue.key_id")


class KeyId(Protocol):
    key_id: Callable[[bytes], bytes]
    canonical_spki: Callable[[bytes], bytes]


@pytest.fixture(params=MODULES)
def rule(request: pytest.FixtureRequest) -> KeyId:
    return cast("KeyId", importlib.import_module(request.param))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_vector_has_its_canonical_form_and_identity(
    rule: KeyId, vector: dict[str, str]
) -> None:
    spki = bytes.fromhex(vector["spki"])
    assert rule.canonical_spki(spki).hex() == vector["canonical"]
    assert rule.key_id(spki).hex() == vector["key_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_canonical_form_of_a_canonical_form_is_itself(
    rule: KeyId, vector: dict[str, str]
) -> None:
    canonical = bytes.fromhex(vector["canonical"])
    assert rule.canonical_spki(canonical) == canonical
    assert hashlib.sha256(canonical).hexdigest() == vector["key_id"]


def test_the_vectors_cover_every_curve_that_is_decompressed() -> None:
    curves = importlib.import_module("keycensus_agent.parser.curves")
    compressed = [row for row in VECTORS if row["name"].endswith("-compressed")]
    changed = [row for row in compressed if row["spki"] != row["canonical"]]
    assert len(changed) == len(curves.CURVES)
