"""How a refusal is said over gRPC: a status, a text for people, and a word for programs.

The word stands in the trailing metadata `keycensus-reason`, the wait, if one is asked for, in
`keycensus-retry-after` (seconds).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar

import grpc
import structlog

from keycensus_collector.errors import AuthorityError, Refusal, StoreError

REASON_KEY = "keycensus-reason"
RETRY_KEY = "keycensus-retry-after"

CallContext = grpc.aio.ServicerContext[Any, Any]

_Answer = TypeVar("_Answer")

_STATUS = {
    "token-unknown": grpc.StatusCode.PERMISSION_DENIED,
    "token-used": grpc.StatusCode.PERMISSION_DENIED,
    "token-expired": grpc.StatusCode.PERMISSION_DENIED,
    "token-revoked": grpc.StatusCode.PERMISSION_DENIED,
    "banned": grpc.StatusCode.PERMISSION_DENIED,
    "cloned": grpc.StatusCode.PERMISSION_DENIED,
    "too-late": grpc.StatusCode.PERMISSION_DENIED,
    "unknown": grpc.StatusCode.UNAUTHENTICATED,
    "malformed": grpc.StatusCode.INVALID_ARGUMENT,
    "weak-key": grpc.StatusCode.INVALID_ARGUMENT,
    "clock": grpc.StatusCode.FAILED_PRECONDITION,
    "upgrade": grpc.StatusCode.FAILED_PRECONDITION,
    "busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
# Our own trouble is no agent's fault: it comes back later.
_TROUBLE_RETRY_SECONDS = 60

_log = structlog.get_logger()


async def answered(context: CallContext, work: Awaitable[_Answer]) -> _Answer:
    """Return what `work` returns; end the call with status, text and metadata if it refuses.

    Trouble of our own (a full disk, a damaged database) is logged in full and told as "busy":
    its details are not the agent's business.
    """
    try:
        return await work
    except Refusal as refusal:
        _log.info("call.refused", reason=refusal.reason, peer=context.peer())
        return await _abort(context, refusal)
    except (StoreError, AuthorityError) as error:
        _log.error("call.failed", error_id=error.error_id, error=str(error), peer=context.peer())
        return await _abort(
            context,
            Refusal(
                "busy",
                "the collector can't store anything now; its log says why. Try again later",
                retry_after_seconds=_TROUBLE_RETRY_SECONDS,
            ),
        )


async def _abort(context: CallContext, refusal: Refusal) -> NoReturn:
    metadata = [(REASON_KEY, refusal.reason)]
    if refusal.retry_after_seconds:
        metadata.append((RETRY_KEY, str(refusal.retry_after_seconds)))
    status = _STATUS.get(refusal.reason, grpc.StatusCode.PERMISSION_DENIED)
    await context.abort(status, str(refusal), tuple(metadata))
