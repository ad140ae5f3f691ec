"""What people do without us, on the same files: ripgrep for the same marker, find with openssl.

Neither knows a keystore, a DER file of any name or an archive; they are here to say what that costs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence

from benchmarks.measure import Cost, alternate, median_cpu, median_wall
from benchmarks.table import Bench, Row, say, time_row

# Everything, hidden or ignored, up to the size to which text is read whole; file names only.
RIPGREP = (
    *("rg", "--no-config", "-uuu", "--no-messages", "--one-file-system", "--files-with-matches"),
    *("--text", "--max-filesize", "1M", "--fixed-strings", "--regexp", "-----BEGIN "),
)
NAMES = ("*.pem", "*.crt", "*.cer", "*.der", "*.key", "*.p12", "*.jks")


def find_openssl(root: str) -> list[str]:
    """Return the command line that administrators write: a process for each file of a likely name."""
    named: list[str] = []
    for name in NAMES:
        named += ["-o", "-name", name]
    run = ("-exec", "openssl", "x509", "-noout", "-subject", "-enddate", "-in", "{}", ";")
    return ["find", root, "-xdev", "-type", "f", "(", *named[1:], ")", *run]


def others(bench: Bench, agent: str) -> Iterator[Row]:
    """Scan against ripgrep with one thread and with all, and against find with openssl."""
    ours = [agent, "scan", str(bench.root), "-o", "ndjson"]
    root = str(bench.root)
    yield from _rows(bench, "ripgrep, 1 thread", ours, [*RIPGREP, "--threads", "1", "--", root])
    yield from _rows(bench, "ripgrep", ours, [*RIPGREP, "--", root])
    yield from _rows(bench, "find with openssl x509", ours, find_openssl(root))


def _rows(bench: Bench, name: str, ours: Sequence[str], theirs: Sequence[str]) -> Iterator[Row]:
    what = f"full scan against {name}"
    missing = [each for each in (theirs[0], "openssl") if shutil.which(each) is None]
    if missing:
        yield Row(what, "", f"absent: {', '.join(missing)}", float("nan"), None)
        return
    say(name)
    # 1: nothing found, or a directory refused; 2 (ripgrep): a file could not be read.
    a, b = alternate(ours, theirs, bench.rounds, reference_statuses=(0, 1, 2))
    yield _compared(f"{what}, wall", a, b, wall=True)
    yield _compared(f"{what}, CPU", a, b, wall=False)


def _compared(what: str, ours: list[Cost], theirs: list[Cost], *, wall: bool) -> Row:
    return time_row(what, median_wall if wall else median_cpu, ours, theirs, None)
