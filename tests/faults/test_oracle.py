"""The oracle sees what it is there for: an inventory that lacks what was acknowledged."""

from __future__ import annotations

import pytest
from fakes.agent_stream import file_of
from fakes.certificates import Leaf
from faults.kit.oracle import acknowledged_is_among

PATH = b"/etc/a.pem"
OLD, NEW = file_of(Leaf("old.example").der), file_of(Leaf("new.example").der)
ROW = ("web", "/etc/a.pem", OLD.manifest)


def test_what_was_acknowledged_has_to_be_there_with_that_manifest() -> None:
    acknowledged_is_among([ROW], {"web": {PATH: OLD}})
    for rows in ([], [("other", *ROW[1:])], [("web", "/etc/b.pem", OLD.manifest)]):
        with pytest.raises(AssertionError, match="/etc/a"):
            acknowledged_is_among(rows, {"web": {PATH: OLD}})
    with pytest.raises(AssertionError, match="/etc/a"):
        acknowledged_is_among([ROW], {"web": {PATH: NEW}})


def test_what_was_under_way_may_be_there_already_but_nothing_else() -> None:
    acknowledged_is_among([ROW], {"web": {PATH: NEW}}, {"web": {PATH: OLD}})
    acknowledged_is_among([ROW], {"web": {PATH: OLD}}, {"web": {PATH: NEW}})
    with pytest.raises(AssertionError, match="/etc/a"):
        acknowledged_is_among([ROW], {"web": {PATH: NEW}}, {"web": {PATH: NEW}})
