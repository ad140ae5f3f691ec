"""The link against the real collector, in one event loop: both sides of section 4 agree."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from fakes.enrolled_agent import config_in
from fakes.ports import Running, running_server

from keycensus_agent.errors import RefusedError
from keycensus_agent.host_facts import gather, machine_prints
from keycensus_agent.link.control import Route, recover, renew
from keycensus_agent.link.enrol import Enrolment, enrol
from keycensus_agent.link.identity import IdentityStore
from keycensus_agent.link.leave import leave
from keycensus_agent.link.token import parse_token
from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.convert import encode_host_facts
from keycensus_agent.reader.link_client import LinkClient
from keycensus_agent.relay import FrameKind
from keycensus_proto.v1 import report_pb2

HELLO = report_pb2.ReportRequest(
    hello=report_pb2.Hello(protocol_version=1, instance=bytes(16), boot_id=bytes(16))
).SerializeToString()


async def join(running: Running, directory: Path, text: str | None = None) -> Enrolment:
    text = text or (await asyncio.to_thread(running.run, "token.create"))["token"]
    return await enrol(
        config_in(directory),
        str(running.bound.enrol),
        parse_token(text),
        encode_host_facts(gather(b"/", {}, [b"/"])),
        machine=machine_prints(),
        now=dt.datetime.now(dt.UTC),
    )


async def test_an_agent_enrols_renews_reports_recovers_and_leaves(tmp_path: Path) -> None:
    store = IdentityStore(tmp_path / "agent" / "identity")
    async with running_server(tmp_path / "collector") as running:
        enrolled = (await join(running, tmp_path / "agent")).identity
        assert enrolled.report_address == str(running.bound.report)
        renewed = await renew(enrolled, store, Route())

        with LinkClient.spawn(LinkStart(store.path)) as link:
            opened = await asyncio.to_thread(link.receive, 20)
            assert opened is not None
            assert opened[0] is FrameKind.OPEN, opened
            link.send(FrameKind.MESSAGE, HELLO)
            answer = await asyncio.to_thread(link.receive, 20)
            assert answer is not None
            assert answer[0] is FrameKind.MESSAGE, answer
            assert report_pb2.ReportResponse.FromString(answer[1]).HasField("hello_ack")

        recovered = await recover(renewed, store, "", dt.datetime.now(dt.UTC))
        assert recovered.chain != renewed.chain
        said = await leave(
            config_in(tmp_path / "agent"), "moved", force=False, machine=machine_prints()
        )
    assert "was told" in said
    assert not store.path.exists()


async def test_a_used_and_an_unknown_token_are_refused_with_what_to_do(tmp_path: Path) -> None:
    async with running_server(tmp_path / "collector") as running:
        text = (await asyncio.to_thread(running.run, "token.create"))["token"]
        await join(running, tmp_path / "a", text)
        with pytest.raises(RefusedError, match="token create") as caught:
            await join(running, tmp_path / "b", text)
        assert caught.value.refusal == "token-used"
        name, _, secret, pin = text.split(".")
        with pytest.raises(RefusedError) as caught:
            await join(running, tmp_path / "b", f"{name}.AAAAAAAAAAA.{secret}.{pin}")
        assert caught.value.refusal == "token-unknown"
