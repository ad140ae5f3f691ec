"""Which machines have said hello under one identity: evidence for people, once they are more than one.

Everything here but the address is a claim, escaped, and decides nothing. A copy is told from another
by its boot, its machine and its name; of an agent in order only the newest few are kept.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select
from sqlalchemy.sql.elements import ClauseElement

from keycensus_collector.authority.peer import Peer
from keycensus_collector.intake.bulk import Bulk
from keycensus_collector.intake.model import Hello, HostFacts
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import agent_contact

# Each reboot of a healthy host is a contact of its own.
KEPT_IN_ORDER = 16
# A golden image has about a thousand copies; a liar must not fill the disk.
KEPT_OF_COPIES = 4096


_COLUMNS = (
    *("agent_no", "contact_key", "boot_id", "instance", "machine_hash", "name"),
    *("address", "first_ms", "last_ms", "hellos", "verdict"),
)


def _note(connection: Connection) -> ClauseElement:
    statement = upsert(connection, agent_contact)
    return (
        statement.values({name: bindparam(name) for name in _COLUMNS})
        .on_conflict_do_update(
            index_elements=["agent_no", "contact_key"],
            set_={
                "instance": statement.excluded.instance,
                "address": statement.excluded.address,
                "last_ms": statement.excluded.last_ms,
                "hellos": agent_contact.c.hellos + literal_column("1"),
                "verdict": statement.excluded.verdict,
            },
        )
        .returning(agent_contact.c.hellos)
    )


_NOTE = Bulk(_note, _COLUMNS)


def note_contact(
    connection: Connection,
    peer: Peer,
    hello: Hello,
    facts: HostFacts | None,
    *,
    verdict: str,
    now_ms: int,
    copies: bool,
) -> None:
    """Note that a machine said hello; `copies`: the identity is known to be on several."""
    machine = b"" if facts is None else facts.machine_hash
    name = "" if facts is None else facts.name
    key = contact_key(hello.boot_id, machine, name)
    noted = _NOTE.first(
        connection,
        (
            *(peer.agent_no, key, hello.boot_id, hello.instance, machine, name),
            *(peer.address, now_ms, now_ms, 1, verdict),
        ),
    )
    if noted is not None and noted.hellos == 1:
        _drop_oldest(connection, peer.agent_no, KEPT_OF_COPIES if copies else KEPT_IN_ORDER)


def contact_key(boot_id: bytes, machine_hash: bytes, name: str) -> bytes:
    """Return what tells one copy from another."""
    fields = (boot_id, machine_hash, name.encode())
    return hashlib.sha256(
        b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    ).digest()


def _drop_oldest(connection: Connection, agent_no: int, kept: int) -> None:
    mine = agent_contact.c.agent_no == agent_no
    count = connection.execute(select(func.count()).where(mine)).scalar_one()
    if count <= kept:
        return
    oldest = (
        select(agent_contact.c.contact_no)
        .where(mine)
        .order_by(agent_contact.c.last_ms, agent_contact.c.contact_no)
        .limit(count - kept)
    )
    connection.execute(delete(agent_contact).where(agent_contact.c.contact_no.in_(oldest)))
