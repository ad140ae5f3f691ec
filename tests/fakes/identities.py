"""Identities of a census: an authority that the database names, and agents as they enrol."""

from __future__ import annotations

import hashlib
import uuid

from fakes.census import Census
from fakes.pki import issue
from sqlalchemy import insert, select

from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    agent_contact,
    authority_certificate,
)

_DAY_MS = 86_400_000


def add_agent(
    census: Census,
    host_no: int,
    *,
    state: str = "active",
    days: int = 30,
    machines: tuple[str, ...] = (),
) -> str:
    """Give a host an identity and, by name, machines that used it; return its id."""
    now_ms, agent_id = census.clock.now_ms(), str(uuid.uuid4())
    with census.store.write() as connection:
        if connection.execute(select(authority_certificate)).first() is None:
            anchor = issue("Census CA", is_ca=True, days=3650)
            row = {"sha256": anchor.sha256, "der": anchor.der, "state": "current"}
            connection.execute(
                insert(authority_certificate).values(row | {"is_anchor": True, "added_ms": now_ms})
            )
        values = {
            "agent_id": agent_id,
            "host_no": host_no,
            "state": state,
            "state_reason": "",
            "enrolled_ms": now_ms,
            "enrolled_by": "token",
        }
        number = connection.execute(
            insert(agent).values(values).returning(agent.c.agent_no)
        ).scalar_one()
        connection.execute(
            insert(agent_certificate).values(
                serial=agent_id.replace("-", ""),
                agent_no=number,
                sha256=hashlib.sha256(agent_id.encode()).digest(),
                public_key_hash=bytes(32),
                state="current",
                not_after_ms=now_ms + days * _DAY_MS,
                issued_ms=now_ms,
            )
        )
        for name in machines:
            key = hashlib.sha256(f"{agent_id} {name}".encode()).digest()
            connection.execute(
                insert(agent_contact).values(
                    agent_no=number,
                    contact_key=key,
                    boot_id=key[:16],
                    instance=bytes(16),
                    machine_hash=bytes(32),
                    name=name,
                    address="192.0.2.7",
                    first_ms=now_ms,
                    last_ms=now_ms,
                    hellos=3,
                    verdict="cloned",
                )
            )
    return agent_id
