"""Every format and archive has a fuzz target with seeds, and what was found once stays mended."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.__main__ import ITERATIONS, NO_ATHERIS
from fuzz.targets import CORPUS, EVERY, SEED_BYTES, TARGETS, ContractError, check

from keycensus_agent.model import Parsed, Status
from keycensus_agent.parser import sealing
from keycensus_agent.parser.archive.table import ARCHIVES
from keycensus_agent.parser.formats.table import FORMATS, TEXT_FORMATS

TESTS = Path(__file__).resolve().parents[1]
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
MUTATIONS = 40


def test_every_format_and_archive_has_a_target_and_every_target_small_seeds() -> None:
    names = {row.name for row in FORMATS} | {row.name for row in TEXT_FORMATS}
    names |= {row.name for row in ARCHIVES if row.read is not None or row.missing}
    assert set(TARGETS) == names
    assert {folder.name for folder in CORPUS.iterdir()} == names
    for target in TARGETS.values():
        seeds = list(target.corpus.iterdir())
        assert seeds, f"{target.name} has no seed: python -m fuzz --seeds"
        assert all(seed.stat().st_size <= SEED_BYTES for seed in seeds)


@pytest.fixture(autouse=True)
def less_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend little on derivations: that of an honest store takes a second, and there are hundreds."""
    monkeypatch.setattr(sealing.IterationBudget.__init__, "__defaults__", (ITERATIONS,))


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_and_what_lies_near_them_keep_the_contract(name: str) -> None:
    chance = random.Random(name)  # noqa: S311 - the same mutations each time
    for seed in sorted(TARGETS[name].corpus.iterdir()):
        data = seed.read_bytes()
        TARGETS[name].run(data)
        for _ in range(MUTATIONS // len(list(TARGETS[name].corpus.iterdir())) + 1):
            mutated = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                mutated[chance.randrange(len(mutated))] = chance.randrange(256)
            TARGETS[name].run(bytes(mutated))


@pytest.mark.parametrize(
    "parsed",
    [
        Parsed("x", Status.MALFORMED, "error-ValueError"),
        Parsed("x", Status.PARTIAL),
        Parsed("x", Status.READ, manifest=b"h" * 32),
    ],
)
def test_a_broken_contract_is_seen(parsed: Parsed) -> None:
    with pytest.raises(ContractError):
        check(parsed)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        timeout=200,
    )


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    """Where there is no atheris, that is what it says, with a status of its own."""
    done = run("--seconds", "6", "--work", str(tmp_path), EVERY.name)
    if HAS_ATHERIS:
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing found" in done.stdout
    else:
        assert done.returncode == NO_ATHERIS
        assert "needs atheris" in done.stdout


@pytest.mark.parametrize("folder", [each.name for each in sorted(CORPUS.iterdir())])
def test_no_seed_is_left_of_a_format_that_is_gone(folder: str) -> None:
    assert folder in TARGETS
