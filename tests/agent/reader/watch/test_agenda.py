"""When a directory is looked at: at once if it is quiet, rarely if it never is, and never not at all."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.reader.watch.agenda import (
    CALM_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_SECONDS,
    NOISY_TENTHS,
    POLL_SECONDS,
    PROBE_SECONDS,
    QUIET_SECONDS,
    REST_SECONDS,
    RESTLESS_SECONDS,
    Agenda,
    Due,
)

A, B = b"/a", b"/b"
# Seconds without a quiet tenth that are not yet noise.
NEVER_QUIET = NOISY_TENTHS / 10


def run(agenda: Agenda, start: float, end: float, step: float = 0.1) -> list[float]:
    """Note a change of A at every step, and look when it is due; return the times of the looks."""
    looks = []
    for number in range(round((end - start) / step)):
        now = start + number * step
        agenda.probe(now)
        if A not in agenda.noisy or agenda.listens(A):
            agenda.note(A, now)
        due = agenda.due(now)
        if due:
            looks.append(now)
            agenda.looked(due, [A], now, cost=0.01)
    return looks


def test_a_change_is_looked_at_when_the_directory_is_quiet() -> None:
    agenda = Agenda()
    assert agenda.next_at() is None
    agenda.note(A, 10.0)
    agenda.note(A, 10.05)
    assert not agenda.due(10.05 + QUIET_SECONDS - 0.001)
    assert agenda.next_at() == 10.05 + QUIET_SECONDS
    assert agenda.due(10.2) == Due(shallow=(A,))
    assert agenda.next_at() is None


def test_one_that_is_never_quiet_is_looked_at_after_the_longest_wait() -> None:
    looks = run(Agenda(), 100.0, 101.0)
    assert looks[0] <= 100.0 + LONGEST_SECONDS + 0.1


def test_looks_at_one_directory_get_rarer_and_others_do_not_wait_for_it() -> None:
    agenda = Agenda()
    looks = run(agenda, 0.0, NEVER_QUIET - 0.2)
    gaps = [after - before for before, after in itertools.pairwise(looks)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= RESTLESS_SECONDS + 0.2
    agenda.note(B, 20.0)
    assert B in agenda.due(20.0 + QUIET_SECONDS).shallow


def test_a_noisy_directory_is_polled_and_watched_again_when_nothing_changed() -> None:
    agenda = Agenda()
    looks = run(agenda, 0.0, 60.0)
    assert agenda.noisy == [A]
    assert len(looks) <= 4
    last = looks[-1] + POLL_SECONDS[1]
    due = agenda.due(last)
    assert due == Due(shallow=(A,))
    assert agenda.looked(due, [], last, cost=0.01) == [A]
    assert agenda.noisy == []
    assert agenda.next_at() is None


def test_a_noisy_directory_is_listened_to_now_and_then_and_looked_at_when_it_is_quiet() -> None:
    agenda = Agenda()
    run(agenda, 0.0, 8.0)
    assert agenda.noisy == [A]
    begun = agenda.next_at()
    assert begun is not None
    assert begun <= 8.0 + PROBE_SECONDS
    # Something is heard: it is not listened to for a while.
    agenda.probe(begun)
    assert agenda.listens(A)
    agenda.note(A, begun + 0.1)
    assert not agenda.listens(A)
    assert agenda.probe(begun + 0.2) == []
    again = begun + 0.1 + PROBE_SECONDS
    assert agenda.probe(again) == [A]
    assert not agenda.due(again)
    assert agenda.next_at() == again + CALM_SECONDS
    assert agenda.probe(again + CALM_SECONDS) == []
    assert agenda.noisy == []
    assert agenda.due(again + CALM_SECONDS) == Due(shallow=(A,))


def test_a_pause_ends_noise() -> None:
    agenda = Agenda()
    run(agenda, 0.0, NEVER_QUIET)
    run(agenda, 6 * NEVER_QUIET, 7 * NEVER_QUIET)
    assert agenda.noisy == []


def test_noise_is_heard_by_who_was_busy_meanwhile_and_a_few_changes_a_second_are_none() -> None:
    agenda = Agenda()
    for second in range(6):
        agenda.note(A, 10.0 + second, tenths=10)
        agenda.note(B, 10.0 + second, tenths=2)
    assert agenda.noisy == [A]


def test_all_looks_together_rest_by_their_cost_but_not_for_long() -> None:
    agenda = Agenda()
    agenda.note(A, 0.0)
    agenda.looked(agenda.due(1.0), [A], 1.0, cost=0.1)
    agenda.note(B, 1.0)
    assert not agenda.due(1.0 + 0.89)
    due = agenda.due(1.0 + 0.91)
    assert due == Due(shallow=(B,))
    agenda.looked(due, [B], 2.0, cost=1000.0)
    agenda.note(b"/c", 2.0)
    assert agenda.next_at() == 2.0 + LONGEST_PAUSE_SECONDS


def test_deep_is_kept_whatever_comes_later() -> None:
    agenda = Agenda()
    agenda.note(A, 0.0, deep=True)
    agenda.note(A, 0.0)
    agenda.note(B, 0.0)
    assert agenda.due(1.0) == Due(shallow=(B,), deep=(A,))
    agenda.note(A, 1.0)
    agenda.clear()
    assert not agenda.due(9.0)


def test_manners_are_forgotten() -> None:
    agenda = Agenda()
    for number in range(100):
        agenda.note(b"/%d" % number, 0.0)
    agenda.looked(agenda.due(1.0), [], 1.0, cost=0.0)
    agenda.note(A, 1000.0)
    agenda.looked(agenda.due(1001.0), [], 1001.0, cost=0.0)
    assert list(agenda._manners) == [A]


EVENTS = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.sampled_from([A, B, b"/c"]), st.booleans()), max_size=60
)


@given(EVENTS)
def test_whatever_was_heard_last_is_looked_at_later_and_soon(
    events: list[tuple[float, bytes, bool]],
) -> None:
    """The last change of every directory is followed by a look, within a bound if it is not noisy."""
    agenda, now = Agenda(), 0.0
    heard: dict[bytes, float] = {}
    seen: dict[bytes, float] = {}

    def look() -> None:
        due = agenda.due(now)
        for path in (*due.shallow, *due.deep):
            seen[path] = now
        agenda.looked(due, (*due.shallow, *due.deep), now, cost=0.02)

    for delay, path, deep in events:
        now += delay
        look()
        agenda.note(path, now, deep=deep)
        heard[path] = now
    for _ in range(1000):
        at = agenda.next_at()
        if at is None:
            break
        now = max(now, at)
        look()
        if agenda.noisy:
            agenda.looked(Due(shallow=tuple(agenda.noisy)), [], now, cost=0.0)
    bound = REST_SECONDS[1] + LONGEST_SECONDS + LONGEST_PAUSE_SECONDS
    for path, at in heard.items():
        assert at <= seen[path] <= at + bound
