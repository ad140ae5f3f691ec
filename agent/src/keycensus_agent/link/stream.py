"""One report stream: frames of the reader on one side, gRPC messages on the other.

Runs in the link process. What the reader asks of this host's listeners is answered here (answering.py).
Messages pass as the bytes they are; only the collector's first one is
looked at, for its trust bundle and clock, and its last, which may be a refusal; and the hello, to
which the link adds which trust anchors it holds. Each direction takes
the next message when the last one was handed on, so a slow side slows the other and nothing piles
up here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from keycensus_agent.errors import IdentityError, KeycensusError, LinkError, RefusedError
from keycensus_agent.link.anew import NO_INVITATION, Invitation, enrol_anew
from keycensus_agent.link.answering import Answering
from keycensus_agent.link.channel import connected, explained_status, refused
from keycensus_agent.link.control import Route, recover, renew, report_endpoint
from keycensus_agent.link.identity import Identity, IdentityStore, checked_trust
from keycensus_agent.link.machine import ThisMachine
from keycensus_agent.link.rekey import rekey
from keycensus_agent.relay import HEADER_BYTES, FrameKind, decode_header, encode_frame
from keycensus_agent.text import safe_text
from keycensus_proto.v1 import enrolment_pb2, report_pb2

_SPREAD_MOST_SECONDS = 20
# A refusal that the link acts on by itself (protos/README.md, section 4.4).
_REKEY = "rekey"
REPORT_METHOD = "/keycensus.v1.Agents/Report"

# After END, or when told to stop, the link is gone within two seconds; this leaves time to close.
_LEAVE_SECONDS = 1.5
_LAST_WORD_SECONDS = 1.0
# A clock that is further off is worth a warning: certificates are issued an hour backdated.
_CLOCK_SKEW_SECONDS = 300

_Call = grpc.aio.StreamStreamCall[bytes, bytes]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Closing:
    """Why the link leaves: the content of a CLOSED frame (relay.py says which reasons there are).

    `refusal` is the collector's own word where reason is "refused".
    """

    reason: str
    text: str
    retry_after_seconds: int = 0
    refusal: str = ""

    def frame(self) -> bytes:
        """Return the encoded frame."""
        payload = {
            "reason": self.reason,
            "text": self.text,
            "retry_after_seconds": self.retry_after_seconds,
            "refusal": self.refusal,
        }
        return encode_frame(FrameKind.CLOSED, json.dumps(payload).encode())


def closing_for(error: KeycensusError) -> Closing:
    """Return the CLOSED content for an error."""
    if isinstance(error, RefusedError):
        return Closing("refused", str(error), error.retry_after_seconds, error.refusal)
    if isinstance(error, LinkError | IdentityError):
        return Closing(error.reason, str(error))
    return Closing("stopped", str(error))


class Link:
    """One connection of the reader, served once.

    `reader` and `writer` are the reader process's end; `machine` is what this machine is; `landlock`
    the version that holds this process, 0 for none.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        store: IdentityStore,
        route: Route,
        machine: ThisMachine,
        *,
        invitation: Invitation = NO_INVITATION,
        landlock: int = 0,
    ) -> None:
        self._landlock = landlock
        self._reader = reader
        self._writer = writer
        self._store = store
        self._route = route
        self._machine = machine
        self._invitation = invitation
        self._ended = False
        self._answering = Answering()
        self._hello: report_pb2.Hello | None = None

    async def serve(self, stop: asyncio.Event) -> Closing:
        """Relay until one side ends or `stop` is set; say why with a CLOSED frame, and return it."""
        session = asyncio.create_task(self._session())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if session.done():
            closing = session.result()
        else:
            session.cancel()
            await asyncio.wait({session}, timeout=_LAST_WORD_SECONDS)
            closing = Closing("stopped", "the link was told to stop")
        # The reader may be gone, or not reading any more; nobody is waited for.
        with suppress(OSError, TimeoutError):
            self._writer.write(closing.frame())
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await self._writer.drain()
        return closing

    async def _session(self) -> Closing:
        try:
            identity = await self._usable_identity(dt.datetime.now(dt.UTC))
            endpoint = report_endpoint(identity, self._store, self._route)
            async with connected(endpoint) as channel:
                await self._send(
                    FrameKind.OPEN,
                    json.dumps(
                        {
                            "collector": str(endpoint.address),
                            "deployment": identity.deployment,
                            "landlock": self._landlock,
                            "pid": os.getpid(),
                        }
                    ).encode(),
                )
                call: _Call = channel.stream_stream(REPORT_METHOD)()
                try:
                    return await self._relay(call, identity)
                except grpc.aio.AioRpcError as error:
                    return closing_for(explained_status(error, endpoint.address))
        except KeycensusError as error:
            return closing_for(error)
        except OSError:
            return Closing("stopped", "the reader went away")
        except ValueError as error:
            return Closing("protocol", f"the reader sent what is no frame: {safe_text(str(error))}")

    async def _usable_identity(self, now: dt.datetime) -> Identity:
        """Return an identity whose certificate is valid now: renewed or recovered if need be."""
        try:
            identity = self._store.load(self._machine.prints)
        except IdentityError as error:
            return await enrol_anew(
                self._store, self._invitation, self._route.proxy, error, machine=self._machine
            )
        if now < identity.not_before:
            raise LinkError(
                f"by this host's clock it is {now:%Y-%m-%d %H:%M} UTC, before this agent's "
                f"certificate starts ({identity.not_before:%Y-%m-%d %H:%M} UTC): the clock is "
                "probably wrong; set it, the agent comes back by itself",
                reason="tls",
            )
        if now >= identity.not_after:
            return await self._recovered(identity, now)
        if not identity.is_past_half_life(now):
            return identity
        try:
            renewed = await renew(identity, self._store, self._route)
        except KeycensusError as error:
            # Not yet a failure: the certificate is valid, and every connection tries again.
            log.warning("renewal-failed", why=str(error), not_after=str(identity.not_after))
            return identity
        log.info("renewed", not_after=str(renewed.not_after))
        return renewed

    async def _recovered(self, identity: Identity, now: dt.datetime) -> Identity:
        """Return the identity with a valid certificate; one of our own if it is several machines'."""
        try:
            return await recover(identity, self._store, self._route.proxy, now)
        except RefusedError as error:
            if error.refusal != _REKEY:
                raise
            await asyncio.sleep(min(error.retry_after_seconds, _SPREAD_MOST_SECONDS))
        hello = report_pb2.Hello(boot_id=self._machine.boot_id, host_facts=self._machine.facts)
        return await rekey(
            identity, self._store, self._route.proxy, hello, machine=self._machine.prints, now=now
        )

    async def _relay(self, call: _Call, identity: Identity) -> Closing:
        up = asyncio.create_task(self._upwards(call, identity))
        down = asyncio.create_task(self._downwards(call, identity))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if not down.done():
                # Raises what the reader did wrong, and ends here if the reader went away.
                if not up.result():
                    return Closing("stopped", "the reader went away")
                await asyncio.wait({down}, timeout=_LEAVE_SECONDS)
            if not down.done():
                return Closing("done", "the collector was still speaking when the link left")
            return await self._ending(down.result(), identity)
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _upwards(self, call: _Call, identity: Identity) -> bool:
        """Hand on the reader's messages until END (true) or the reader is gone (false)."""
        while True:
            frame = await self._next_frame()
            if frame is None:
                return False
            kind, payload = frame
            try:
                if kind is FrameKind.END:
                    await call.done_writing()
                    self._ended = True
                    return True
                if kind is FrameKind.ASK:
                    await self._send(FrameKind.ANSWER, await self._answering.answer(payload))
                    continue
                if kind is not FrameKind.MESSAGE:
                    raise ValueError(f"a frame of kind {kind.name}")
                if self._hello is None:
                    payload = self._with_trust(payload, identity)
                await call.write(payload)
            except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                # The collector ended the stream: the other direction knows why.
                return True

    async def _downwards(self, call: _Call, identity: Identity) -> bytes:
        """Hand on the collector's messages to the end; return the last."""
        last = b""
        while True:
            message = await call.read()
            if not isinstance(message, bytes):
                return last
            if not last:
                self._learn(message, identity)
            last = message
            refusal = _refusal(message)
            if refusal is not None and refusal.reason == _REKEY:
                continue  # ours to act on; the reader would leave
            await self._send(FrameKind.MESSAGE, message)

    async def _ending(self, last: bytes, identity: Identity) -> Closing:
        refusal = _refusal(last)
        if refusal is not None and refusal.reason == _REKEY and self._hello is not None:
            # So that the copies of one image do not all come at once; the reader waits meanwhile.
            await asyncio.sleep(min(refusal.retry_after_seconds, _SPREAD_MOST_SECONDS))
            return await self._rekey(identity, self._hello)
        if refusal is not None:
            return closing_for(
                refused(
                    refusal.reason,
                    safe_text(refusal.text),
                    retry_after_seconds=refusal.retry_after_seconds,
                )
            )
        who = "this agent" if self._ended else "the collector"
        return Closing("done", f"{who} ended the stream")

    def _with_trust(self, payload: bytes, identity: Identity) -> bytes:
        """Say in the hello which anchors we hold, so that nobody rolls over to one that we lack."""
        try:
            request = report_pb2.ReportRequest.FromString(payload)
        except DecodeError as error:
            raise ValueError("the first message can't be read") from error
        self._hello = request.hello
        if request.WhichOneof("message") != "hello":
            return payload
        request.hello.trust_anchors[:] = [
            hashlib.sha256(der).digest() for der in identity.trust.anchors
        ]
        return request.SerializeToString()

    async def _rekey(self, identity: Identity, hello: report_pb2.Hello) -> Closing:
        own = await rekey(
            identity,
            self._store,
            self._route.proxy,
            hello,
            machine=self._machine.prints,
            now=dt.datetime.now(dt.UTC),
        )
        log.info("rekeyed", agent_id=own.agent_id, host_id=own.host_id)
        return Closing(
            "rekeyed",
            "this machine shared its identity with others and has one of its own now; it reports "
            "under that from here on",
        )

    def _learn(self, message: bytes, identity: Identity) -> None:
        """Take trust and clock from the collector's hello-ack."""
        try:
            response = report_pb2.ReportResponse.FromString(message)
        except DecodeError:
            return
        if response.WhichOneof("message") != "hello_ack":
            return
        acknowledged = response.hello_ack
        if acknowledged.trust.current:
            self._learn_trust(acknowledged.trust, identity)
        own = dt.datetime.now(dt.UTC).timestamp()
        skew = round(own - acknowledged.collector_time_unix_ms / 1000)
        if acknowledged.collector_time_unix_ms and abs(skew) > _CLOCK_SKEW_SECONDS:
            log.warning("clock-differs-from-collector", seconds=skew)

    def _learn_trust(self, bundle: enrolment_pb2.TrustBundle, identity: Identity) -> None:
        try:
            trust = checked_trust(tuple(bundle.current), tuple(bundle.next))
            if trust != identity.trust:
                self._store.save_trust(trust)
                log.info("trust-changed", current=len(trust.current), next=len(trust.next))
        except (ValueError, KeycensusError) as error:
            # The trust that we have is the one this very connection stands on.
            log.warning("trust-not-stored", why=str(error))

    async def _next_frame(self) -> tuple[FrameKind, bytes] | None:
        try:
            kind, length = decode_header(await self._reader.readexactly(HEADER_BYTES))
            return kind, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def _send(self, kind: FrameKind, payload: bytes) -> None:
        self._writer.write(encode_frame(kind, payload))
        await self._writer.drain()


def _refusal(message: bytes) -> report_pb2.Refusal | None:
    with suppress(DecodeError):
        response = report_pb2.ReportResponse.FromString(message)
        if response.WhichOneof("message") == "refusal":
            return response.refusal
    return None
