"""What is declared: made in one transaction, equal on both databases, true to what became of owners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.declaring import BY, RULES, SECOND, SHA256, WANTED, a_census, make, now
from sqlalchemy import func, select

from keycensus_collector.access import audit
from keycensus_collector.declared.making import MistakesError
from keycensus_collector.declared.model import Declared
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.labels import labels_of_certificate
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.moving import dissolve_team
from keycensus_collector.ownership.rule_file import rules_text, with_owner
from keycensus_collector.ownership.teams import rename_team
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import audit as audit_rows

pytestmark = pytest.mark.usefixtures("each_database_in_full")


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = a_census(tmp_path)
    yield census
    census.store.close()


def audited(census: Census) -> int:
    with census.store.read() as connection:
        return connection.execute(select(func.count()).select_from(audit_rows)).scalar_one()


def test_what_is_made_is_what_was_wanted_and_again_does_nothing(census: Census) -> None:
    made = make(census, WANTED)
    assert made.before == Declared()
    assert made.after == now(census) == WANTED
    rows = audited(census)
    again = make(census, WANTED, prune=True)
    assert (again.before, again.after, again.kept, again.moved) == (WANTED, WANTED, [], [])
    assert audited(census) == rows  # not a row was written
    with census.store.read() as connection:
        assert audit.verify(connection).problem == ""
        # The label hangs on the line: what followed has it, too.
        shown = labels_of_certificate(connection, certificate(SECOND).artifact)
    assert [(each.key, each.value, each.source) for each in shown if each.key == "app"] == [
        ("app", "shop", "manual")
    ]


def test_a_mistake_leaves_nothing_done_and_all_are_told(census: Census) -> None:
    wanted = replace(
        WANTED,
        people={"Ann": WANTED.people["ann"], "bob": replace(WANTED.people["bob"], email="x")},
        views={"silent": replace(WANTED.views["silent"], columns=["colour"])},
        rules=["owners:", "  - {rule: a, of: hosts, host: x, owner: nobody}"],
        certificates={"xyz": {}},
    )
    with pytest.raises(MistakesError) as caught:
        make(census, wanted)
    told = {(each.kind, each.name, each.line) for each in caught.value.mistakes}
    assert told == {
        ("people", "Ann", 0),
        ("people", "bob", 0),
        ("teams", "ops", 0),
        ("views", "silent", 0),
        ("rules", "", 2),
        ("labels/certificates", "xyz", 0),
    }
    assert now(census) == Declared()
    assert audited(census) == 0


def test_who_ends_hands_over_what_they_held_and_it_is_told(census: Census) -> None:
    make(census, WANTED)
    few = replace(
        WANTED,
        teams={"ops": WANTED.teams["ops"]},
        people=WANTED.people | {"ann": replace(WANTED.people["ann"], status="left")},
        rules=[],
    )
    made = make(census, few, kinds=frozenset({"teams", "people"}), prune=True)
    assert made.moved == [
        "team web is dissolved: rules web goes to ops",
        "ann leaves: rules anns goes to ops",
    ]
    assert made.after.teams["web"].status == "dissolved"
    assert made.after.teams["ops"].members == ["bob"]
    # The file in force says who owns now, and all else as people wrote it.
    assert (
        made.after.rules
        == RULES.replace('"web"}', "ops}").replace("owner: ann", "owner: ops").splitlines()
    )
    make(census, replace(made.after, rules=made.after.rules))


def test_rules_of_who_ends_are_not_taken(census: Census) -> None:
    make(census, WANTED)
    few = replace(WANTED, teams={"ops": WANTED.teams["ops"]})
    with pytest.raises(MistakesError, match="this owner ends") as caught:
        make(census, few, prune=True)
    assert [each.line for each in caught.value.mistakes] == [3]
    assert now(census) == WANTED


def test_what_is_in_no_file_is_kept_and_told(census: Census) -> None:
    make(census, WANTED)
    made = make(census, Declared())
    assert made.after == WANTED
    assert made.kept == [
        f"labels/certificates/{SHA256}",
        "labels/hosts/web1",
        "people/ann",
        "people/bob",
        "rules",
        "teams/ops",
        "teams/web",
        "views/silent",
    ]


def test_the_file_of_rules_follows_a_team_that_is_renamed(census: Census) -> None:
    make(census, WANTED)
    with census.store.write() as connection:
        rename_team(connection, "web", "www", **BY)
        found = rules_text(connection)
        assert found is not None
        assert (found[0], found[1]) == (2, RULES.replace('"web"}', "www}"))
        dissolve_team(connection, "ops", into="www", **BY)
        assert rules_text(connection) == found  # it owned nothing by rule
        leave(connection, "ann", **BY)
        found = rules_text(connection)
        assert found is not None
        assert "owner: www\n" in found[1]
        settle(connection, census.clock.now_ms())
    made = now(census)
    assert make(census, made).after == made


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", ""),
        ("trust: [web]\n", "trust: [web]\n"),
        ("owners: [{owner: web, rule: web}]", "owners: [{owner: new, rule: web}]"),
        ("owners:\n- owner: 'web' # web\n", "owners:\n- owner: new # web\n"),
        (
            "# ünï\nowners:\n- owner: web\n- owner: web",
            "# ünï\nowners:\n- owner: new\n- owner: new",
        ),
        ("labels:\n- owner: web\n", "labels:\n- owner: web\n"),
    ],
)
def test_only_owners_are_renamed(text: str, after: str) -> None:
    assert with_owner(text, "web", "new") == after


def test_a_view_that_cannot_be_read_is_told(census: Census) -> None:
    make(census, WANTED)
    with census.store.write() as connection:
        connection.exec_driver_sql("UPDATE view SET query = '{}'")
    with pytest.raises(UsageError, match="the query of silent can't be read"):
        now(census)
