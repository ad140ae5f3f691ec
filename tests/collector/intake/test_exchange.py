from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fakes.agent_stream import (
    CERTIFICATE,
    CRL,
    CSR,
    MANIFEST,
    SPKI,
    Desk,
    FakeAgent,
    File,
    Line,
    blob,
    entry,
    expect,
    file_of,
    file_with,
    long_file,
    place_change,
    place_row,
    sha256,
)
from sqlalchemy import event, select, update

from keycensus_collector.intake.manifests import find_incomplete
from keycensus_collector.intake.model import Limits
from keycensus_collector.store.schema import blob as blob_table
from keycensus_collector.store.schema import manifest, manifest_entry, manifest_part, place, work
from keycensus_collector.store.tables.sharing import removal
from keycensus_proto.v1 import manifest_pb2, report_pb2

LEAF, OTHER, ROOT = b"leaf der", b"other leaf der", b"root der"
PATH = b"/etc/tls.pem"


async def outcome(line: Line, agent: FakeAgent, hash_: bytes, path: bytes = PATH) -> list[str]:
    """Report a place with a manifest and return what became of it."""
    ack = await agent.send_batch(line, place_change(path, place_row(path, hash_)))
    return [f"{item.result} {item.reason}" for item in ack.items]


async def test_manifests_are_wanted_first_then_what_they_name_then_nothing(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(LEAF, ROOT)
    agent.files |= file.blobs
    await agent.send_offer(line, [file.manifest])
    want = await expect(line, "want")
    assert [(one.kind, one.hash) for one in want.blobs] == [(MANIFEST, file.manifest)]
    await agent.supply(line, want)
    want = await expect(line, "want")
    assert {(one.kind, one.hash) for one in want.blobs} == {
        (CERTIFICATE, sha256(LEAF)),
        (CERTIFICATE, sha256(ROOT)),
    }
    await agent.supply(line, want)
    want = await expect(line, "want")
    assert (list(want.blobs), want.satisfied) == ([], True)
    assert [row.entry_count for row in desk.rows(select(manifest))] == [2]
    assert len(desk.rows(select(manifest_entry))) == 2
    # Certificates go to the catalogue, manifests are ours.
    queued = {(row.kind, row.subject, row.number) for row in desk.rows(select(work))}
    assert queued == {("blob", sha256(der), CERTIFICATE) for der in (LEAF, ROOT)}
    await line.leave()


async def test_every_kind_of_public_blob_is_wanted_and_sealed_ones_are_not(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_with(
        [
            (CERTIFICATE, entry("certificate", b"c"), b"c"),
            (SPKI, entry("private-key", b"k"), b"k"),
            (SPKI, entry("public-key", b"p"), b"p"),
            (CSR, entry("csr", b"r"), b"r"),
            (CRL, entry("crl", b"l"), b"l"),
            (0, entry("sealed-key", b"s"), b"s"),
            (0, manifest_pb2.Entry(kind="external-key", location="pkcs11:token=x"), b""),
            (0, entry("kind-of-the-future", b"f"), b"f"),
        ]
    )
    await agent.offer(line, file)
    stored = {(row.kind, row.data) for row in desk.rows(select(blob_table)) if row.kind != MANIFEST}
    assert stored == {
        (CERTIFICATE, b"c"),
        (SPKI, b"k"),
        (SPKI, b"p"),
        (CSR, b"r"),
        (CRL, b"l"),
    }
    assert await outcome(line, agent, file.manifest) == []
    await line.leave()


async def test_what_is_stored_is_not_wanted_again_by_anyone(desk: Desk) -> None:
    one, other = desk.enrol("web1"), desk.enrol("web2")
    bundle = file_of(LEAF, ROOT)
    first = await desk.connect(one)
    await one.report(first, {PATH: bundle})
    second = await desk.connect(other)
    await other.report(second, {PATH: bundle})
    assert len(one.sent) == 3
    assert other.sent == []
    assert len(desk.rows(select(manifest))) == 1
    assert len(desk.rows(select(place))) == 2
    # Neither after a restart, when nothing is remembered.
    desk.restart()
    third = desk.enrol("web3")
    await third.report(await desk.connect(third), {PATH: bundle})
    assert third.sent == []


async def test_a_blob_on_its_way_is_asked_for_once_and_everyone_gets_it(desk: Desk) -> None:
    bundle = file_of(LEAF, ROOT)
    agents = [desk.enrol(f"web{number}") for number in range(4)]
    lines = [await desk.connect(agent) for agent in agents]
    acks = await asyncio.gather(
        *(agent.report(line, {PATH: bundle}) for agent, line in zip(agents, lines, strict=True))
    )
    assert [list(ack.items) for ack in acks] == [[]] * 4
    sent = [key for agent in agents for key in agent.sent]
    assert sorted(sent) == sorted(bundle.blobs)
    for line in lines:
        await line.leave()


async def test_after_a_second_every_waiting_stream_is_asked(desk: Desk) -> None:
    slow, quick = desk.enrol("slow"), desk.enrol("quick")
    file = file_of(LEAF)
    slow_line, quick_line = await desk.connect(slow), await desk.connect(quick)
    await slow.send_offer(slow_line, [file.manifest])
    assert len((await expect(slow_line, "want")).blobs) == 1
    # The slow one says nothing; the other is asked after a second and brings all of it.
    began = asyncio.get_running_loop().time()
    await quick.offer(quick_line, file)
    assert 0.9 < asyncio.get_running_loop().time() - began < 3
    assert len(quick.sent) == 2
    # The slow one learns that nothing is missing any more once its own copy has come.
    slow.files |= file.blobs
    await slow_line.send(blob(MANIFEST, file.manifest, file.blobs[MANIFEST, file.manifest]))
    want = await expect(slow_line, "want")
    assert want.satisfied
    assert await outcome(slow_line, slow, file.manifest) == []
    await slow_line.leave()
    await quick_line.leave()


async def test_when_the_one_who_was_asked_leaves_another_is_asked_at_once(desk: Desk) -> None:
    leaver, stayer = desk.enrol("leaver"), desk.enrol("stayer")
    file = file_of(LEAF)
    leaver_line, stayer_line = await desk.connect(leaver), await desk.connect(stayer)
    await leaver.send_offer(leaver_line, [file.manifest])
    await expect(leaver_line, "want")
    offering = asyncio.create_task(stayer.offer(stayer_line, file))
    await asyncio.sleep(0.1)
    await leaver_line.break_off()
    began = asyncio.get_running_loop().time()
    await offering
    assert asyncio.get_running_loop().time() - began < 0.7
    await stayer_line.leave()


async def test_bytes_that_do_not_hash_to_their_name_are_dropped(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(LEAF)
    agent.files |= file.blobs | {(CERTIFICATE, sha256(LEAF)): b"something else"}
    await agent.send_offer(line, [file.manifest])
    await agent.supply(line, await expect(line, "want"))
    await agent.supply(line, await expect(line, "want"))
    assert (await expect(line, "want")).satisfied
    assert await outcome(line, agent, file.manifest) == ["refused hash-mismatch"]
    assert CERTIFICATE not in {row.kind for row in desk.rows(select(blob_table))}
    # It is wanted again in the next stream, and then right.
    line = await desk.connect(agent)
    agent.files |= file.blobs
    await agent.offer(line, file)
    assert await outcome(line, agent, file.manifest) == []
    await line.leave()


async def test_a_blob_that_nobody_wanted_is_dropped(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await line.send(blob(CERTIFICATE, sha256(LEAF), LEAF))
    await line.send(blob(77, sha256(LEAF), LEAF))
    await agent.report(line, {PATH: file_of(OTHER)})
    assert sha256(LEAF) not in {row.hash for row in desk.rows(select(blob_table))}
    await line.leave()


async def test_items_that_need_what_cannot_be_supplied_are_refused(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    half, none, whole = file_of(LEAF), file_of(OTHER), file_of(ROOT)
    agent.files |= {(MANIFEST, half.manifest): half.blobs[MANIFEST, half.manifest]} | whole.blobs
    await agent.send_offer(line, [half.manifest, none.manifest, whole.manifest])
    while not (want := await expect(line, "want")).satisfied:
        await agent.supply(line, want)
    assert await outcome(line, agent, half.manifest) == ["refused missing-blob"]
    assert await outcome(line, agent, none.manifest) == ["refused missing-blob"]
    assert await outcome(line, agent, whole.manifest) == []
    await line.leave()


async def test_an_artifact_over_its_cap_is_named_and_never_wanted(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    giant = entry("certificate", b"giant", size=256 * 1024 + 1)
    file = file_with([(CERTIFICATE, giant, b"giant")])
    await agent.offer(line, file)
    assert [kind for kind, _ in agent.sent] == [MANIFEST]
    assert await outcome(line, agent, file.manifest) == []
    await line.leave()


async def test_an_artifact_that_turns_out_over_cap_does_not_cost_the_place(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    giant = b"x" * (256 * 1024 + 1)
    file = file_with([(CERTIFICATE, entry("certificate", giant, size=100), giant)])
    await agent.offer(line, file)
    assert await outcome(line, agent, file.manifest) == []
    assert {row.kind for row in desk.rows(select(blob_table))} == {MANIFEST}
    await line.leave()


async def test_a_manifest_that_is_none_is_refused(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    mixed = manifest_pb2.Manifest(
        format="pem", entries=[entry("certificate", LEAF)], parts=[bytes(32)]
    )
    short = manifest_pb2.Manifest(
        format="pem", entries=[manifest_pb2.Entry(kind="certificate", artifact=b"short")]
    )
    member = manifest_pb2.Manifest(
        format="pem", entries=[entry("certificate", LEAF, member=b"m" * 4097)]
    )
    many = manifest_pb2.Manifest(format="pem", entries=[entry("sealed-key", b"k")] * 4097)
    bad = [one.SerializeToString() for one in (mixed, short, member, many)]
    for data in (b"\xff\xff\xff", b"", *bad):
        file = File(sha256(data), {(MANIFEST, sha256(data)): data})
        await agent.offer(line, file)
        assert await outcome(line, agent, file.manifest) == ["refused malformed"]
    assert desk.rows(select(blob_table)) == []
    await line.leave()


async def test_parts_are_wanted_and_a_tree_is_kept_as_its_parts(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    files = [file_of(LEAF), long_file(file_of(OTHER), file_of(ROOT))]
    tree = manifest_pb2.Manifest(
        format="tree",
        tree=[
            manifest_pb2.TreeName(name=b"%d.pem" % number, manifest=file.manifest)
            for number, file in enumerate(files)
        ],
    ).SerializeToString()
    blobs = {key: data for file in files for key, data in file.blobs.items()}
    file = File(sha256(tree), {(MANIFEST, sha256(tree)): tree, **blobs})
    await agent.offer(line, file)
    assert sorted(agent.sent) == sorted(file.blobs)
    assert len(desk.rows(select(manifest_part))) == 4
    assert await outcome(line, agent, file.manifest) == []
    await line.leave()


async def test_manifests_nested_too_deep_are_refused(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(LEAF)
    for _ in range(4):
        file = long_file(file)
    await agent.offer(line, file)
    assert await outcome(line, agent, file.manifest) == ["refused malformed"]
    await line.leave()


async def test_a_kind_that_another_agent_lied_about_is_wanted_all_the_same(desk: Desk) -> None:
    liar, honest = desk.enrol("liar"), desk.enrol("honest")
    lie = file_with([(CSR, entry("csr", LEAF), LEAF)])
    await liar.report(await desk.connect(liar), {PATH: lie})
    await honest.report(await desk.connect(honest), {PATH: file_of(LEAF)})
    kinds = {row.kind for row in desk.rows(select(blob_table)) if row.hash == sha256(LEAF)}
    assert kinds == {CSR, CERTIFICATE}


async def test_several_offers_at_once_are_each_satisfied(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    files = [file_of(b"leaf %d" % number, ROOT) for number in range(30)]
    for file in files:
        agent.files |= file.blobs
        await agent.send_offer(line, [file.manifest])
    satisfied: set[int] = set()
    while len(satisfied) < len(files):
        want = await expect(line, "want")
        await agent.supply(line, want)
        if want.satisfied:
            satisfied.add(want.offer)
    assert len(agent.sent) == 61
    await line.leave()


async def test_more_is_missing_than_one_want_names(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(*(b"leaf %d" % number for number in range(2500)))
    await agent.offer(line, file)
    assert len(agent.sent) == 2501
    assert await outcome(line, agent, file.manifest) == []
    await line.leave()


async def test_thousands_that_cannot_be_supplied_do_not_hide_what_can(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    hollow = file_of(*(b"leaf %d" % number for number in range(2500)))
    whole = file_of(LEAF)
    agent.files |= {
        (MANIFEST, hollow.manifest): hollow.blobs[MANIFEST, hollow.manifest]
    } | whole.blobs
    await agent.send_offer(line, [hollow.manifest, whole.manifest])
    while not (want := await expect(line, "want")).satisfied:
        await agent.supply(line, want)
    assert await outcome(line, agent, hollow.manifest) == ["refused missing-blob"]
    assert await outcome(line, agent, whole.manifest) == []
    await line.leave()


async def test_blobs_that_came_before_the_stream_broke_are_kept(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(LEAF, ROOT)
    await agent.send_offer(line, [file.manifest])
    await expect(line, "want")
    await line.send(blob(MANIFEST, file.manifest, file.blobs[MANIFEST, file.manifest]))
    await expect(line, "want")
    await line.send(blob(CERTIFICATE, sha256(LEAF), LEAF))
    await line.leave()
    line = await desk.connect(agent)
    agent.sent.clear()
    await agent.offer(line, file)
    assert agent.sent == [(CERTIFICATE, sha256(ROOT))]
    await line.leave()


async def test_offers_over_the_limits_end_the_stream(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(offer_hashes=3, open_offers=2))
    agent = desk.enrol()
    for offers in ([[bytes(32)] * 4], [[b"short"]], [[sha256(b"%d" % n)] for n in range(3)]):
        line = await desk.connect(agent)
        for manifests in offers:
            await agent.send_offer(line, manifests)
        answer = await line.receive()
        while answer is not None and answer.WhichOneof("message") == "want":
            answer = await line.receive()
        assert answer is not None
        assert answer.refusal.reason == "protocol"


async def test_an_empty_offer_is_satisfied(desk: Desk) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    await line.send(report_pb2.ReportRequest(offer=report_pb2.Offer(offer=9)))
    want = await expect(line, "want")
    assert (want.offer, want.satisfied) == (9, True)
    await line.leave()


@pytest.mark.parametrize("others_removed", [False, True])
async def test_what_an_offer_settled_is_looked_up_again_only_if_another_collector_removed_since(
    desk: Desk, *, others_removed: bool
) -> None:
    agent = desk.enrol()
    line = await desk.connect(agent)
    file = file_of(LEAF, ROOT)
    await agent.offer(line, file)
    asked: list[str] = []
    with desk.store.write() as connection:
        if others_removed:
            connection.execute(update(removal).values(times=removal.c.times + 1))
        event.listen(connection, "before_cursor_execute", lambda *it: asked.append(it[2]))
        cache = desk.reporter._intake.cache
        assert find_incomplete(connection, {file.manifest}, cache) == set()
    assert (len(asked) > 1) is others_removed, asked
    await line.leave()
