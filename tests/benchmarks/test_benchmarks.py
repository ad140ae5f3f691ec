"""The benchmark counts what it says it counts, so that its ratios mean something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import CommandFailedError, cost_of, peak_memory
from benchmarks.run import Bench, Row, compile_reference
from benchmarks.tree import make_tree

# Spends a third of a second in a grandchild, which nobody but the child waits for.
GRANDCHILD = """
import subprocess, sys
burn = "import time; end = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", burn])
"""
# Holds 40 MB in a grandchild for half a second.
LARGE_GRANDCHILD = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; held = b'x' * 40_000_000; time.sleep(0.5)"])
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    bench = Bench(Path("/"), 1, tmp_path_factory.mktemp("reference"))
    compile_reference(bench)
    return bench.reference


def counts(reference: str, mode: str, root: Path) -> dict[str, int]:
    words = subprocess.run(
        [reference, mode, str(root)], check=True, capture_output=True, text=True
    ).stdout.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


def test_cpu_of_grandchildren_counts() -> None:
    assert cost_of([sys.executable, "-c", GRANDCHILD]).cpu > 0.3


def test_memory_of_grandchildren_counts() -> None:
    assert peak_memory([sys.executable, "-c", LARGE_GRANDCHILD]) > 40_000_000


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(CommandFailedError, match="ended with 4: oh"):
        cost_of([sys.executable, "-c", "import sys; print('oh', file=sys.stderr); sys.exit(4)"])


def test_the_reference_sees_every_file_and_finds_the_anchor(reference: str, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "key.pem").write_text("x\n-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "deep" / "er" / "long").write_bytes(b"x" * 100_000 + b"-----BEGIN ")
    (tmp_path / "link").symlink_to("deep/key.pem")
    assert counts(reference, "head", tmp_path) == {
        "directories": 3,
        "files": 2,
        "others": 1,
        "bytes": 30 + 65_536,
        "hits": 1,
        "refused": 0,
    }
    assert counts(reference, "stat", tmp_path)["bytes"] == 0


def test_a_made_tree_has_the_files_that_were_asked_for(reference: str, tmp_path: Path) -> None:
    make_tree(tmp_path / "one", 700)
    make_tree(tmp_path / "two", 700)
    first, second = (counts(reference, "head", tmp_path / name) for name in ("one", "two"))
    assert first["files"] == 700
    assert first["hits"] > 0
    assert (first["files"], first["directories"]) == (second["files"], second["directories"])


def test_a_verdict_knows_which_way_is_better() -> None:
    assert Row("time", "1", "1", 2.0, 2.0).holds
    assert not Row("time", "1", "1", 2.1, 2.0).holds
    assert not Row("rate", "1", "1", 0.6, 0.7, at_least=True).holds
    assert "**missed**" in Row("time", "1", "1", 2.1, 2.0).line()
