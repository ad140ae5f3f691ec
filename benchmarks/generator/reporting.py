"""A fleet through the real intake: each host's agent reports over a stream, catalogue and fold do their work."""

from __future__ import annotations

import asyncio

from fakes.agent_stream import CERTIFICATE, MANIFEST, PLACE, SPKI, Desk, FakeAgent
from fakes.agent_stream import File as Offered

from benchmarks.generator.hosts import VERSION, deploy, enrol, facts_of
from benchmarks.generator.population import ROUNDS_MS, Change, Host, Population
from benchmarks.generator.writing import Writer
from keycensus_collector.catalogue.worker import Worker
from keycensus_collector.store.engine import Store
from keycensus_proto.v1 import inventory_pb2, report_pb2

_KINDS = {"certificate": CERTIFICATE, "spki": SPKI}


def report(store: Store, fleet: Population) -> None:
    """Let a fleet report all of its rounds into an empty store."""
    with store.write() as connection:
        deploy(connection)
    asyncio.run(_report(Desk(store), fleet))


async def _report(desk: Desk, fleet: Population) -> None:
    hosts = list(fleet.each())
    with desk.store.write() as connection:
        writer = Writer(connection)
        agents = [
            FakeAgent(enrol(writer, made), instance=made.number.to_bytes(16)) for made in hosts
        ]
        writer.flush()
    worker = Worker(desk.store, desk.clock)
    for number, at_ms in enumerate(ROUNDS_MS):
        desk.clock.current_ms = at_ms
        for made, agent in zip(hosts, agents, strict=True):
            await _one_round(desk, made, agent, made.rounds[number], at_ms)
        while await worker.run_once():
            pass
    worker.close()


async def _one_round(
    desk: Desk, made: Host, agent: FakeAgent, changes: list[Change], at_ms: int
) -> None:
    line = await desk.connect(
        agent, host_facts=facts_of(made), agent_time_unix_ms=at_ms, agent_version=VERSION
    )
    files = {each.file.hash: each.file for each in changes if each.file is not None}
    if files:
        offered = [
            Offered(
                file.hash,
                {(MANIFEST, file.hash): file.data}
                | {(_KINDS[kind], hash_): data for kind, hash_, data in file.blobs},
            )
            for file in files.values()
        ]
        await agent.offer(line, *offered)
    ack = await agent.send_batch(line, *(_change(each, at_ms) for each in changes), complete=True)
    assert not ack.items, ack
    agent.complete = True
    await line.leave()


def _change(change: Change, at_ms: int) -> report_pb2.Change:
    made = report_pb2.Change(
        row_class=inventory_pb2.RowClass.ValueType(PLACE),
        key=change.key,
        cause="content",
        observed_at_unix_ms=at_ms,
    )
    if change.row is None:
        made.gone.reason = "removed"
    else:
        made.row = change.row
    return made
