"""An agent that enrols at the collector stub, for tests of what comes after."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

from fakes.collector import Collector
from fakes.collector_stub import CollectorStub

from keycensus_agent.config import CollectorSettings, Config, StateSettings
from keycensus_agent.host_facts import MachinePrints, machine_prints
from keycensus_agent.link.enrol import Enrolment, enrol
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.link.token import parse_token


def config_in(directory: Path, *, proxy: str = "") -> Config:
    return Config(
        state=StateSettings(directory=directory), collector=CollectorSettings(proxy=proxy)
    )


async def enrol_at(
    stub: CollectorStub,
    config: Config,
    token: str | None = None,
    *,
    machine: MachinePrints | None = None,
) -> Enrolment:
    return await enrol(
        config,
        stub.enrolment_address,
        parse_token(token or stub.token()),
        b"",
        machine=machine or machine_prints(),
        now=dt.datetime.now(dt.UTC),
    )


async def enrolled(stub: CollectorStub, directory: Path) -> tuple[Identity, IdentityStore]:
    outcome = await enrol_at(stub, config_in(directory))
    return outcome.identity, IdentityStore(config_in(directory).identity_directory)


def join(
    collector: Collector,
    directory: Path,
    *,
    machine: MachinePrints | None = None,
    token: str = "",
) -> Path:
    """Enrol at a real collector with the agent's own code; return the identity directory."""
    config = config_in(directory)
    asyncio.run(
        enrol(
            config,
            collector.enrol,
            parse_token(token or collector.enrolment_token()),
            b"",
            machine=machine or machine_prints(),
            now=dt.datetime.now(dt.UTC),
        )
    )
    return config.identity_directory
