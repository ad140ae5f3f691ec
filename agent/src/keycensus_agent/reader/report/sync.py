"""One conversation with the collector: hello, what is left from before, the outbox, the listing.

The order of messages is protos/README.md section 5:

    1  hello, hello-ack; what the lost acks say was committed leaves the outbox
    2  batches that were fixed in an earlier stream go first, under the same sequences
    3  the next items: offer, blobs as wanted, then the batch, at most `batch_credit` at a time; last, what
       the link says of this host's listeners
    4  the first full sweep is announced by a batch that says `complete`
    5  once a day, or on suspicion, digests; a listing where the collector asks for one

Runs in the reader and talks to the link through a connection of frames; it knows no network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keycensus_agent import __version__
from keycensus_agent.errors import LinkError
from keycensus_agent.failpoints import reach
from keycensus_agent.model import RowClass
from keycensus_agent.reader.report import convert, reconcile
from keycensus_agent.reader.report.blobs import find_blob
from keycensus_agent.reader.report.dialogue import BrokenOffError, Dialogue, FrameConnection
from keycensus_agent.reader.report.outbox import Outbox, Pending
from keycensus_agent.reader.report.rebuilding import TABLES
from keycensus_agent.reader.state import State

# Items to be tried again are taken up so often in one conversation; then they wait for the next.
RETRY_ROUNDS = 3
# Lists that one conversation sends at most, whatever the collector asks for.
LISTINGS = 16


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a conversation needs to know beside the state.

    `swept`: this process has completed a full sweep, so the state is what the disk was then. A
    state that was brought back from an older copy claims nothing before. `fraction` is random.
    """

    host_facts: bytes
    boot_id: bytes
    counters: Mapping[str, int]
    now_ms: Callable[[], int]
    swept: bool = True
    fraction: float = 0.5


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
    not_supplied: int = 0
    listings: int = 0
    removed: int = 0
    skew_ms: int = 0
    heartbeat_seconds: int = 0
    scan_again: bool = False
    # After how long to come back, since listeners are to be asked then; 0: as always.
    again_in_seconds: float = 0.0
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


@dataclass(slots=True)
class Conversation:
    """See the module's text. Use once: `converse()`."""

    state: State
    outbox: Outbox
    connection: FrameConnection
    circumstances: Circumstances
    should_stop: Callable[[], bool] = lambda: False
    # Asks the link of this host's listeners; whether that made changes to report.
    inquire: Callable[[Callable[[bytes], bytes]], bool] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    _dialogue: Dialogue = field(init=False)
    _flights: deque[_Flight] = field(default_factory=deque)
    _offered: set[bytes] = field(default_factory=set)
    _offers: int = 0
    _after_item: int = 0
    _unsent: deque[int] = field(default_factory=deque)
    _listings: deque[RowClass] = field(default_factory=deque)
    # Of the offer that closes a comparison: it is answered after all that came before it.
    _full_stop: int = 0

    def __post_init__(self) -> None:
        self._dialogue = Dialogue(self.connection)

    def converse(self) -> Outcome:
        """Say everything there is to say; never raises for trouble of the network."""
        try:
            acknowledged = self._greet()
            if self.outcome.start_over:
                return self.outcome
            self._say_everything(acknowledged)
            self._dialogue.end()
        except (BrokenOffError, convert.ProtocolError) as error:
            self._note_end(error)
        except LinkError as error:
            # What the link said before it left explains more than that it is gone.
            self._note_end(
                self._dialogue.explain_loss() or BrokenOffError("unreachable", str(error))
            )
        return self.outcome

    def _note_end(self, error: BrokenOffError | convert.ProtocolError) -> None:
        self.outcome.text = str(error)
        if isinstance(error, BrokenOffError):
            self.outcome.reason = error.reason
            self.outcome.retry_after_seconds = error.retry_after_seconds
        else:
            self.outcome.reason = "protocol"

    # --- 1: hello -----------------------------------------------------------------------------

    def _greet(self) -> convert.HelloAck:
        self._dialogue.open()
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
        self._dialogue.send(convert.encode_hello(hello))
        answer = self._dialogue.receive()
        if not isinstance(answer, convert.HelloAck):
            raise BrokenOffError("protocol", "the collector did not answer the hello with a hello")
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
        batch_bytes = self.outbox.room_for_batch(credit, hello_ack.max_batch_bytes)
        self._unsent.extend(self.outbox.fixed_batches())
        self._drain(credit, batch_bytes)
        self._empty_outbox(credit, batch_bytes)
        if self.inquire is not None and self.inquire(self._dialogue.ask):
            self._empty_outbox(credit, batch_bytes)
        if self.state.complete and self.outbox.count() == 0:
            self._announce_complete()
            if hello_ack.list_wanted:
                self._listings.extend(TABLES)
            self._list(credit, batch_bytes)
            if reconcile.is_due(self.state, self.circumstances.now_ms()):
                self._compare(credit, batch_bytes)
        if self.outcome.batches == 0:
            heartbeat = convert.encode_heartbeat(
                self.circumstances.now_ms(), self.circumstances.counters
            )
            self._dialogue.send(heartbeat)

    def _empty_outbox(self, credit: int, batch_bytes: int) -> None:
        rounds = 0
        while rounds < RETRY_ROUNDS:
            listed = 0
            if self.state.get_number("outbox_rebuild"):
                listed = self.outbox.rebuild(self.circumstances.now_ms())
            if self.outbox.count() == 0:
                return
            self._start_round()
            self._drain(credit, batch_bytes)
            # What was listed a part at a time is no second try.
            rounds += listed == 0

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
            self._handle(self._dialogue.receive())
        raise BrokenOffError("stopped", "the agent was asked to stop")

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
        self._dialogue.send(convert.encode_offer(flight.offer, missing))
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
            self._dialogue.send(flight.message)
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
            self._handle(self._dialogue.receive())

    def _compare(self, credit: int, batch_bytes: int) -> None:
        """Send the digests, and the lists of those that differ."""
        before = self.outcome.listings, self.outcome.removed
        for row_class in reconcile.KEPT_CLASSES:
            facts = self.circumstances.host_facts
            self._dialogue.send(reconcile.encode_digest(self.state, row_class, facts))
        # Equal digests have no answer, but an offer has one, and it comes after theirs.
        self._offers += 1
        self._full_stop = self._offers
        self._dialogue.send(convert.encode_offer(self._offers, ()))
        while self._full_stop:
            self._handle(self._dialogue.receive())
        again = self._list(credit, batch_bytes)
        with self.state.transaction():
            reconcile.note_comparison(
                self.state,
                self.circumstances.now_ms(),
                self.circumstances.fraction,
                differing=self.outcome.listings - before[0],
                sent_again=again,
                removed=self.outcome.removed - before[1],
            )

    def _list(self, credit: int, batch_bytes: int) -> int:
        """Send the lists that were asked for, and what they make the collector want; how many."""
        again = 0
        while self._listings and self.outcome.listings < LISTINGS:
            row_class = self._listings.popleft()
            self.outcome.listings += 1
            self._send_listing(row_class)
            keys = self._await_difference()
            if keys:
                facts, now_ms = self.circumstances.host_facts, self.circumstances.now_ms()
                again += self.outbox.requeue(row_class, keys, now_ms, host_facts=facts)
                self._start_round()
                self._drain(credit, batch_bytes)
        return again

    def _send_listing(self, row_class: RowClass) -> None:
        whole = self.state.complete and self.circumstances.swept
        facts = self.circumstances.host_facts
        for piece in reconcile.listing_pieces(self.state, row_class, facts, whole=whole):
            self._dialogue.send(piece)

    def _await_difference(self) -> list[bytes]:
        """Return the keys that are wanted again; the answer comes in pieces too."""
        keys: list[bytes] = []
        while True:
            answer = self._dialogue.receive()
            if not isinstance(answer, convert.Difference):
                self._handle(answer)
                continue
            keys += answer.keys
            self.outcome.removed += answer.removed
            if not answer.more:
                return keys

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
            raise BrokenOffError("protocol", "the collector said hello twice")

    def _supply(self, want: convert.Want) -> None:
        reach("after_want")
        unknown: list[convert.Wanted] = []
        for wanted in want.blobs:
            blob = find_blob(self.state.connection, wanted)
            if blob is None:
                unknown.append(wanted)
                continue
            reach("before_blob")
            self._dialogue.send(convert.encode_blob(want.offer, blob))
            reach("after_blob")
            self.outcome.blobs += 1
        if unknown:
            self.outcome.not_supplied += len(unknown)
            lost = self.state.get_number("not_supplied") + len(unknown)
            self.state.put_number("not_supplied", lost)
            self._dialogue.send(convert.encode_cannot_supply(want.offer, unknown, "unknown"))
        if want.satisfied:
            if want.offer == self._full_stop:
                self._full_stop = 0
            for flight in self._flights:
                if flight.offer == want.offer:
                    flight.satisfied = True

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
