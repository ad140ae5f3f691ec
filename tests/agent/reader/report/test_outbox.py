"""The outbox keeps what matters of what happened, in bounded space."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keycensus_agent.model import Cause, RowClass
from keycensus_agent.reader.report.convert import Change
from keycensus_agent.reader.report.outbox import STATES_PER_ROW, Outbox
from keycensus_agent.reader.state import State


@pytest.fixture
def state() -> Iterator[State]:
    state = State.in_memory()
    yield state
    state.close()


def change(key: bytes, row: bytes | None, cause: Cause = Cause.CONTENT) -> Change:
    return Change(RowClass.GAP, key, row, cause, 1)


def add(state: State, outbox: Outbox, *changes: Change) -> None:
    with state.transaction():
        for item in changes:
            outbox.add(item)


def test_states_of_a_row_keep_their_order(state: State) -> None:
    outbox = Outbox(state, cap_bytes=1 << 20)
    add(state, outbox, change(b"k", b"1"), change(b"k", b"2"), change(b"k", None))
    pending = outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    assert [item.row for item in pending.changes] == [b"1", b"2", None]


def test_many_states_of_a_row_become_the_first_the_last_and_a_count(state: State) -> None:
    outbox = Outbox(state, cap_bytes=1 << 20)
    add(state, outbox, *(change(b"k", b"%d" % number) for number in range(100)))
    pending = outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    assert len(pending.changes) == STATES_PER_ROW
    assert pending.changes[0].row == b"0"
    assert pending.changes[-1].row == b"99"
    assert pending.changes[-1].skipped == 100 - STATES_PER_ROW


def test_over_the_cap_only_states_between_are_dropped_and_counted(state: State) -> None:
    outbox = Outbox(state, cap_bytes=2000)
    for key in (b"a", b"b", b"c", b"d"):
        add(state, outbox, *(change(key, bytes([n]) * 100) for n in range(4)))
    with state.transaction():
        dropped = outbox.enforce_cap()
    assert dropped == 12
    assert outbox.size_bytes() <= 2000
    assert state.get_number("outbox_dropped") == 12
    pending = outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    assert [item.row for item in pending.changes] == [bytes([3]) * 100] * 4


def test_what_did_not_fit_at_all_is_listed_again_later(state: State) -> None:
    outbox = Outbox(state, cap_bytes=500)
    with state.transaction() as connection:
        for number in range(20):
            key, row = bytes([number]), bytes([number]) * 50
            connection.execute("INSERT INTO gap VALUES (?, ?, ?)", (key, row, row[:32]))
            outbox.add(change(key, row))
        outbox.enforce_cap()
    assert outbox.count() == 0
    assert state.get_number("outbox_rebuild") == 1
    assert outbox.rebuild(2) == 20
    assert outbox.count() == 20


def test_a_batch_stays_within_its_bytes(state: State) -> None:
    outbox = Outbox(state, cap_bytes=1 << 20)
    add(state, outbox, *(change(bytes([n]), bytes(1000)) for n in range(50)))
    pending = outbox.next_pending(0, batch_bytes=10_000)
    assert pending is not None
    assert len(pending.changes) == 9


def test_a_row_larger_than_a_batch_still_goes_out_alone(state: State) -> None:
    outbox = Outbox(state, cap_bytes=1 << 20)
    add(state, outbox, change(b"k", bytes(50_000)), change(b"l", b"small"))
    pending = outbox.next_pending(0, batch_bytes=10_000)
    assert pending is not None
    assert len(pending.changes) == 1


def test_a_fixed_batch_is_the_same_bytes_for_ever(state: State) -> None:
    outbox = Outbox(state, cap_bytes=1 << 20)
    add(state, outbox, change(b"k", b"1"))
    pending = outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    message = outbox.fix_batch(pending, {"files": 3}, complete=False)
    add(state, outbox, change(b"k", b"2"))
    assert outbox.fixed_batch(1)[0] == message
    assert outbox.last_sequence() == 1
    assert outbox.next_pending(0, batch_bytes=1 << 19) != pending
