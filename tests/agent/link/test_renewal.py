"""A renewal that is cut off at any point leaves an agent that can report: with the real collector."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes.enrolled_agent import config_in
from fakes.link_hello import Machine
from fakes.ports import Running, running_server

from keycensus_agent.errors import RefusedError, StorageError
from keycensus_agent.host_facts import machine_prints
from keycensus_agent.link.control import Route, recover, renew
from keycensus_agent.link.enrol import enrol
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.link.secret_directory import SecretDirectory
from keycensus_agent.link.token import parse_token


async def enrolled(running: Running, directory: Path) -> tuple[Identity, IdentityStore, Machine]:
    text = (await asyncio.to_thread(running.run, "token.create"))["token"]
    outcome = await enrol(
        config_in(directory),
        str(running.bound.enrol),
        parse_token(text),
        b"",
        machine=machine_prints(),
        now=dt.datetime.now(dt.UTC),
    )
    store = IdentityStore(directory / "identity")
    return outcome.identity, store, Machine(store.path)


async def test_an_answer_that_was_never_stored_leaves_the_old_certificate_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_server(tmp_path / "collector") as running:
        identity, store, machine = await enrolled(running, tmp_path / "agent")

        def full(_self: SecretDirectory, _files: Mapping[str, bytes]) -> None:
            raise StorageError("the agent was killed here")

        with monkeypatch.context() as patched:
            patched.setattr(SecretDirectory, "write", full)
            with pytest.raises(StorageError):
                await renew(identity, store, Route())
        assert store.load(machine_prints()).chain == identity.chain
        assert await machine.say_in_thread() == "ack"
        # Asking again at once is put off, and reporting goes on meanwhile.
        with pytest.raises(RefusedError) as caught:
            await renew(identity, store, Route())
        assert caught.value.refusal == "busy"
        assert await machine.say_in_thread() == "ack"


async def test_the_old_certificate_is_void_once_the_new_one_was_used(tmp_path: Path) -> None:
    async with running_server(tmp_path / "collector") as running:
        identity, store, machine = await enrolled(running, tmp_path / "agent")
        await renew(identity, store, Route())
        assert await machine.say_in_thread() == "ack"
        store.save(identity)  # as a thief who copied the directory before
        assert await machine.say_in_thread() == "unknown"


async def test_the_banned_neither_renew_nor_recover(tmp_path: Path) -> None:
    async with running_server(tmp_path / "collector") as running:
        identity, store, machine = await enrolled(running, tmp_path / "agent")
        await asyncio.to_thread(running.run, "agent.ban", agent=identity.agent_id)
        for attempt in (
            renew(identity, store, Route()),
            recover(identity, store, "", dt.datetime.now(dt.UTC)),
        ):
            with pytest.raises(RefusedError) as caught:
                await attempt
            assert caught.value.refusal == "banned"
        assert await machine.say_in_thread() == "banned"
