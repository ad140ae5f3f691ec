"""Lists of everybody: read in three forms, told first, never emptying the company by mistake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.census import Census

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user, list_users
from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.people import list_people
from keycensus_collector.ownership.roster import preview_people, read_people, take_people
from keycensus_collector.ownership.teams import add_member, create_team

CSV = 'Name,Full name,Mail\r\nanna,Anna A,Anna@Example.com\r\nbob,"Bob, B",\r\n'
JSON = '[{"name": "anna", "displayName": "Anna A", "mail": "anna@example.com", "n": 1}, {"uid": "Bob"}]'
LDIF = """version: 1

# a directory
dn: uid=anna,dc=example,dc=com
objectClass: person
uid: anna
cn: Anna
  A
mail: anna@example.com
jpegPhoto:: /9j/4AAQ

dn: uid=bob,dc=example,dc=com
uid: bob
cn:: QsO2Yg==
"""


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.mark.parametrize(("format_", "text"), [("csv", CSV), ("json", JSON), ("ldif", LDIF)])
def test_each_form_says_the_same_people(format_: str, text: str) -> None:
    people = read_people(text, format_)
    assert [person.name for person in people] == ["anna", "bob"]
    assert people[0].full_name == "Anna A"
    assert people[0].email.lower() == "anna@example.com"
    if format_ == "ldif":
        assert people[1].full_name == "B\u00f6b"


@pytest.mark.parametrize(
    ("format_", "text", "said"),
    [
        ("csv", "", "nobody is in it"),
        ("csv", "name\nanna\nanna\n", "line 3: anna is there twice"),
        ("csv", "name,mail\n=cmd,x\n,y\n", "line 2: '=cmd' can't name"),
        ("csv", 'name\n"anna', "no CSV"),
        ("json", "{}", "list of objects"),
        ("json", "[" * 9000, "no JSON"),
        ("ldif", "uid: anna", "nobody is in it"),
        ("csv", "x" * 900_001, "at most"),
    ],
)
def test_what_is_no_list_of_people_is_refused(format_: str, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_people(text, format_)


def test_who_is_missing_has_left_but_not_everybody_at_once(census: Census) -> None:
    names = [f"p{number}" for number in range(20)]
    everybody = read_people("name\n" + "\n".join(names), "csv")
    by = {"actor": "test", "now_ms": census.clock.now_ms()}
    with census.store.write() as connection:
        seen = preview_people(connection, everybody)
        assert (len(seen.added), seen.leaving) == (20, ())
        assert take_people(connection, everybody, to="", sure=False, **by) == seen  # type: ignore[arg-type]
        assert preview_people(connection, everybody).added == ()
        add_user(connection, name="p1", role="viewer", **by)  # type: ignore[arg-type]
        create_api_token(connection, user_name="p1", name="t", **by)  # type: ignore[arg-type]
        few = read_people("name,mail\np0,p0@example.com\n", "csv")
        with pytest.raises(UsageError, match="19 people would leave, 95 % of all"):
            take_people(connection, few, to="", sure=False, **by)  # type: ignore[arg-type]
        assert all(person.state == "active" for person in list_people(connection))
        most = [person for person in everybody if person.name not in {"p1", "p2"}]
        seen = take_people(connection, most, to="", sure=False, **by)  # type: ignore[arg-type]
        assert seen.leaving == ("p1", "p2")
        assert list_users(connection)[0]["disabled_ms"] is not None
        assert take_people(connection, few, to="", sure=True, **by).changed == ("p0",)  # type: ignore[arg-type]
        back = take_people(connection, everybody, to="", sure=False, **by)  # type: ignore[arg-type]
        assert len(back.changed) == 20
        add_user(connection, name="p3", role="admin", **by)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="is an admin's user"):
            leave(connection, "p3", **by)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="there is no person"):
            leave(connection, "nobody", **by)  # type: ignore[arg-type]
        create_team(connection, "web", **by)  # type: ignore[arg-type]
        add_member(connection, "web", "p1", **by)  # type: ignore[arg-type]
        left = leave(connection, "p1", **by)  # type: ignore[arg-type]
        assert (left.teams, list(left.last), left.users) == (("web",), ["web"], ("p1",))
        with pytest.raises(UsageError, match="has left"):
            add_member(connection, "web", "p1", **by)  # type: ignore[arg-type]
