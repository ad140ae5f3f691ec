"""A fleet that lost its collector comes back; and a hostile agent among good ones.

    PYTHONPATH=tests python -m benchmarks.fleet --agents 5000 --window 120 --plot fleet.svg
    PYTHONPATH=tests python -m benchmarks.fleet --postgresql
    PYTHONPATH=tests python -m benchmarks.fleet --evil --agents 100 --seconds 60

The fleet holds open streams when the collector is killed with SIGKILL; it is started again some
seconds later. Each agent decides by the agent's own `back_off` when to try, reports one changed place,
and leaves. Meanwhile new hosts enrol, one every two seconds, and the collector's memory is read from /proc.
Fleet and collector share the machine: `--window` is the time over which the first tries are spread
(120 s in the program), and every other wait is scaled with it.

With `--evil`, good agents report all the time while a hostile one is alternately there and not there, in
slices of some seconds, so that both kinds see the same minutes of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles

from fakes.agent_stream import file_of, place_change, place_row
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.joining import enrol
from fakes.postgres import running_server
from faults.kit.fleet import (
    Credentials,
    EndedError,
    Returned,
    SimulatedAgent,
    Visit,
    come_back,
    issue_fleet,
)
from faults.kit.oracle import (
    LIVE_PLACES,
    Footprint,
    acknowledged_is_among,
    acknowledged_is_there,
)
from sqlalchemy import text

from benchmarks.plot import Chart, Line, svg
from benchmarks.soak import allow_descriptors
from keycensus_agent.reader.schedule import RECONNECT_SPREAD_SECONDS
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import report_pb2

_MEBIBYTE = 1024 * 1024
# Connections that are opened at the same time while the fleet gathers.
_GATHER_AT_ONCE = 40
_DOWN_SECONDS = 5.0
_ENROL_EVERY_SECONDS = 2.0
_BUCKETS = 12
# A good agent reports every so many seconds on average.
_GOOD_PAUSE_SECONDS = 6.0
_SLICE_SECONDS = 10.0


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile; of a single value that value."""
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


@dataclass(slots=True)
class Homecoming:
    """What was seen while a fleet came back."""

    window: float
    returned: list[Returned] = field(default_factory=list)
    enrolments: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    @property
    def histogram(self) -> list[int]:
        """First tries in equal parts of the window."""
        counts = [0] * _BUCKETS
        for each in self.returned:
            part = int(each.tries[0] / self.window * _BUCKETS)
            counts[min(part, _BUCKETS - 1)] += 1
        return counts


async def homecoming(directory: Path, count: int, window: float, url: str = "") -> Homecoming:
    """Let a fleet lose its collector and come back; hold the inventory against its acks.

    `url` is an empty PostgreSQL database; without one the collector makes itself one of SQLite.
    """
    collector = Collector.make(directory / "collector", *(("--database", url) if url else ()))
    fleet = [SimulatedAgent(each) for each in issue_fleet(collector, count)]
    shared = file_of(Leaf("bundle.example").der)
    collector.start()
    new_hosts = max(3, int(window / 4))
    token = collector.enrolment_token("--uses", str(new_hosts))
    seen = Homecoming(window)
    try:
        await _gather_and_lose(collector, fleet)
        lost_at = time.monotonic()
        for number, member in enumerate(fleet):
            own = file_of(Leaf(f"{number}.example").der) if number % 50 == 0 else shared
            member.wanted[b"/srv/a.pem"] = own
        # Agents notice at once; who tries while the collector is down tries again later.
        dice = random.Random(9)
        scale = window / RECONNECT_SPREAD_SECONDS
        coming = [
            asyncio.create_task(come_back(member, collector.report, lost_at, dice, scale))
            for member in fleet
        ]
        await asyncio.sleep(_DOWN_SECONDS * scale)
        restarted = asyncio.create_task(asyncio.to_thread(collector.start))
        await restarted
        beside = [
            asyncio.create_task(_watch_memory(collector, lost_at, seen)),
            asyncio.create_task(_enrol_new_hosts(collector, token, new_hosts, seen)),
        ]
        seen.returned = list(await asyncio.gather(*coming))
        await beside[1]
        beside[0].cancel()
        if not url:
            for member in fleet:
                acknowledged_is_there(
                    collector.database, member.acknowledged, member.credentials.name
                )
    finally:
        if collector.is_running():
            collector.stop()
    if url:
        _all_is_there(url, fleet)
    return seen


def _all_is_there(url: str, fleet: Sequence[SimulatedAgent]) -> None:
    """Hold a PostgreSQL database, which no collector serves any more, against what was acknowledged."""
    with Store.open(url) as store, store.read() as connection:
        acknowledged_is_among(
            connection.execute(text(LIVE_PLACES)),
            {member.credentials.name: member.acknowledged for member in fleet},
        )


async def _gather_and_lose(collector: Collector, fleet: Sequence[SimulatedAgent]) -> None:
    """Open a stream for every agent, then kill the collector under all of them."""
    lost = asyncio.Event()
    room = asyncio.Semaphore(_GATHER_AT_ONCE)

    async def hold(member: SimulatedAgent) -> None:
        await room.acquire()
        opened = False
        try:
            async with member.stream(collector.report, Visit(time.monotonic())):
                opened = True
                room.release()
                await lost.wait()
        except EndedError:
            pass
        finally:
            if not opened:
                room.release()

    async def kill_when_all_are_there() -> None:
        while len(collector.events("stream.opened")) < len(fleet):  # noqa: ASYNC110 - a log file
            await asyncio.sleep(1.0)
        before = Footprint.of(collector.pid)
        print(f"{len(fleet)} streams open: {before.memory_bytes / _MEBIBYTE:.0f} MiB")
        collector.kill()
        lost.set()

    await asyncio.gather(kill_when_all_are_there(), *(hold(member) for member in fleet))


async def _watch_memory(collector: Collector, lost_at: float, seen: Homecoming) -> None:
    while True:
        now = Footprint.of(collector.pid)
        seen.memory.append((time.monotonic() - lost_at, now.memory_bytes / _MEBIBYTE))
        await asyncio.sleep(0.5)


async def _enrol_new_hosts(collector: Collector, token: str, count: int, seen: Homecoming) -> None:
    anchor = collector.ca_file.read_bytes()
    anchor = anchor[anchor.rindex(b"-----BEGIN") :]
    for _ in range(count):
        started = time.monotonic()
        await enrol(collector.enrol, anchor, token)
        seen.enrolments.append(time.monotonic() - started)
        await asyncio.sleep(_ENROL_EVERY_SECONDS)


def told(seen: Homecoming) -> str:
    """Return the figures of a homecoming as Markdown."""
    served = [each.served for each in seen.returned]
    latency = [each.visit.acknowledged - each.visit.began for each in seen.returned]
    memory = [mebibytes for _, mebibytes in seen.memory]
    third = max(1, len(memory) // 3)
    expected = len(served) / _BUCKETS
    counts = seen.histogram
    tries, refused = sum(len(e.tries) for e in seen.returned), sum(e.refused for e in seen.returned)
    rows = [
        ("agents; window", f"{len(served)}; {seen.window:.0f} s"),
        ("first tries in twelfths of the window", f"{counts} (even: {expected:.0f})"),
        ("fullest twelfth, against even", f"{max(counts) / expected:.2f}"),
        ("served after the loss: median, p99, last", _triple(served, "s")),
        ("one visit: median, p99, longest", _triple(latency, "s")),
        ("tries; told to come back later", f"{tries}; {refused}"),
        ("new hosts enrolled meanwhile", f"{len(seen.enrolments)}"),
        ("enrolment: median, p99, longest", _triple(seen.enrolments, "s")),
        ("collector memory, first third", f"{median(memory[:third]):.0f} MiB"),
        ("collector memory, last third", f"{median(memory[-third:]):.0f} MiB"),
        ("collector memory, most", f"{max(memory):.0f} MiB"),
    ]
    lines = ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    return "\n".join(lines)


def _triple(values: Sequence[float], unit: str) -> str:
    shown = (median(values), percentile(values, 99), max(values))
    return ", ".join(f"{value:.2f} {unit}" for value in shown)


def drawn(seen: Homecoming) -> str:
    """Return tries and memory over time as SVG."""
    moments = [moment for moment, _ in seen.memory]
    step = seen.window / _BUCKETS
    return svg(
        f"{len(seen.returned)} agents come back",
        [
            Chart(
                "first tries, twelve parts",
                "seconds",
                [step * (number + 0.5) for number in range(_BUCKETS)],
                [Line("tries", seen.histogram)],
            ),
            Chart(
                "collector memory, MiB",
                "seconds",
                moments,
                [Line("resident", [mebibytes for _, mebibytes in seen.memory])],
            ),
        ],
    )


# --- a hostile agent ----------------------------------------------------------------------------


async def beside_an_evil_one(directory: Path, count: int, seconds: float) -> dict[str, list[float]]:
    """Return how long visits of good agents took, with the hostile one away and there."""
    collector = Collector.make(directory / "collector")
    *good, evil = (SimulatedAgent(each) for each in issue_fleet(collector, count + 1))
    took: dict[str, list[float]] = {"away": [], "there": []}
    phase = ["warming"]
    with collector:
        lives = [
            asyncio.create_task(_good_life(each, collector.report, phase, took)) for each in good
        ]
        context = multiprocessing.get_context("spawn")
        active = context.Event()
        harm = context.Process(target=be_evil, args=(evil.credentials, collector.report, active))
        harm.start()
        await asyncio.sleep(_SLICE_SECONDS)
        for turn in range(int(seconds / _SLICE_SECONDS)):
            phase[0] = "there" if turn % 2 else "away"
            if turn % 2:
                active.set()
            await asyncio.sleep(_SLICE_SECONDS)
            phase[0] = "changing"
            active.clear()
            await asyncio.sleep(2.0)
        harm.kill()
        await asyncio.to_thread(harm.join)
        for task in lives:
            task.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        for member in good:
            if not member.is_waiting:
                acknowledged_is_there(
                    collector.database, member.acknowledged, member.credentials.name
                )
    return took


async def _good_life(
    member: SimulatedAgent, address: str, phase: Sequence[str], took: dict[str, list[float]]
) -> None:
    dice = random.Random(member.credentials.agent_no)
    files = [file_of(Leaf(f"{number}.example").der) for number in range(2)]
    for turn in itertools.count():
        await asyncio.sleep(dice.uniform(0, 2 * _GOOD_PAUSE_SECONDS))
        member.wanted[b"/srv/a.pem"] = files[turn % 2]
        began_in = phase[0]
        visit = await member.visit(address)
        if phase[0] == began_in and began_in in took:
            took[began_in].append(visit.acknowledged - visit.began)


def be_evil(credentials: Credentials, address: str, active: Event) -> None:
    """Do harm in four ways at once, for ever, while `active` is set.

    In a process of its own that yields the processor to the others: what counts is what it does to the
    collector over the wire, not that it starts and runs on the same machine here.
    """
    os.nice(19)

    async def work() -> None:
        evil = SimulatedAgent(credentials)
        await asyncio.gather(*(_evil_life(evil, address, number, active) for number in range(4)))

    asyncio.run(work())


async def _evil_life(evil: SimulatedAgent, address: str, number: int, active: Event) -> None:
    """Stay silent, or send offers, blobs or batches as fast as they are taken."""
    request = _harmful(number)
    while True:
        if not active.is_set():
            await asyncio.sleep(0.1)
            continue
        with contextlib.suppress(EndedError, AssertionError):
            async with evil.stream(address, Visit(time.monotonic())) as line:
                if request is None:
                    await asyncio.sleep(3)
                    continue
                for turn in itertools.count(1):
                    if not active.is_set():
                        break
                    if number == 1:
                        request.offer.offer = turn
                    await line.send(request)
        await asyncio.sleep(0.05)


def _harmful(number: int) -> report_pb2.ReportRequest | None:
    if number == 0:
        return None
    if number == 1:
        offer = report_pb2.Offer(offer=1, manifests=[os.urandom(32) for _ in range(1024)])
        return report_pb2.ReportRequest(offer=offer)
    if number == 2:
        blob = report_pb2.Blob(offer=1, hash=os.urandom(32), data=os.urandom(900_000))
        return report_pb2.ReportRequest(blob=blob)
    paths = (b"/srv/%d" % each for each in range(8000))
    changes = [place_change(path, place_row(path, os.urandom(32))) for path in paths]
    return report_pb2.ReportRequest(batch=report_pb2.Batch(sequence=1, changes=changes))


def compared(took: dict[str, list[float]]) -> str:
    """Return the good agents' times as Markdown."""
    lines = ["| hostile agent | visits | median | p99 |", "|---|---|---|---|"]
    for name, values in took.items():
        lines.append(
            f"| {name} | {len(values)} | {median(values) * 1000:.0f} ms"
            f" | {percentile(values, 99) * 1000:.0f} ms |"
        )
    ratio = percentile(took["there"], 99) / percentile(took["away"], 99)
    return "\n".join([*lines, f"p99 there / away: {ratio:.2f}"])


def main() -> None:
    """Run one of both and print its figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__)
    parser.add_argument("--agents", type=int, default=5000)
    parser.add_argument("--window", type=float, default=RECONNECT_SPREAD_SECONDS)
    parser.add_argument("--evil", action="store_true")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--plot", type=Path, default=None, help="write an SVG to this file")
    parser.add_argument("--postgresql", action="store_true", help="over PostgreSQL, not SQLite")
    arguments = parser.parse_args()
    allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="keycensus-fleet-") as name:
        directory = Path(name)
        if arguments.evil:
            took = asyncio.run(beside_an_evil_one(directory, arguments.agents, arguments.seconds))
            print(compared(took))
            return
        if arguments.postgresql:
            with running_server(durable=True, settings=("shared_buffers=256MB",)) as server:
                url = server.new_database()
                seen = asyncio.run(homecoming(directory, arguments.agents, arguments.window, url))
        else:
            seen = asyncio.run(homecoming(directory, arguments.agents, arguments.window))
    print(told(seen))
    if arguments.plot is not None:
        arguments.plot.write_text(drawn(seen))


if __name__ == "__main__":
    main()
