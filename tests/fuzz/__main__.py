"""Fuzz the parser with atheris, one process for each target.

    python -m fuzz [--seconds S] [--work DIR] [TARGET…]     each target for its share of S seconds
    python -m fuzz --run TARGET -- LIBFUZZER-OPTIONS…       one target, in this process
    python -m fuzz --seeds                                  rebuild the seed corpus from the fixtures

Exit status 0: nothing found; 1: a crash, whose input is named; 3: this Python has no atheris. Source:
atheris' README, libFuzzer's "Options".
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, cast

NO_ATHERIS = 3
# One input: longer than any honest one takes here, shorter than the parser's own limit.
_SECONDS_PER_INPUT = 25
_MEMORY_MIB = 2048
# Of a derivation, in all that one input asks for: the parser's own budget is a second of work.
ITERATIONS = 5_000
_INPUT_BYTES = 40 * 1024


class _Atheris(Protocol):
    """What is used of atheris, which has no types and is not everywhere."""

    def instrument_imports(self, include: list[str]) -> AbstractContextManager[None]: ...
    def Setup(self, arguments: list[str], run: Callable[[bytes], None]) -> object: ...  # noqa: N802
    def Fuzz(self) -> None: ...  # noqa: N802 - atheris' own name


def run_one(name: str, options: list[str]) -> int:
    """Fuzz one target in this process; libFuzzer ends it."""
    atheris = cast("_Atheris", importlib.import_module("atheris"))
    with atheris.instrument_imports(["keycensus_agent.parser"]):
        from fuzz.targets import EVERY, TARGETS

        from keycensus_agent.parser import sealing
    sealing.IterationBudget.__init__.__defaults__ = (ITERATIONS,)
    target = EVERY if name == EVERY.name else TARGETS[name]
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()
    return 0


def fuzz(name: str, seconds: int, work: Path) -> int:
    """Fuzz one target in a process of its own for so long; what it finds is left in `work`."""
    from fuzz.targets import CORPUS

    grown, found = work / name / "corpus", work / name / "found"
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = CORPUS / name
    command = [sys.executable, "-m", "fuzz", "--run", name, "--", str(grown)]
    command += [str(seeds)] if seeds.is_dir() else []
    command += [
        f"-max_total_time={seconds}",
        f"-timeout={_SECONDS_PER_INPUT}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-max_len={_INPUT_BYTES}",
        f"-artifact_prefix={found}/",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
    print(f"{name:12} {seconds:4} s  {runs[-1].split()[-1] if runs else '?':>9} inputs", end="  ")
    if done.returncode == 0:
        print("nothing found")
        return 0
    print(
        f"status {done.returncode}: {', '.join(str(path) for path in found.iterdir()) or 'no input'}"
    )
    print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
    return 1


def main() -> int:
    """Fuzz what the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the agent's parser.")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--work", type=Path, help="where grown corpora and crashes go")
    parser.add_argument("--run", metavar="TARGET", help="one target, in this process")
    parser.add_argument("--seeds", action="store_true", help="rebuild the seed corpus")
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    arguments = parser.parse_args(given[:cut])
    if arguments.run and importlib.util.find_spec("atheris"):
        return run_one(arguments.run, given[cut + 1 :])
    if arguments.seeds:
        from fuzz.targets import build_seeds

        build_seeds()
        return 0
    if importlib.util.find_spec("atheris") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        print(
            f"fuzzing needs atheris, which Python {version} here has not: use 3.11 to 3.13 on x86_64"
        )
        return NO_ATHERIS
    from fuzz.targets import TARGETS

    names = arguments.targets or sorted(TARGETS)
    share = max(1, arguments.seconds // len(names))
    if arguments.work is not None:
        return max(fuzz(name, share, arguments.work) for name in names)
    work = Path(tempfile.mkdtemp(prefix="keycensus-fuzz-"))
    status = max(fuzz(name, share, work) for name in names)
    if status == 0:
        shutil.rmtree(work)
    return status


if __name__ == "__main__":
    sys.exit(main())
