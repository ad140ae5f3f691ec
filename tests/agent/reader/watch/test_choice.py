"""What gets a watch when there are not enough for everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.reader.watch.choice import (
    KNOWN_PLACES,
    MOST_WATCHES,
    Known,
    budget,
    choose,
)

PATHS = st.lists(
    st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=4).map(
        lambda names: b"/" + b"/".join(names)
    ),
    max_size=6,
).map(tuple)
KNOWN = st.builds(Known, PATHS, PATHS, PATHS, PATHS, PATHS)


def test_findings_come_first_then_what_links_lead_to_then_parents_then_the_rest() -> None:
    known = Known(
        findings=(b"/etc/nginx/tls",),
        targets=(b"/var/lib/tls",),
        places=(b"/etc/ssl",),
        below=(b"/etc/ssl/a/b", b"/etc/ssl/z"),
        recent=(b"/older", b"/newest"),
    )
    assert choose(known, 100) == [
        *(b"/etc/nginx/tls", b"/var/lib/tls"),
        *(b"/", b"/etc", b"/var", b"/etc/nginx", b"/var/lib"),
        *(b"/etc/ssl", b"/etc/ssl/z", b"/etc/ssl/a/b"),
        *(b"/newest", b"/older"),
    ]


@given(KNOWN, st.integers(0, 12))
def test_a_choice_keeps_its_bound_and_is_the_beginning_of_a_larger_one(
    known: Known, most: int
) -> None:
    chosen = choose(known, most)
    assert len(chosen) == len(set(chosen)) <= most
    assert choose(known, 1000)[: len(chosen)] == chosen


@given(KNOWN)
def test_every_directory_on_the_way_to_a_finding_is_watched(known: Known) -> None:
    chosen = set(choose(known, 1000))
    for path in (*known.findings, *known.targets):
        while path != b"/":
            path = path[: path.rfind(b"/")] or b"/"  # noqa: PLW2901 - up to the root
            assert path in chosen


def test_half_of_the_users_watches_are_left_to_others_and_memory_is_bounded() -> None:
    assert budget(50) == 25
    assert budget(0) == 0
    assert budget(1_000_000) == MOST_WATCHES


def test_known_places_are_plain_paths() -> None:
    assert 30 <= len(KNOWN_PLACES) == len(set(KNOWN_PLACES)) <= 40
    for path in KNOWN_PLACES:
        assert path.startswith(b"/")
        assert not path.endswith(b"/")
