"""One gRPC channel to a collector: how it is made, when it stands, and what its errors mean.

Runs in the link. A channel belongs to one attempt and is closed with it (channels that
reconnect by themselves leak, and can't take a renewed certificate).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import grpc
import grpc.aio

from keycensus_agent import __version__
from keycensus_agent.address import Address
from keycensus_agent.errors import LinkError, RefusedError
from keycensus_agent.link.handshake import ClientFiles, explain
from keycensus_agent.link.proxy import choose_proxy
from keycensus_agent.text import safe_text

# Until the TLS handshake and HTTP/2's settings are through.
READY_TIMEOUT_SECONDS: Final = 20.0
# For one call; enrolment may wait for the collector's database.
CALL_TIMEOUT_SECONDS: Final = 30.0
# Trailing metadata in which a collector puts the stable word of a refusal, and the wait (seconds).
REASON_METADATA: Final = "keycensus-reason"
RETRY_METADATA: Final = "keycensus-retry-after"

_Response = TypeVar("_Response")

_MESSAGE_LIMIT = 4 * 1024 * 1024
_TEXT_LIMIT = 500
# A collector may ask for patience, but not for silence.
_RETRY_LIMIT_SECONDS = 86400

# Without keepalive a dead peer is noticed after hours; retries are ours to decide.
_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", f"keycensus-agent/{__version__}"),
)

# What a collector refuses, and what a person can do about it.
_WHAT_TO_DO: Final = {
    "token-used": "the token was used already: make another with `keycensus-collector token create`",
    "token-expired": "the token has expired: make another with `keycensus-collector token create`",
    "token-unknown": (
        "the collector does not know this token: check that it was made there, or make another "
        "with `keycensus-collector token create`"
    ),
    "token-revoked": (
        "the token was revoked: ask who revoked it, or make another with "
        "`keycensus-collector token create`"
    ),
    "banned": (
        "this agent is banned: an operator can lift that with `keycensus-collector agent unban`"
    ),
    "cloned": (
        "several machines use this agent's identity: an operator puts all of them right with "
        "`keycensus-collector agent rekey`, or on a copy `keycensus-agent leave --force` and enrol it "
        "by itself"
    ),
    "rekey": "this identity is several machines'; the agent fetches one of its own by itself",
    "unknown": (
        "the collector does not know this agent (it was evicted, or the collector's database was "
        "replaced): `keycensus-agent leave --force`, then enrol again"
    ),
    "expired": (
        "this agent's certificate expired too long ago to be renewed: "
        "`keycensus-agent leave --force`, then enrol again"
    ),
    "too-late": (
        "this agent's certificate expired too long ago to be renewed: "
        "`keycensus-agent leave --force`, then enrol again"
    ),
    "clock": "this host's clock is more than an hour from the collector's: set it, and try again",
    "malformed": "the collector can't read what this agent sent: upgrade the older of the two",
    "weak-key": "the collector does not take this agent's kind of key: upgrade the collector",
    "unsupported-key": "the collector does not take this agent's kind of key: upgrade the collector",
    "upgrade": "this agent is too old for the collector: upgrade keycensus-agent",
    "busy": "the collector is busy; the agent comes back by itself",
    "superseded": "a newer connection of this agent took over; the agent comes back by itself",
    "out-of-sequence": "the two sides lost count of each other; the agent starts over by itself",
    "protocol": "the collector did not understand this agent: upgrade the older of the two",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, whom to trust there, and how to identify. PEM throughout.

    `proxy` is the configuration's setting; `client_files` are the same as key and certificate, for
    the explanation of a failed handshake.
    """

    address: Address
    roots: bytes
    proxy: str = field(default="", repr=False)
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    client_files: ClientFiles | None = None


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel that stands, and close it in the end.

    LinkError ("unreachable", "tls") says what keeps it from standing and what to do.
    """
    proxy = choose_proxy(endpoint.address, endpoint.proxy, os.environ)
    way = ("grpc.http_proxy", proxy.url) if proxy else ("grpc.enable_http_proxy", 0)
    credentials = grpc.ssl_channel_credentials(endpoint.roots, endpoint.key, endpoint.certificate)
    channel = grpc.aio.secure_channel(
        f"dns:///{endpoint.address}", credentials, options=[*_OPTIONS, way]
    )
    try:
        if not await _stands(channel):
            raise await asyncio.to_thread(
                explain, endpoint.address, proxy, endpoint.roots, endpoint.client_files
            )
        yield channel
    finally:
        await channel.close()


async def _stands(channel: grpc.aio.Channel) -> bool:
    """Whether the first attempt to connect succeeds; gRPC itself would try for ever."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_SECONDS):
            while True:
                state = channel.get_state(try_to_connect=True)
                if state is grpc.ChannelConnectivity.READY:
                    return True
                if state in {
                    grpc.ChannelConnectivity.TRANSIENT_FAILURE,
                    grpc.ChannelConnectivity.SHUTDOWN,
                }:
                    return False
                await channel.wait_for_state_change(state)
    except TimeoutError:
        return False


async def answered(call: Awaitable[_Response], address: Address) -> _Response:
    """Return a call's response; RefusedError or LinkError instead of gRPC's own error."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise explained_status(error, address) from error


def explained_status(error: grpc.aio.AioRpcError, address: Address) -> LinkError:
    """Return a failed call's status as an error for people."""
    details = safe_text((error.details() or "")[:_TEXT_LIMIT])
    metadata = _trailing(error)
    reason = metadata.get(REASON_METADATA, "")
    code = error.code()
    if reason:
        wait = metadata.get(RETRY_METADATA, "")
        seconds = int(wait) if wait.isascii() and wait.isdigit() else 0
        return refused(reason, details, retry_after_seconds=min(seconds, _RETRY_LIMIT_SECONDS))
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return refused("", details)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return LinkError(
            f"{address} does not know this call: check that this is the right port (8441 for "
            "enrolment, 8440 for reports), and that collector and agent are of like age",
            reason="protocol",
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return RefusedError(
            f"the collector {address} refuses for now ({details}); the agent comes back by itself",
            refusal="busy",
        )
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return LinkError(
            f"the connection to the collector {address} broke ({details}): it may have been "
            "stopped, or the network is down; try again"
        )
    return LinkError(
        f"the collector {address} failed ({code.name}: {details}): see its log", reason="protocol"
    )


def refused(reason: str, text: str, *, retry_after_seconds: int = 0) -> RefusedError:
    """Return a refusal for people. `reason` is the collector's word, `text` its escaped sentence."""
    advice = _WHAT_TO_DO.get(reason, "ask who runs the collector")
    said = f' (it says: "{text}")' if text else ""
    return RefusedError(
        f"the collector refuses: {advice}{said}",
        refusal=safe_text(reason),
        retry_after_seconds=retry_after_seconds,
    )


def _trailing(error: grpc.aio.AioRpcError) -> dict[str, str]:
    pairs = error.trailing_metadata() or ()
    return {name: value for name, value in pairs if isinstance(value, str)}
