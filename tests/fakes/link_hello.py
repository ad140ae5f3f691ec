"""One hello through a real link process, with a state of the test's own: what came back.

For tests of identities: the reader's side is only what it would say of nonce, instance and boot.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.link_client import LinkClient
from keycensus_agent.relay import FrameKind
from keycensus_proto.v1 import inventory_pb2, report_pb2


@dataclass
class Machine:
    """One machine with an identity directory; `nonce` and `instance` are its state."""

    identity: Path
    name: str = "web1"
    machine_hash: bytes = bytes(32)
    nonce: bytes = b""
    instance: bytes = field(default_factory=lambda: os.urandom(16))
    boot_id: bytes = field(default_factory=lambda: os.urandom(16))

    def facts(self) -> bytes:
        return inventory_pb2.HostFacts(
            name=self.name, machine_hash=self.machine_hash
        ).SerializeToString()

    def hello(self) -> bytes:
        hello = report_pb2.Hello(
            protocol_version=1,
            instance=self.instance,
            boot_id=self.boot_id,
            nonce=self.nonce,
            host_facts=self.facts(),
        )
        return report_pb2.ReportRequest(hello=hello).SerializeToString()

    def agent_id(self) -> str:
        return str(json.loads((self.identity / "identity.json").read_text())["agent_id"])

    def say(self) -> str:
        """Say hello; "ack", or why the link or the collector would not."""
        with LinkClient.spawn(LinkStart(self.identity)) as link:
            frame = link.receive(40)
            assert frame is not None
            if frame[0] is FrameKind.OPEN:
                link.send(FrameKind.MESSAGE, self.hello())
                frame = link.receive(60)
                assert frame is not None
            if frame[0] is FrameKind.CLOSED:
                closed = json.loads(frame[1])
                return str(closed["refusal"] or closed["reason"])
            response = report_pb2.ReportResponse.FromString(frame[1])
            if response.HasField("refusal"):
                return response.refusal.reason
            self.nonce = response.hello_ack.nonce
            link.send(FrameKind.END)
            while (frame := link.receive(10)) is not None and frame[0] is not FrameKind.CLOSED:
                pass
            return "ack"

    async def say_in_thread(self) -> str:
        return await asyncio.to_thread(self.say)
