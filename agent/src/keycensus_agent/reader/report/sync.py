"""One conversation with the collector: hello, what is left from before, the outbox, the listing.

The order of messages is protos/README.md section 5:

    1  hello, hello-ack; what the lost acks say was committed leaves the outbox
    2  batches that were fixed in an earlier stream go first, under the same sequences
    3  the next items: offer, blobs as wanted, then the batch, at most `batch_credit` at a time
    4  the first full sweep is announced by a batch that says `complete`
    5  a listing where the collector asks for one

Runs in the reader and talks to the link through a connection of frames; it knows no network.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keycensus_agent import __version__
from keycensus_agent.errors import LinkError
from keycensus_agent.failpoints import reach
from keycensus_agent.model import Blob, BlobKind, RowClass
from keycensus_agent.reader.report import convert
from keycensus_agent.reader.report.outbox import Outbox, Pending, requeue
from keycensus_agent.reader.state import State
from keycensus_agent.relay import FrameKind

# Without a word from the collector for this long, the stream is given up.
SILENCE_SECONDS = 60.0
# Items to be tried again are taken up so often in one conversation; then they wait for the next.
RETRY_ROUNDS = 3
LISTING_ROWS = 4096


class FrameConnection(Protocol):
    """What the conversation needs of the link's connection."""

    def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        """Send a frame; LinkError if the link is gone, and then `receive` says why."""

    def receive(self, timeout: float) -> tuple[FrameKind, bytes] | None:
        """Return the next frame, None if there is none in `timeout` seconds; CLOSED is the last."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a conversation needs to know beside the state."""

    host_facts: bytes
    boot_id: bytes
    counters: Mapping[str, int]
    now_ms: Callable[[], int]


@dataclass(slots=True)
class Outcome:
    """How a conversation ended. `reason` is "done", or why it broke off (relay.py, refusals)."""

    reason: str = "done"
    text: str = ""
    retry_after_seconds: int = 0
    batches: int = 0
    changes: int = 0
    refused: int = 0
    blobs: int = 0
    skew_ms: int = 0
    heartbeat_seconds: int = 0
    scan_again: bool = False
    start_over: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything was said."""
        return self.reason == "done"


@dataclass(slots=True)
class _Flight:
    """One batch on its way: offered, then satisfied, then sent."""

    offer: int
    pending: Pending | None
    sequence: int = 0
    message: bytes = b""
    manifests: tuple[bytes, ...] = ()
    satisfied: bool = False
    sent: bool = False
    complete: bool = False


class _BrokenOffError(Exception):
    """The conversation can't go on; carries reason, text and retry-after."""

    def __init__(self, reason: str, text: str, retry_after_seconds: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(slots=True)
class Conversation:
    """See the module's text. Use once: `converse()`."""

    state: State
    outbox: Outbox
    connection: FrameConnection
    circumstances: Circumstances
    should_stop: Callable[[], bool] = lambda: False
    outcome: Outcome = field(default_factory=Outcome)
    _responses: deque[convert.Response] = field(default_factory=deque)
    _flights: deque[_Flight] = field(default_factory=deque)
    _offered: set[bytes] = field(default_factory=set)
    _offers: int = 0
    _after_item: int = 0
    _unsent: deque[int] = field(default_factory=deque)
    _listings: deque[RowClass] = field(default_factory=deque)

    def converse(self) -> Outcome:
        """Say everything there is to say; never raises for trouble of the network."""
        try:
            acknowledged = self._greet()
            if self.outcome.start_over:
                return self.outcome
            self._say_everything(acknowledged)
            self.connection.send(FrameKind.END)
            self._await_end()
        except _BrokenOffError as error:
            self.outcome.reason = error.reason
            self.outcome.text = str(error)
            self.outcome.retry_after_seconds = error.retry_after_seconds
        except convert.ProtocolError as error:
            self.outcome.reason, self.outcome.text = "protocol", str(error)
        except LinkError as error:
            # What the link said before it left explains more than that it is gone.
            self.outcome.reason, self.outcome.text = "unreachable", str(error)
            self._explain_lost_link()
        return self.outcome

    # --- 1: hello -----------------------------------------------------------------------------

    def _greet(self) -> convert.HelloAck:
        self._await_open()
        state, now_ms = self.state, self.circumstances.now_ms()
        hello = convert.Hello(
            agent_version=__version__,
            instance=state.instance,
            boot_id=self.circumstances.boot_id,
            nonce=state.get("nonce"),
            complete=state.complete,
            acknowledged_sequence=state.get_number("acknowledged_sequence"),
            host_facts=self.circumstances.host_facts,
            agent_time_unix_ms=now_ms,
        )
        self._send(convert.encode_hello(hello))
        answer = self._receive()
        if not isinstance(answer, convert.HelloAck):
            raise _BrokenOffError("protocol", "the collector did not answer the hello with a hello")
        self.outcome.skew_ms = now_ms - answer.collector_time_unix_ms
        self.outcome.heartbeat_seconds = answer.heartbeat_seconds
        self._settle_identity(answer)
        return answer

    def _settle_identity(self, answer: convert.HelloAck) -> None:
        """Notice another database, or one side restored from an older copy."""
        state = self.state
        database = state.get("database_id")
        lost = answer.last_sequence < state.get_number("acknowledged_sequence")
        ahead = answer.last_sequence > self.outbox.last_sequence()
        if (database and database != answer.database_id) or lost or ahead:
            state.new_instance()
            self.outbox.rebuild(self.circumstances.now_ms())
            self.outcome.start_over = True
        with state.transaction():
            state.put("database_id", answer.database_id)
            if not self.outcome.start_over:
                state.put("nonce", answer.nonce)
        if self.outcome.start_over:
            return
        known = {ack.sequence: ack for ack in answer.lost_acks}
        for sequence in self.outbox.fixed_batches():
            if sequence <= answer.last_sequence:
                ack = known.get(sequence, convert.Ack(sequence, ()))
                self._apply(ack, complete=False)

    # --- 2 to 5 -------------------------------------------------------------------------------

    def _say_everything(self, hello_ack: convert.HelloAck) -> None:
        credit = max(1, min(hello_ack.batch_credit, 16))
        batch_bytes = hello_ack.max_batch_bytes or 1 << 19
        self._unsent.extend(self.outbox.fixed_batches())
        self._drain(credit, batch_bytes)
        for _ in range(RETRY_ROUNDS):
            if self.state.get_number("outbox_rebuild"):
                self.outbox.rebuild(self.circumstances.now_ms())
            if self.outbox.count() == 0:
                break
            self._start_round()
            self._drain(credit, batch_bytes)
        if self.state.complete and self.outbox.count() == 0:
            self._announce_complete()
            if hello_ack.list_wanted:
                self._listings.extend((RowClass.PLACE, RowClass.GAP))
            self._list(credit, batch_bytes)
        if self.outcome.batches == 0:
            heartbeat = convert.encode_heartbeat(
                self.circumstances.now_ms(), self.circumstances.counters
            )
            self._send(heartbeat)

    def _start_round(self) -> None:
        """Take up what is left from the beginning, and offer again what it names."""
        self._after_item = 0
        self._offered.clear()

    def _drain(self, credit: int, batch_bytes: int) -> None:
        while not self.should_stop():
            while len(self._flights) < credit and self._take_off(batch_bytes):
                pass
            self._send_satisfied()
            if not self._flights:
                return
            self._handle(self._receive())
        raise _BrokenOffError("stopped", "the agent was asked to stop")

    def _take_off(self, batch_bytes: int) -> bool:
        """Offer the next batch, if there is one."""
        self._offers += 1
        if self._unsent:
            sequence = self._unsent.popleft()
            message, manifests = self.outbox.fixed_batch(sequence)
            flight = _Flight(self._offers, None, sequence, message, manifests)
        else:
            pending = self.outbox.next_pending(self._after_item, batch_bytes=batch_bytes)
            if pending is None:
                return False
            self._after_item = pending.items[-1]
            flight = _Flight(self._offers, pending, manifests=pending.manifests)
        self._flights.append(flight)
        # Batches go in order, so what an earlier one has offered is there before this one is sent.
        missing = [digest for digest in flight.manifests if digest not in self._offered]
        self._offered.update(missing)
        if not missing:
            flight.satisfied = True
            return True
        reach("before_offer")
        self._send(convert.encode_offer(flight.offer, missing))
        reach("after_offer")
        return True

    def _send_satisfied(self) -> None:
        """Send batches whose offers are satisfied, in the order of their sequences."""
        for flight in self._flights:
            if flight.sent:
                continue
            if not flight.satisfied:
                return
            if flight.pending is not None:
                flight.message = self.outbox.fix_batch(
                    flight.pending, dict(self.circumstances.counters), complete=flight.complete
                )
                flight.sequence = self.outbox.last_sequence()
            reach("before_batch")
            self._send(flight.message)
            reach("after_batch")
            flight.sent = True
            self.outcome.batches += 1

    def _announce_complete(self) -> None:
        if self.state.get_number("complete_acknowledged"):
            return
        self._offers += 1
        self._flights.append(
            _Flight(self._offers, Pending((), (), ()), satisfied=True, complete=True)
        )
        self._send_satisfied()
        while self._flights:
            self._handle(self._receive())

    def _list(self, credit: int, batch_bytes: int) -> None:
        while self._listings:
            row_class = self._listings.popleft()
            self._send_listing(row_class)
            answer = self._receive()
            while not isinstance(answer, convert.Difference):
                self._handle(answer)
                answer = self._receive()
            if answer.keys:
                requeue(self.state, answer.row_class, answer.keys, self.circumstances.now_ms())
                self._start_round()
                self._drain(credit, batch_bytes)

    def _send_listing(self, row_class: RowClass) -> None:
        table = {RowClass.PLACE: "place", RowClass.GAP: "gap"}.get(row_class)
        rows: list[tuple[bytes, bytes]] = []
        if table is not None:
            rows = self.state.connection.execute(
                f"SELECT key, row_hash FROM {table} ORDER BY key"  # noqa: S608 - names from above
            ).fetchall()
        pieces = [
            rows[start : start + LISTING_ROWS] for start in range(0, len(rows), LISTING_ROWS)
        ] or [[]]
        for index, piece in enumerate(pieces):
            # Of a class that this agent keeps no rows of, an empty list says nothing.
            complete = self.state.complete and table is not None
            more = index + 1 < len(pieces)
            self._send(convert.encode_listing(row_class, piece, more=more, complete=complete))

    # --- what the collector says --------------------------------------------------------------

    def _handle(self, response: convert.Response) -> None:
        if isinstance(response, convert.Want):
            self._supply(response)
        elif isinstance(response, convert.Ack):
            self._land(response)
        elif isinstance(response, convert.ListRequest):
            self._listings.append(response.row_class)
        elif isinstance(response, convert.ScanAgain):
            self.outcome.scan_again = True
        elif isinstance(response, convert.HelloAck):
            raise _BrokenOffError("protocol", "the collector said hello twice")

    def _supply(self, want: convert.Want) -> None:
        reach("after_want")
        unknown: list[convert.Wanted] = []
        for wanted in want.blobs:
            blob = self._blob(wanted)
            if blob is None:
                unknown.append(wanted)
                continue
            reach("before_blob")
            self._send(convert.encode_blob(want.offer, blob))
            reach("after_blob")
            self.outcome.blobs += 1
        if unknown:
            self._send(convert.encode_cannot_supply(want.offer, unknown, "unknown"))
        if want.satisfied:
            for flight in self._flights:
                if flight.offer == want.offer:
                    flight.satisfied = True

    def _blob(self, wanted: convert.Wanted) -> Blob | None:
        if wanted.kind is None:
            return None
        found = self.state.connection.execute(
            "SELECT kind, data FROM blob WHERE hash = ?", (wanted.hash,)
        ).fetchone()
        if found is None or found[0] != wanted.kind.value:
            return None
        return Blob(BlobKind(found[0]), wanted.hash, found[1])

    def _land(self, ack: convert.Ack) -> None:
        reach("after_ack_received")
        if not self._flights or self._flights[0].sequence != ack.sequence:
            raise convert.ProtocolError(
                f"the collector acknowledged batch {ack.sequence}, which is not the next"
            )
        flight = self._flights.popleft()
        self._apply(ack, complete=flight.complete)
        reach("after_ack_stored")

    def _apply(self, ack: convert.Ack, *, complete: bool) -> None:
        before = self.outbox.count()
        self.outbox.apply_ack(ack, complete=complete)
        self.outcome.changes += before - self.outbox.count()
        self.outcome.refused += sum(item.result == "refused" for item in ack.items)

    # --- frames -------------------------------------------------------------------------------

    def _send(self, payload: bytes) -> None:
        self.connection.send(FrameKind.MESSAGE, payload)

    def _receive(self) -> convert.Response:
        while not self._responses:
            frame = self.connection.receive(SILENCE_SECONDS)
            if frame is None:
                raise _BrokenOffError(
                    "unreachable",
                    f"the collector said nothing for {SILENCE_SECONDS:.0f} seconds; "
                    "what was not acknowledged is sent again later",
                )
            self._take(frame)
        return self._responses.popleft()

    def _take(self, frame: tuple[FrameKind, bytes]) -> None:
        kind, payload = frame
        if kind is FrameKind.CLOSED:
            raise _BrokenOffError(*_closing_words(payload))
        if kind is not FrameKind.MESSAGE:
            return
        response = convert.decode_response(payload)
        if isinstance(response, convert.Refusal):
            raise _BrokenOffError(response.reason, response.text, response.retry_after_seconds)
        self._responses.append(response)

    def _await_open(self) -> None:
        frame = self.connection.receive(SILENCE_SECONDS)
        if frame is None:
            raise _BrokenOffError("unreachable", "the link did not connect in time")
        if frame[0] is not FrameKind.OPEN:
            self._take(frame)

    def _await_end(self) -> None:
        """Let the link leave in order; what it says now changes nothing any more."""
        while True:
            frame = self.connection.receive(5.0)
            if frame is None or frame[0] is FrameKind.CLOSED:
                return

    def _explain_lost_link(self) -> None:
        try:
            while (frame := self.connection.receive(0.0)) is not None:
                self._take(frame)
        except _BrokenOffError as error:
            self.outcome.reason = error.reason
            self.outcome.text = str(error)
            self.outcome.retry_after_seconds = error.retry_after_seconds
        except convert.ProtocolError as error:
            self.outcome.reason, self.outcome.text = "protocol", str(error)


def _closing_words(payload: bytes) -> tuple[str, str, int]:
    """Return (reason, text, retry after seconds) of a CLOSED frame (relay.py)."""
    words = json.loads(payload)
    reason = str(words.get("reason", "stopped"))
    if reason == "done":
        # In order, but before everything was said.
        reason = "stopped"
    return reason, str(words.get("text", "")), int(words.get("retry_after_seconds", 0))
