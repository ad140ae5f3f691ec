"""The fleet generator: one seed is one inventory, whichever way it came into which database."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.databases import DATABASES, new_store

from benchmarks.generator.bulk import fill
from benchmarks.generator.certificates import issue, rsa_key, seeded, signing_key, site_name
from benchmarks.generator.decisions import decide
from benchmarks.generator.digests import QUERIES, digests
from benchmarks.generator.population import CERTIFICATES_A_HOST, NOW_MS, Population
from benchmarks.generator.reporting import report
from keycensus_collector.catalogue.parse import parse_certificate
from keycensus_collector.store.engine import Store

# Two web servers, an application and a node of Kubernetes.
FLEET = Population(CERTIFICATES_A_HOST * 4, seed=8)


def said(store: Store) -> dict[str, tuple[int, str]]:
    with store.write() as connection:
        decide(connection)
    with store.read() as connection:
        return digests(connection)


@pytest.mark.parametrize("issuer", ["R1", ""])
@pytest.mark.parametrize("key", [rsa_key(1024, 1), rsa_key(3072, 2), signing_key(3)])
def test_the_catalogue_reads_what_the_generator_knows(issuer: str, key: object) -> None:
    made = issue(
        site_name(12),
        issuer=issuer,
        key=key,  # type: ignore[arg-type]
        serial=seeded(4),
        begin_ms=NOW_MS,
        end_ms=NOW_MS + 86_400_000,
    )
    assert parse_certificate(made.der) == made.facts


@pytest.mark.long
def test_what_agents_report_is_what_bulk_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = new_store(tmp_path, "reported.db")
    report(reported, FLEET)
    written = new_store(tmp_path, "written.db")
    with written.write() as connection:
        fill(connection, FLEET)
    monkeypatch.setattr(DATABASES, "product", "postgresql")
    copied = new_store(tmp_path)
    with copied.write() as connection:
        fill(connection, FLEET)
    by_intake, by_bulk, by_copy = said(reported), said(written), said(copied)
    assert by_bulk == by_intake
    assert by_copy == by_bulk
    assert min(rows for rows, _ in by_intake.values()) > 0, by_intake
    assert set(by_intake) == set(QUERIES)
    DATABASES.close_stores()


def test_another_seed_is_another_fleet() -> None:
    first, second = (
        {leaf.sha256 for made in Population(40, seed).each() for leaf, _ in made.leaves}
        for seed in (1, 2)
    )
    assert len(first) == len(second) == 40
    assert not first & second
