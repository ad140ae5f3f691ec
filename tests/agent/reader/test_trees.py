"""Which names of a directory make a tree. Pure, so here it is tried out on what hosts don't have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.model import FileFacts, Package, Place, Role, Scope, Status, Use
from keycensus_agent.reader.trees import FEWEST_NAMES, MOST_NAMES, Candidate, grow

DIRECTORY = b"/etc/ssl/certs"
PACKAGE = Package("dpkg", "ca-certificates", "1")
FACTS = FileFacts(1, 2, 0o100644, 0, 0, 1234, 5, 6, 1)


def candidate(number: int) -> Candidate:
    place = Place(
        path=DIRECTORY + b"/%04d.pem" % number,
        status=Status.READ,
        facts=replace(FACTS, inode=number, mtime_ns=number),
        manifest=number.to_bytes(32, "big"),
        format="pem",
        owner="root",
        group="root",
        role=Role.TRUST_STORE,
        readable_by="world",
        file_id=number.to_bytes(16, "big"),
        target=b"/usr/share/%d" % number,
    )
    return Candidate(place, PACKAGE, plain=True)


ORDINARY = [candidate(number) for number in range(1, 41)]
UNUSUAL: dict[str, dict[str, Any]] = {
    "nobody's": {"package": None},
    "with a key": {"plain": False},
    "not a trust store's": {"role": Role.SERVER},
    "not read": {"status": Status.PARTIAL},
    "retained": {"use": Use.RETAINED},
    "somebody's": {"facts": replace(FACTS, uid=1000)},
    "for a group to write": {"facts": replace(FACTS, mode=0o100664)},
    "for all to write": {"facts": replace(FACTS, mode=0o100646)},
    "set-user-id": {"facts": replace(FACTS, mode=0o104644)},
    "not for all to read": {"readable_by": "owner"},
    "with an access list": {"acl": b"list"},
    "a container's": {"scope": Scope("container", b"shop"), "prefix": b"/etc"},
    "without content": {"manifest": b""},
    "of another package": {"package": Package("dpkg", "other", "1")},
    "of another mode": {"facts": replace(FACTS, mode=0o100444)},
    "of another label": {"selinux_label": "unconfined_u:object_r:cert_t:s0"},
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_what_differs_from_the_others_is_no_part_of_a_tree(what: str) -> None:
    change = UNUSUAL[what]
    odd = candidate(99)
    for name, value in change.items():
        if name in {"package", "plain"}:
            odd = replace(odd, **{name: value})
        else:
            odd = replace(odd, place=replace(odd.place, **{name: value}))
    tree = grow(DIRECTORY, [odd, *ORDINARY])
    assert tree is not None
    assert len(tree.names) == len(ORDINARY)
    assert b"0099.pem" not in dict(tree.names)


def test_a_tree_says_nothing_that_is_not_so_of_all_its_files() -> None:
    tree = grow(DIRECTORY, ORDINARY)
    assert tree is not None
    place = tree.place
    assert (place.path, place.format, place.package) == (DIRECTORY, "tree", PACKAGE)
    assert place.facts == FileFacts(0, 0, 0o100644, 0, 0, 0, 0, 0, 0)
    assert (place.target, place.file_id, place.manifest) == (b"", b"", b"")


@given(st.permutations(ORDINARY))
def test_the_order_of_the_names_does_not_matter(candidates: list[Candidate]) -> None:
    assert grow(DIRECTORY, candidates) == grow(DIRECTORY, ORDINARY)


def test_of_two_equal_halves_the_same_one_is_always_the_tree() -> None:
    half = [replace(each, package=Package("rpm", "other", "1")) for each in ORDINARY[:20]]
    one = grow(DIRECTORY, [*half, *ORDINARY[20:]])
    assert one == grow(DIRECTORY, [*ORDINARY[20:], *half])
    assert one is not None


def test_few_names_and_too_many_are_no_tree() -> None:
    assert grow(DIRECTORY, []) is None
    assert grow(DIRECTORY, ORDINARY[: FEWEST_NAMES - 1]) is None
    assert grow(DIRECTORY, ORDINARY[:FEWEST_NAMES]) is not None
    many = [candidate(number) for number in range(MOST_NAMES + 1)]
    assert grow(DIRECTORY, many) is None
    assert grow(DIRECTORY, many[1:]) is not None
