"""The benchmark counts what it says it counts, so that its ratios mean something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

from benchmarks.measure import (
    CommandFailedError,
    NotReadyError,
    Standing,
    cost_of,
    peak_memory,
    wait_until,
)
from benchmarks.needs import need
from benchmarks.others import RIPGREP, find_openssl
from benchmarks.plot import Bars, Chart, Line, svg
from benchmarks.run import compile_reference
from benchmarks.table import Bench, Row, limit_row, shares
from benchmarks.tree import make_tree
from benchmarks.watched import Watching

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


def test_a_standing_process_counts_with_its_children_also_those_that_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{GRANDCHILD}print(flush=True)\nsys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        now = Standing.of(process.pid)
        process.communicate()
    assert now.cpu >= 0.3
    assert (now.processes, now.threads) == (1, 1)
    assert now.memory > 1_000_000


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


def test_a_row_without_a_budget_only_compares() -> None:
    row = Row("ours against theirs", "1 s", "2 s", 0.5, None)
    assert row.holds
    assert row.line() == "| ours against theirs | 1 s | 2 s | 0.50 | | |"


def test_a_figure_with_a_limit_holds_up_to_it() -> None:
    assert limit_row("memory", 40, 40, "MiB").holds
    assert not limit_row("memory", 41, 40, "MiB").holds


def test_what_is_drawn_of_budgets_is_the_share_that_is_used() -> None:
    rows = [
        Row("time", "", "", 1.0, 2.0),
        Row("rate", "", "", 1.4, 0.7, at_least=True),
        Row("compared", "", "", 3.0, None),
        Row("nothing allowed", "", "", 0.0, 0.0),
    ]
    assert shares(rows).values == [("time", 0.5), ("rate", 0.5)]


def test_charts_of_lines_and_bars_are_one_picture() -> None:
    bars = Bars("budgets", [("a <b>", 0.5), ("much", 9.0)])
    drawn = svg("all", [bars, Chart("memory", "files", [5, 50], [Line("MiB", [80, 90])])])
    document = minidom.parseString(drawn).documentElement  # noqa: S318 - our own
    assert document is not None
    assert float(document.getAttribute("height")) > 200
    assert "a &lt;b&gt;" in drawn
    assert "9.00" in drawn


def test_the_names_that_people_search_for_are_one_condition(tmp_path: Path) -> None:
    for name in ("a.pem", "b.key", "c.txt"):
        (tmp_path / name).touch()
    command = find_openssl(str(tmp_path))
    listed = subprocess.run(
        [*command[: command.index("-exec")], "-printf", "%f\n"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(listed.stdout.split()) == ["a.pem", "b.key"]


@pytest.mark.skipif(shutil.which("rg") is None, reason="needs ripgrep")
def test_ripgrep_searches_for_the_marker_everywhere(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "key").write_bytes(b"\0\0\n-----BEGIN PRIVATE KEY-----\n")
    found = subprocess.run([*RIPGREP, "--", tmp_path], check=True, capture_output=True, text=True)
    assert found.stdout.split() == [str(tmp_path / ".hidden/key")]


@pytest.mark.long
def test_an_agent_that_watches_tells_a_change_and_sleeps_again(tmp_path: Path) -> None:
    with Watching.started(tmp_path, files=50, settle=0) as watching:
        assert watching.link_sleeps()
        before = watching.told(1)
        watching.change(1)
        watching.until(lambda: watching.differs(1, before), "a change")
        assert Standing.of(watching.process).processes > 0


def test_what_is_missing_is_named_with_the_packages_that_bring_it() -> None:
    with pytest.raises(NotReadyError) as told:
        need("it", {"no-such-tool": "one", "no-such-other": "two", "sh": "dash"})
    assert str(told.value) == (
        "it needs no-such-tool, no-such-other, not found here: apt-get install one two"
    )


def test_a_benchmark_that_can_not_be_run_ends_with_a_message_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--only", "packaged"],
        env={"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("bench: packaged needs "), done.stderr
    assert done.stderr.count("\n") == 1


def test_waiting_says_what_did_not_come_and_what_was_told() -> None:
    assert wait_until(lambda: True, "it") < 1
    with pytest.raises(CommandFailedError, match="it did not come in 0 s: the log"):
        wait_until(lambda: False, "it", seconds=0, told=lambda: "the log")
