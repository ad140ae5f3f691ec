"""Answers the reader's questions about this host's listeners, one after the other.

Runs in the link. Questions come through the reader's socket only; the collector's messages never get
here. Whom to ask is checked again: an address that is not this host's own is not connected to.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from keycensus_agent.inquiry import (
    Question,
    decode_question,
    encode_error,
    encode_listeners,
    encode_presented,
)
from keycensus_agent.link import diag
from keycensus_agent.link.probe import probe

# Between two handshakes, so that no service sees a burst.
_GAP_SECONDS = 0.1
# In one connection; a reader that asks more is not ours.
QUESTIONS = 512


@dataclass(slots=True)
class Answering:
    """For one connection of the reader."""

    asked: int = 0

    async def answer(self, payload: bytes) -> bytes:
        """Return the payload of the ANSWER; ValueError if what was asked is no question."""
        self.asked += 1
        if self.asked > QUESTIONS:
            raise ValueError("too many questions")
        question = decode_question(payload)
        if question is None:
            try:
                return encode_listeners(diag.listeners())
            except OSError as error:
                return encode_error(f"the kernel does not list listeners: {error.strerror}")
        if not diag.is_own(question.address):
            return encode_error("not this host's own address")
        return await self._shake_hands(question)

    async def _shake_hands(self, question: Question) -> bytes:
        presented = await probe(question)
        await asyncio.sleep(_GAP_SECONDS)
        return encode_presented(presented)
