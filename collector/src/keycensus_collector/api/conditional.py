"""ETags: what was read is known again (304), and a write tells over what it writes (412). RFC 9110, section 13.

Answers say `no-store`, for what they tell is nobody's but the asker's. Whoever keeps one on purpose, a
script that asks every minute, keeps its tag with it and sends that as `If-None-Match`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keycensus_collector.api.problems import ProblemError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TAG = re.compile(r'(W/)?("[^"]*")')

IfMatch = Annotated[
    str,
    Header(
        alias="If-Match",
        max_length=1_000,
        description="The `ETag` that was read: 412 if the thing is another one now. `*`: any that is there.",
    ),
]
IfNoneMatch = Annotated[
    str,
    Header(
        alias="If-None-Match",
        max_length=1_000,
        description="`*`: 412 if there is one already.",
    ),
]


def tag_of(thing: DataclassInstance) -> str:
    """Return the strong ETag of a thing, of all that is shown of it."""
    text = json.dumps(asdict(thing), sort_keys=True, ensure_ascii=False)
    return _tag(text.encode())


def check_preconditions(current: str | None, *, if_match: str, if_none_match: str) -> None:
    """Raise a ProblemError (412) unless a write may go over what is there.

    `current`: the strong ETag of that, None if there is nothing. To be called in the write's transaction.
    """
    if if_match and not _is_among(current, if_match):
        raise ProblemError(
            HTTPStatus.PRECONDITION_FAILED,
            "changed",
            "it was changed or removed since it was read: read it again, and decide anew",
        )
    if if_none_match and _is_among(current, if_none_match):
        raise ProblemError(
            HTTPStatus.PRECONDITION_FAILED,
            "there-already",
            "there is one already, and If-None-Match says that there must be none",
        )


def _is_among(current: str | None, header: str) -> bool:
    """Whether a header of strong tags, or `*`, means what is there."""
    if current is None:
        return False
    return header.strip() == "*" or any(
        not weak and tag == current for weak, tag in _TAG.findall(header)
    )


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


class Conditional:
    """Gives each answer of JSON to a GET the ETag of its bytes, and answers 304 to who has them.

    A list's tag is weak: it means the same items, not that nothing else of the inventory changed.
    Streams pass through: what is not at hand whole has no tag.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a tag or as 304."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("If-None-Match", "")
        held: list[Message] = []

        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start" and _can_be_tagged(message):
                held.append(message)
                return
            if not held:
                await send(message)
                return
            start = held.pop()
            if not message.get("more_body", False):
                message = _tagged(start, message, known)
            await send(start)
            await send(message)

        await self._app(scope, receive, send_tagged)


def _can_be_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == HTTPStatus.OK and headers.get("Content-Type") == "application/json"


def _tagged(start: Message, message: Message, known: str) -> Message:
    """Write the tag into the start of an answer; return its body, or an empty one for a 304."""
    headers = MutableHeaders(scope=start)
    body: bytes = message.get("body", b"")
    if "ETag" not in headers:
        is_list = body.startswith((b'{"next":', b"["))
        headers["ETag"] = ("W/" if is_list else "") + _tag(body)
    tag = headers["ETag"].removeprefix("W/")
    # Reading compares weakly (RFC 9110, section 13.1.2).
    if known.strip() != "*" and tag not in [found for _, found in _TAG.findall(known)]:
        return message
    start["status"] = HTTPStatus.NOT_MODIFIED.value
    for name in ("Content-Length", "Content-Type"):
        del headers[name]
    return {**message, "body": b""}
