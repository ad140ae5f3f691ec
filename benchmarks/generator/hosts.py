"""Hosts with their agents, as enrolment leaves them: what both ways begin with."""

from __future__ import annotations

import hashlib
import json
import uuid

from sqlalchemy import Connection, insert

from benchmarks.generator.population import ROUNDS_MS, Host
from benchmarks.generator.writing import Writer
from keycensus_collector.authority.peer import Peer
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    deployment,
    host,
    host_state,
)
from keycensus_proto.v1 import inventory_pb2

KERNEL, VERSION = "6.1.0", "0.1.0"


def deploy(connection: Connection) -> None:
    """Make the deployment."""
    values = {"deployment_no": 1, "name": "fleet", "database_id": bytes(16), "created_ms": 0}
    connection.execute(insert(deployment).values(values))


def facts_of(made: Host) -> bytes:
    """Return what the agent of a host says of it."""
    return inventory_pb2.HostFacts(
        name=made.name,
        kernel=KERNEL,
        operating_system=made.operating_system,
        agent_version=VERSION,
    ).SerializeToString()


def enrol(writer: Writer, made: Host) -> Peer:
    """Write a host with its agent; return who that is."""
    number, at_ms = made.number, ROUNDS_MS[0]
    writer.put(
        host,
        host_no=number,
        host_id=str(uuid.UUID(int=number, version=4)),
        name=made.name,
        state="active",
        created_ms=at_ms,
        last_seen_ms=ROUNDS_MS[-1],
        complete=True,
        facts=facts_of(made),
        operating_system=made.operating_system,
        kernel=KERNEL,
        agent_version=VERSION,
        labels=json.dumps({"token": {"env": made.environment}, "host": {}}),
        counters="{}",
    )
    writer.put(host_state, host_no=number, from_ms=at_ms, state="active", cause="enrol")
    agent_id, serial = str(uuid.UUID(int=2**64 + number, version=4)), f"{number:016x}"
    writer.put(
        agent,
        agent_no=number,
        agent_id=agent_id,
        host_no=number,
        state="active",
        enrolled_ms=at_ms,
    )
    writer.put(
        agent_certificate,
        serial=serial,
        agent_no=number,
        sha256=hashlib.sha256(serial.encode()).digest(),
        public_key_hash=bytes(32),
        state="current",
        not_after_ms=ROUNDS_MS[-1] * 2,
        issued_ms=at_ms,
    )
    return Peer(number, agent_id, number, serial, "fleet")
