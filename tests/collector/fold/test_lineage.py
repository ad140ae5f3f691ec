"""Which certificate follows which, as a pure decision."""

from __future__ import annotations

import sys

import pytest

from keycensus_collector.fold.lineage import Leaf, Step, find_steps, is_news, kind_of


def leaf(
    name: str,
    *,
    subject: str = "CN=a",
    issuer: str = "CN=ca",
    key: str = "k1",
    names: tuple[str, ...] = ("a.example",),
    is_ca: bool = False,
) -> Leaf:
    return Leaf(
        name.encode(), subject.encode(), issuer.encode(), key.encode(), frozenset(names), is_ca
    )


OLD = leaf("old")


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (leaf("new"), "renewal"),
        (leaf("new", key="k2"), "rekey"),
        (leaf("new", issuer="CN=other ca"), "replacement"),
        (leaf("new", subject="CN=b"), "replacement"),
        (leaf("new", names=("a.example", "b.example")), "replacement"),
        (leaf("new", key=""), "rekey"),
    ],
)
def test_kinds_of_steps_are_those_of_the_field(new: Leaf, kind: str) -> None:
    assert kind_of(OLD, new) == kind
    assert find_steps([OLD], [new]) == [Step(b"old", b"new", kind)]


def test_a_chain_steps_by_its_end_entity_certificate() -> None:
    chain = leaf("ca", subject="CN=ca", names=(), is_ca=True)
    other = leaf("ca2", subject="CN=ca2", names=(), is_ca=True)
    assert find_steps([OLD, chain], [leaf("new"), other]) == [Step(b"old", b"new", "renewal")]


def test_several_certificates_in_one_file_pair_by_what_they_say() -> None:
    before = [OLD, leaf("b-old", subject="CN=b", key="kb", names=("b.example",))]
    after = [leaf("b-new", subject="CN=b", key="kb2", names=("b.example",)), leaf("new", key="x")]
    assert {(s.predecessor, s.successor, s.kind) for s in find_steps(before, after)} == {
        (b"old", b"new", "rekey"),
        (b"b-old", b"b-new", "rekey"),
    }


@pytest.mark.parametrize(
    "new",
    [
        leaf("new", subject="CN=z", issuer="CN=y", names=("a.example",), key="z"),
        leaf("new", subject="CN=z", issuer="CN=y", names=(), key="k1"),
        leaf("new", subject="CN=z", issuer="CN=y", names=("z.example",), key="z"),
    ],
)
def test_a_single_one_is_replaced_by_the_single_other(new: Leaf) -> None:
    assert find_steps([OLD], [new]) == [Step(b"old", b"new", "replacement")]


def test_subjects_pair_where_there_are_no_other_names() -> None:
    before = [leaf("1", names=()), leaf("2", subject="CN=b", names=(), key="k2")]
    after = [leaf("3", names=(), issuer="CN=x", key="k3"), leaf("4", subject="CN=c", key="k4")]
    assert Step(b"1", b"3", "replacement") in find_steps(before, after)


def test_what_stays_in_the_file_is_followed_by_nothing() -> None:
    stranger = leaf("new", subject="CN=z", key="z", names=("z.example",))
    gone = leaf("gone", subject="CN=y", key="y", names=("y.example",))
    assert find_steps([OLD, gone], [OLD, stranger]) == []
    assert find_steps([OLD], [OLD]) == []
    assert find_steps([], [OLD]) == []
    assert find_steps([OLD], []) == []


def test_an_authority_is_followed_only_by_one_of_its_own_name_or_key() -> None:
    old = leaf("r10", subject="CN=R10", issuer="CN=Root", names=(), is_ca=True)
    other = leaf("r11", subject="CN=R11", issuer="CN=Root", names=(), key="k2", is_ca=True)
    again = leaf("r10b", subject="CN=R10", issuer="CN=Root", names=(), key="k2", is_ca=True)
    assert find_steps([old], [other]) == []
    assert find_steps([old], [again]) == [Step(b"r10", b"r10b", "rekey")]


def test_thousands_of_certificates_that_do_not_pair_take_no_more_than_their_number() -> None:
    def file(number: int, leaves: int) -> list[Leaf]:
        names = [f"{number}-{position}" for position in range(leaves)]
        return [leaf(name, subject=name, key=name, names=(name,)) for name in names]

    def calls_for(leaves: int) -> int:
        """Count function calls instead of time: on a busy machine they are as many."""
        first, second, calls = file(1, leaves), file(2, leaves), 0

        def count(_frame: object, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            steps = find_steps(first, second)
        finally:
            sys.setprofile(None)
        assert steps == []
        return calls

    assert calls_for(2_000) < 5 * calls_for(500)


def test_certificates_that_can_not_be_read_do_not_pair_with_each_other() -> None:
    blank = [leaf(str(n), subject="", issuer="", key="", names=()) for n in range(4)]
    assert find_steps(blank[:2], blank[2:]) == []


@pytest.mark.parametrize(
    ("cause", "uses", "role", "news"),
    [
        ("content", ("live", "live"), "server", True),
        ("facts", ("live", "live"), "server", True),
        ("first", ("live", "live"), "server", True),
        ("parser", ("live", "live"), "server", False),
        ("coverage", ("live", "live"), "server", False),
        ("reconcile", ("live", "live"), "server", False),
        ("content", ("live", "retained"), "server", False),
        ("content", ("retained", "live"), "server", False),
        ("content", ("live", "live"), "trust-store", False),
    ],
)
def test_only_news_at_live_places_makes_steps(
    cause: str, uses: tuple[str, str], role: str, *, news: bool
) -> None:
    assert is_news(cause, *uses, roles=(role,)) is news
