"""The frames of one conversation: send a request, wait for a response, say why it broke off.

Runs in the reader and talks to the link through a connection of frames; it knows no network, and
takes what the collector says as a claim: what does not parse ends the conversation.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from keycensus_agent.reader.report import convert
from keycensus_agent.relay import FrameKind

# Without a word from the collector for this long, the stream is given up.
SILENCE_SECONDS = 60.0
# How long the link may take to leave when everything was said.
_LEAVE_SECONDS = 5.0


class FrameConnection(Protocol):
    """What the conversation needs of the link's connection."""

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Send a frame; LinkError if the link is gone, and then `receive` says why."""

    def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
        """Return the next frame, None if there is none in `timeout` seconds; CLOSED is the last."""


class BrokenOffError(Exception):
    """The conversation can't go on; carries reason, text and retry-after."""

    def __init__(self, reason: str, text: str, retry_after_seconds: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class Dialogue:
    """Requests out, responses in. BrokenOffError says why there are no more of them."""

    connection: FrameConnection
    _responses: deque[convert.Response] = field(default_factory=deque)

    def send(self, payload: bytes) -> None:
        """Send one encoded request; LinkError if the link is gone."""
        self.connection.send(FrameKind.MESSAGE, payload)

    def receive(self) -> convert.Response:
        """Return the next response; BrokenOffError, or ProtocolError for one that is none."""
        while not self._responses:
            frame = self.connection.receive(SILENCE_SECONDS)
            if frame is None:
                raise BrokenOffError(
                    "unreachable",
                    f"the collector said nothing for {SILENCE_SECONDS:.0f} seconds; "
                    "what was not acknowledged is sent again later",
                )
            self._take(frame)
        return self._responses.popleft()

    def ask(self, question: bytes) -> bytes:
        """Ask the link itself something (inquiry.py) and return its answer; BrokenOffError if none."""
        self.connection.send(FrameKind.ASK, question)
        while True:
            frame = self.connection.receive(SILENCE_SECONDS)
            if frame is None:
                raise BrokenOffError("unreachable", "the link does not answer what it is asked")
            if frame[0] is FrameKind.ANSWER:
                return frame[1]
            self._take(frame)

    def open(self) -> None:
        """Wait until the link has a connection."""
        frame = self.connection.receive(SILENCE_SECONDS)
        if frame is None:
            raise BrokenOffError("unreachable", "the link did not connect in time")
        if frame[0] is not FrameKind.OPEN:
            self._take(frame)

    def end(self) -> None:
        """Half-close, and let the link leave in order; what it says now changes nothing any more."""
        self.connection.send(FrameKind.END)
        while True:
            frame = self.connection.receive(_LEAVE_SECONDS)
            if frame is None or frame[0] is FrameKind.CLOSED:
                return

    def explain_loss(self) -> BrokenOffError | convert.ProtocolError | None:
        """Return what the link said before it was gone, if it said why."""
        try:
            while (frame := self.connection.receive(0.0)) is not None:
                self._take(frame)
        except (BrokenOffError, convert.ProtocolError) as error:
            return error
        return None

    def _take(self, frame: tuple[FrameKind, bytes]) -> None:
        kind, payload = frame
        if kind is FrameKind.CLOSED:
            raise BrokenOffError(*_closing_words(payload))
        if kind is not FrameKind.MESSAGE:
            return
        response = convert.decode_response(payload)
        if isinstance(response, convert.Refusal):
            raise BrokenOffError(response.reason, response.text, response.retry_after_seconds)
        self._responses.append(response)


def _closing_words(payload: bytes) -> tuple[str, str, int]:
    """Return (reason, text, retry after seconds) of a CLOSED frame (relay.py)."""
    words = json.loads(payload)
    reason = str(words.get("reason", "stopped"))
    if reason == "done":
        # In order, but before everything was said.
        reason = "stopped"
    return reason, str(words.get("text", "")), int(words.get("retry_after_seconds", 0))
