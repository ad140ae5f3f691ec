"""What must be true of an inventory whatever happened: FAULTS.md's invariants I1 to I8.

An oracle looks at the disk, at what agents say was acknowledged, and at the collector's database.
Each function checks one invariant and raises AssertionError with what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fakes.agent_stream import File
from fakes.inventory import connect, one, places
from fakes.sample_agent import SampleAgent

from keycensus_agent.reader.state import State

# What a process may grow by and still be called flat: allocators keep what they once had.
SLACK_BYTES = 24 * 1024 * 1024
# Of the pools of a collector: four that read, and those that compute.
LAZY_THREADS = 4


# Every place that is there, of every host, in SQLite and PostgreSQL.
LIVE_PLACES = (
    "SELECT h.name, p.path, p.manifest FROM place AS p JOIN host AS h USING (host_no)"
    " WHERE p.gone_ms IS NULL"
)


def acknowledged_is_there(
    database: Path, acknowledged: Mapping[bytes, File], host_name: str
) -> None:
    """I1 and I3: every acknowledged place is in the inventory, with that very manifest."""
    with closing(connect(database)) as connection:
        rows = connection.execute(f"{LIVE_PLACES} AND h.name = ?", (host_name,))
        acknowledged_is_among(rows, {host_name: acknowledged})


def acknowledged_is_among(
    live_places: Iterable[Sequence[Any]],
    acknowledged: Mapping[str, Mapping[bytes, File]],
    under_way: Mapping[str, Mapping[bytes, File]] | None = None,
) -> None:
    """Check the same of many hosts, by name, over the rows of LIVE_PLACES in any database.

    `under_way` is what was sent after it and may be stored already, without an ack.
    """
    found = {(host, path.encode()): bytes(manifest) for host, path, manifest in live_places}
    missing = [
        (host, path)
        for host, files in acknowledged.items()
        for path, file in files.items()
        if found.get((host, path))
        not in {file.manifest, (under_way or {}).get(host, files)[path].manifest}
    ]
    assert not missing, f"acknowledged and not in the inventory: {sorted(missing)[:5]}"


SEQUENCE_OF = (
    "SELECT max(last_sequence) FROM session JOIN agent USING (agent_no) JOIN host USING (host_no)"
    " WHERE host.name = ?"
)


def acknowledged_sequence(agent: SampleAgent) -> int:
    """Return the highest sequence whose ack a real agent has stored; it must not be running."""
    state = State.in_memory(agent.state / "state/state.db")
    try:
        return state.get_number("acknowledged_sequence")
    finally:
        state.close()


def acknowledged_is_committed(database: Path, agent: SampleAgent) -> None:
    """I1 for a real agent that is not running: no batch was acknowledged that is not stored."""
    committed = one(database, SEQUENCE_OF, agent.name)
    assert acknowledged_sequence(agent) <= committed, "acknowledged and not stored"


def nothing_invented(database: Path, ever: Mapping[bytes, Iterable[bytes]], host_name: str) -> None:
    """I2: no version of a place was ever stored that its agent did not send (manifests by path)."""
    query = (
        "SELECT DISTINCT p.path, v.manifest FROM place_version AS v JOIN place AS p USING (place_no)"
        " JOIN host AS h USING (host_no) WHERE h.name = ? AND length(v.manifest) > 0"
    )
    with closing(connect(database)) as connection:
        rows = connection.execute(query, (host_name,)).fetchall()
    invented = [path for path, found in rows if found not in set(ever.get(path.encode(), ()))]
    assert not invented, f"{host_name}: never sent: {invented[:5]}"


def disk_is_inventory(
    database: Path, disk: Mapping[str, set[str]], host_name: str | None = None
) -> None:
    """I1 to I3 for a real agent: the live places are the files, each with its certificates."""
    found = {path: set(place.artifacts) for path, place in places(database, host_name).items()}
    assert found == dict(disk)


def manifests(database: Path, host_name: str) -> dict[bytes, bytes]:
    """Return the live places of a host: path to manifest."""
    query = f"{LIVE_PLACES} AND h.name = ?"
    with closing(connect(database)) as connection:
        return {path.encode(): row for _, path, row in connection.execute(query, (host_name,))}


def rows_of(database: Path, host_name: str) -> list[tuple[object, ...]]:
    """Return all that is known of a host's places, to compare before and after (I7)."""
    query = (
        "SELECT p.path, p.row_hash, p.gone_ms, v.version_no, v.from_ms, v.to_ms, v.row"
        " FROM place AS p JOIN host AS h USING (host_no) JOIN place_version AS v USING (place_no)"
        " WHERE h.name = ? ORDER BY v.version_no"
    )
    with closing(connect(database)) as connection:
        return connection.execute(query, (host_name,)).fetchall()


def duplicates_occurred(database: Path, heard_again: int = 0) -> None:
    """I8: batches did come, or were told of, twice; else a test of duplicates shows nothing."""
    with closing(connect(database)) as connection:
        (count,) = connection.execute("SELECT sum(duplicates) FROM session").fetchone()
    assert (count or 0) + heard_again > 0, "no duplicate occurred: the test proves nothing"


# How gRPC's event engine calls its threads.
_POOL = "event_engine\n"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What processes take of the machine (I6).

    `pool_threads`: of gRPC's own pool, which begins more while all of it wait for the processor, and has no limit
    that could be set; `threads`: all others.
    """

    memory_bytes: int
    descriptors: int
    threads: int
    pool_threads: int

    @classmethod
    def of(cls, *processes: int) -> Self:
        """Measure processes by their ids; one that has just ended counts nothing."""
        found = [measured for pid in processes if (measured := _measure(pid)) is not None]
        return cls(*(sum(each) for each in zip((0, 0, 0, 0), *found, strict=True)))


def _measure(pid: int) -> tuple[int, int, int, int] | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        memory = int(fields["VmRSS"].split()[0]) * 1024
        names = list(_thread_names(pid))
        pool = names.count(_POOL)
        return memory, len(os.listdir(f"/proc/{pid}/fd")), len(names) - pool, pool  # noqa: PTH208
    except (OSError, KeyError):
        return None


def _thread_names(pid: int) -> Iterator[str]:
    """Yield the names of a process's threads, but of those that end meanwhile."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            yield (task / "comm").read_text()


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def stays_within(before: Footprint, after: Footprint, *, slack: int = SLACK_BYTES) -> None:
    """I6: descriptors are what they were, memory but for what allocators keep.

    Threads too, but for those that pools start when they are first needed.
    """
    assert after.descriptors <= before.descriptors, (before, after)
    assert after.threads <= before.threads + LAZY_THREADS, (before, after)
    assert after.memory_bytes <= before.memory_bytes + slack, (before, after)


def within(seconds: float, condition: Callable[[], bool], what: str) -> float:
    """I4: `condition` comes true within so many seconds; return how many it took."""
    import time

    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started
