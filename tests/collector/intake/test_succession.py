"""A host that was installed anew: its new agent's report becomes the old host's, counted once."""

from __future__ import annotations

from fakes.agent_stream import PLACE, Desk, expect, file_of, listing, place_row, sha256
from sqlalchemy import select

from keycensus_agent.model import Scope, place_key
from keycensus_collector.intake.succession import hand_over
from keycensus_collector.store.schema import agent, gap, holding, host, place

SHARED, OLD_ONLY, NEW_ONLY = file_of(b"shared"), file_of(b"old only"), file_of(b"new only")


def standing(desk: Desk, host_no: int) -> set[str]:
    where = place.c.host_no == host_no, place.c.gone_ms.is_(None)
    return {row.path for row in desk.rows(select(place.c.path).where(*where))}


async def test_the_old_host_keeps_its_history_and_gets_what_is_there_now(desk: Desk) -> None:
    old, new = desk.enrol("old"), desk.enrol("new")
    line = await desk.connect(old)
    await old.report(line, {b"/both.pem": SHARED, b"/old.pem": OLD_ONLY}, complete=True)
    await line.leave()
    desk.clock.advance(60)
    line = await desk.connect(new)
    reported = {b"/both.pem": SHARED, b"/new.pem": NEW_ONLY}
    await new.report(line, reported, complete=True)
    old_no, new_no = old.peer.host_no, new.peer.host_no

    desk.clock.advance(60)
    with desk.store.write() as connection:
        moved = hand_over(connection, old_no, new_no, desk.clock.now_ms())
    assert moved == [new.peer.agent_id]
    assert standing(desk, new_no) == set()
    assert desk.rows(select(holding).where(holding.c.host_no == new_no)) == []
    assert standing(desk, old_no) == {"/both.pem", "/old.pem"}
    assert desk.rows(select(gap).where(gap.c.host_no == new_no, gap.c.to_ms.is_(None))) == []
    # The stream that is open writes nothing more; not to the one host and not to the other.
    refusal = await expect(line, "refusal")
    assert refusal.reason == "superseded"

    (row,) = desk.rows(select(agent).where(agent.c.agent_no == new.peer.agent_no))
    object.__setattr__(new.peer, "host_no", row.host_no)  # as the port finds it from here on
    line = desk.line(new)
    assert (await new.greet(line, complete=True)).list_wanted
    rows = {
        place_key(Scope(), path): sha256(place_row(path, file.manifest))
        for path, file in reported.items()
    }
    await line.send(listing(PLACE, rows))
    difference = await expect(line, "difference")
    assert list(difference.keys) == [place_key(Scope(), b"/new.pem")]
    assert difference.removed == 1
    await new.report(line, {b"/new.pem": NEW_ONLY}, cause="reconcile")
    assert standing(desk, old_no) == {"/both.pem", "/new.pem"}
    states = {one.host_no: one.state for one in desk.rows(select(host.c.host_no, host.c.state))}
    assert states == {old_no: "active", new_no: "retired"}
