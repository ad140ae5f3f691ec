"""Owners through a real collector and a real agent: given, ruled, renewed, moved when somebody leaves."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent

# Owners follow what hosts report within seconds; a busy machine takes longer.
PATIENCE_SECONDS = 30.0
RULES = """
owners:
  - {rule: shops, of: hosts, host: "shop*", owner: shop}
labels:
  - {rule: shops, of: hosts, set: application=shop, host: "shop*"}
importance:
  - {rule: shops, of: certificates, points: 70, label: application=shop}
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def rest(collector: Collector) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"https://{collector.web}/api/v1",
        headers={"Authorization": f"Bearer {collector.admin_token}"},
        verify=ssl.create_default_context(cafile=str(collector.ca_file)),
        timeout=60,
    ) as client:
        yield client


def ask(rest: httpx.Client, method: str, path: str, **body: object) -> Any:  # noqa: ANN401 - JSON
    response = rest.request(method, path, json=body)
    assert response.is_success, response.text
    return response.json() if response.content else None


def owners(rest: httpx.Client, query: str) -> list[tuple[str, list[str], str]]:
    page = rest.get("/certificates", params={"q": query}).json()
    return [(item["name"], item["owners"], item["owned_by"]) for item in page["items"]]


def wait_for(rest: httpx.Client, query: str, wanted: list[tuple[str, list[str], str]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := owners(rest, query)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_from_a_rule_to_a_leaver(tmp_path: Path, collector: Collector, rest: httpx.Client) -> None:
    for team in ("shop", "desk"):
        ask(rest, "PUT", f"/teams/{team}")
    ask(rest, "PUT", "/people/anna", email="anna@example.com")
    ask(rest, "PUT", "/teams/shop/members/anna")
    assert ask(rest, "PUT", "/rules", text=RULES)["begun"] == 3
    agent = SampleAgent(tmp_path / "host", "shop1")
    agent.enrol(collector)
    key = ec.generate_private_key(ec.SECP256R1())
    first = Leaf("shop.example", 20, key)
    agent.write("etc/shop.pem", first.pem, 0o644)
    agent.run_once()
    wait_for(rest, "owner:shop", [("shop.example", ["shop"], "places")])
    # The label of the host comes with it, and the importance by the label.
    wait_for(rest, "importance:70 label.application:shop", [("shop.example", ["shop"], "places")])
    given = ask(rest, "POST", "/owners", id=first.sha256.hex(), owner="anna", reason="her shop")
    assert (given["done"], given["changed"]) == (True, 1)
    wait_for(rest, "owner:anna", [("shop.example", ["anna"], "explicit")])
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    time.sleep(2.1)
    # A renewal is the same line, and so the same owner's.
    agent.write("etc/shop.pem", Leaf("shop.example", 90, key).pem, 0o644)
    agent.run_once()
    wait_for(rest, "owner:anna expires>30d", [("shop.example", ["anna"], "explicit")])
    problem = rest.post("/people/anna/leave", json={}).json()
    assert "say which team takes it" in problem["detail"]
    left = ask(rest, "POST", "/people/anna/leave", to="desk")
    assert (left["alone"]["given"], left["moves_to"]) == ({"line": 1}, "desk")
    assert list(left["last"]) == ["shop"]
    wait_for(rest, "owner:desk expires>30d", [("shop.example", ["desk"], "explicit")])
    # The day before, it was hers.
    then = owners(rest, f"owner:anna as-of:{moment}")
    assert [(name, names) for name, names, _ in then] == [("shop.example", ["anna"])]
