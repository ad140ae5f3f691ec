"""The rules by which a restored snapshot is told from a clone, against a model of real machines."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keycensus_collector.intake.nonces import (
    Boot,
    Line,
    Verdict,
    boot,
    decode_boots,
    decode_line,
    encode_boots,
    present,
)

INSTANCE = b"i" * 16


def nonce(number: int) -> bytes:
    return number.to_bytes(16, "big")


def say(line: Line | None, shown: bytes, fresh: bytes, instance: bytes = INSTANCE) -> Line:
    line, verdict = present(line, shown, instance, fresh)
    assert verdict is Verdict.FINE
    return line


def history(steps: int) -> Line:
    """Return the line of an agent that said hello `steps` times: nonce(1) was given at the first."""
    line = say(None, b"", nonce(1))
    for step in range(1, steps):
        line = say(line, nonce(step), nonce(step + 1))
    return line


def test_the_pending_nonce_becomes_current_and_a_new_one_pending() -> None:
    line = history(2)
    assert (line.current, line.pending) == (nonce(1), nonce(2))
    assert line.past == (INSTANCE,)


@pytest.mark.parametrize("shown", [b"", nonce(1)])
def test_a_lost_answer_is_given_again(shown: bytes) -> None:
    line = history(2 if shown else 1)
    again, verdict = present(line, shown, INSTANCE, nonce(99))
    assert verdict is Verdict.FINE
    assert again == line


def test_an_older_nonce_is_a_restored_snapshot_however_often() -> None:
    line = history(6)
    for fresh in range(100, 110):
        line, verdict = present(line, nonce(2), INSTANCE, nonce(fresh))
        # At the second time it may still be the one that is current: its answer was lost.
        assert verdict in (Verdict.RESTORED, Verdict.FINE)
        line = say(line, line.pending, nonce(fresh + 1000))


def test_the_newer_state_coming_back_after_an_older_one_is_a_clone() -> None:
    for newer in (5, 6):  # what was current, what was pending
        line, verdict = present(history(6), nonce(2), INSTANCE, nonce(100))
        assert verdict is Verdict.RESTORED
        unchanged, verdict = present(line, nonce(newer), INSTANCE, nonce(101))
        assert verdict is Verdict.CLONED
        assert unchanged == line


def test_a_state_that_was_lost_and_comes_back_is_a_restored_snapshot_first() -> None:
    line, verdict = present(history(3), b"", b"new" * 5 + b"!", nonce(100))
    assert verdict is Verdict.FRESH
    line, verdict = present(line, nonce(3), INSTANCE, nonce(101))
    assert verdict is Verdict.RESTORED
    _, verdict = present(line, b"", b"new" * 5 + b"!", nonce(102))
    assert verdict is Verdict.CLONED


def test_a_database_from_before_calls_nobody_a_clone() -> None:
    before = history(3)
    # The agent is further than this database; then its state, too, is replaced by an older one.
    line, verdict = present(before, nonce(50), INSTANCE, nonce(100))
    assert verdict is Verdict.RESTORED
    line, verdict = present(line, b"", b"j" * 16, nonce(101))
    assert verdict is Verdict.FRESH
    _, verdict = present(line, before.pending, INSTANCE, nonce(102))
    assert verdict is Verdict.RESTORED


def test_a_line_and_boots_survive_the_database() -> None:
    line = present(history(9), nonce(2), INSTANCE, nonce(100))[0]
    past, aside = b"".join(line.past), line.encoded_aside()
    assert decode_line(line.current, line.pending, past, aside) == line
    boots = (Boot(nonce(1), firm=True), Boot(nonce(2)))
    assert decode_boots(encode_boots(boots)) == boots


def test_what_is_remembered_is_bounded() -> None:
    line = history(500)
    assert len(line.past) == 64
    for fresh in range(1000, 1200):
        line, _ = present(line, b"", nonce(fresh), nonce(fresh + 1000))
    assert len(line.aside) == 64
    boots: tuple[Boot, ...] = ()
    for number in range(1, 200):
        boots, _ = boot(boots, nonce(number))
    assert len(boots) == 64


def test_reboots_and_a_restored_memory_are_no_clones_but_boots_that_take_turns_are() -> None:
    boots: tuple[Boot, ...] = ()
    verdicts = []
    for number in (1, 1, 2, 3, 1, 4, 1, 5, 4):
        boots, verdict = boot(boots, nonce(number))
        verdicts.append(verdict.value)
    assert verdicts == [
        *("fine", "fine", "fine", "fine"),
        *("restored", "fine", "restored", "fine", "cloned"),
    ]


def test_a_boot_that_can_t_be_read_is_not_judged() -> None:
    known = (Boot(nonce(1)), Boot(nonce(2)))
    for unknown in (b"", bytes(16)):
        assert boot(known, unknown) == (known, Verdict.FINE)


# --- machines against the rules ---------------------------------------------------------------


@dataclass
class Machine:
    """A machine with the agent's state: what its disk holds of nonce and instance, and its boot."""

    nonce: bytes
    instance: bytes
    boot_id: bytes


class Fleet(RuleBasedStateMachine):
    """One identity on one machine, which crashes, loses answers, reboots and is restored; then on two.

    The model is what a person knows: whether a second machine was made. Before that nothing may be
    called a clone, and of two that go on talking it must be found out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.line: Line | None = None
        self.boots: tuple[Boot, ...] = ()
        self.machine = Machine(b"", self._new(), self._new())
        self.snapshots: list[Machine] = []
        self.clone: Machine | None = None
        self.found = False

    def _new(self) -> bytes:
        return nonce(next(self.numbers))

    def _hello(self, machine: Machine, *, answer_lost: bool) -> None:
        if self.found:
            return
        line, by_nonce = present(self.line, machine.nonce, machine.instance, self._new())
        boots, by_boot = boot(self.boots, machine.boot_id)
        if Verdict.CLONED in (by_nonce, by_boot):
            self.found = True
            return
        self.line, self.boots = line, boots
        if not answer_lost:
            machine.nonce = line.pending

    @initialize()
    def first_contact(self) -> None:
        self._hello(self.machine, answer_lost=False)

    @rule(answer_lost=st.booleans())
    def hello(self, *, answer_lost: bool) -> None:
        self._hello(self.machine, answer_lost=answer_lost)

    @rule()
    def reboot(self) -> None:
        self.machine.boot_id = self._new()

    @rule()
    def lose_the_state(self) -> None:
        self.machine.nonce, self.machine.instance = b"", self._new()

    @rule()
    def take_a_snapshot(self) -> None:
        self.snapshots.append(Machine(self.machine.nonce, self.machine.instance, b""))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore_a_snapshot(self, data: st.DataObject) -> None:
        """Go back to a snapshot and boot; the states since then are gone for good."""
        at = data.draw(st.integers(0, len(self.snapshots) - 1))
        del self.snapshots[at + 1 :]
        kept = self.snapshots[at]
        self.machine = Machine(kept.nonce, kept.instance, self._new())

    @precondition(lambda self: self.clone is None)
    @rule()
    def clone_the_disk(self) -> None:
        self.clone = Machine(self.machine.nonce, self.machine.instance, self._new())

    @invariant()
    def one_machine_is_never_called_a_clone(self) -> None:
        if self.clone is None:
            assert not self.found

    def teardown(self) -> None:
        if self.clone is None:
            return
        for _ in range(4):
            self._hello(self.clone, answer_lost=False)
            self._hello(self.machine, answer_lost=False)
        assert self.found


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
