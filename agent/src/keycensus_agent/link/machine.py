"""What a link knows of the machine that it is on.

Read before the link gives up the file system and root's rights: the DMI UUID is for root only, and what
it says of the machine must not depend on who asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_agent.host_facts import MachinePrints, boot_id, gather, machine_prints
from keycensus_proto.v1 import inventory_pb2


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """The machine's prints, the identity of this boot (16 bytes), and encoded HostFacts."""

    prints: MachinePrints
    boot_id: bytes
    facts: bytes

    @classmethod
    def look(cls) -> ThisMachine:
        """Read all of it now; what can't be read is empty."""
        return cls(machine_prints(), boot_id(), _own_facts())


def _own_facts() -> bytes:
    """Return what this host says of itself for the time until its first report says more."""
    facts = gather(b"/", {}, ())
    return inventory_pb2.HostFacts(
        name=facts.name,
        machine_hash=facts.machine_hash,
        operating_system=facts.operating_system,
        operating_system_version=facts.operating_system_version,
        kernel=facts.kernel,
        architecture=facts.architecture,
        kind=facts.kind,
        agent_version=facts.agent_version,
    ).SerializeToString()
