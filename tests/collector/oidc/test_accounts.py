"""What an account at a provider becomes here: a user, a role, a person, a member of teams."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.signing_in import Site, person
from sqlalchemy import select
from structlog.testing import capture_logs

from keycensus_collector.access.sessions import Visitor, begin
from keycensus_collector.access.users import add_user, change_user, list_users, user_no
from keycensus_collector.declared.current import declared_now
from keycensus_collector.errors import ConflictError, UsageError
from keycensus_collector.oidc.accounts import link, unlink
from keycensus_collector.ownership.leaving import leave, preview_leaving
from keycensus_collector.ownership.moving import dissolve_team
from keycensus_collector.ownership.people import (
    Person,
    add_person,
    change_person,
    list_people,
    person_no,
    persons_of_user,
    users_of_person,
)
from keycensus_collector.ownership.settings import FALLBACK, change_setting
from keycensus_collector.ownership.teams import add_member, create_team, remove_member, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import audit, user
from keycensus_collector.store.tables.oidc import oidc_account

BY: dict[str, Any] = {"actor": "operator"}


@pytest.fixture(autouse=True)
def _teams(running: Site) -> None:
    """Make the teams of the configuration once."""
    if not people(running).keys() & {"boss"}:
        with running.census.store.write() as connection:
            now_ms = running.census.clock.now_ms()
            add_person(connection, Person("boss"), now_ms=now_ms, **BY)
            for name in ("web", "db", "ops"):
                create_team(connection, name, now_ms=now_ms, **BY)
                add_member(connection, name, "boss", now_ms=now_ms, **BY)
            number = str(team_no(connection, "ops"))
            change_setting(connection, FALLBACK, number, now_ms=now_ms, **BY)


async def signs_in(site: Site, **who: object) -> str:
    """Sign in as whom the provider tells of; return the reason of a refusal, or "as NAME, a ROLE"."""
    site.provider.person = {**site.provider.person, **who}
    async with site.browser() as browser:
        response = await site.sign_in(browser)
        if response.status_code != 303:
            return str(response.json()["reason"])
        me = (await browser.get("/api/v1/whoami")).json()
        return f"{me['user']}, {me['role']}"


def people(site: Site) -> dict[str, Person]:
    with site.census.store.read() as connection:
        return {each.name: each for each in list_people(connection)}


def add(site: Site, wanted: Person) -> None:
    with site.census.store.write() as connection:
        add_person(connection, wanted, now_ms=site.census.clock.now_ms(), **BY)


def persons_of(site: Site, user_name: str) -> list[str]:
    with site.census.store.read() as connection:
        numbers = persons_of_user(connection, user_name)
        return [
            name for name in people(site) if person_no(connection, name) in numbers
        ]  # fmt: skip


async def test_an_account_is_known_by_its_subject_whatever_it_calls_itself(site: Site) -> None:
    assert await signs_in(site, **person("carl")) == "carl, viewer"
    renamed = {"preferred_username": "carla", "email": "carla@example.com"}
    assert await signs_in(site, **renamed) == "carl, viewer"
    assert await signs_in(site, sub="another") == "carla, viewer"


async def test_a_local_user_of_the_name_or_address_is_somebody_else(site: Site) -> None:
    now_ms = site.census.clock.now_ms()
    with site.census.store.write() as connection:
        add_user(connection, name="local", role="admin", now_ms=now_ms, **BY)
    assert await signs_in(site, **person("local")) == "name-taken"
    assert site.refusals()[-1].subject == "local"
    assert await signs_in(site, preferred_username="x", email="local") == "x, viewer"
    accounts = select(oidc_account).join(user).where(user.c.name == "local")
    assert site.census.rows(accounts) == []


async def test_an_admin_says_that_an_account_is_a_users_and_that_it_is_not(site: Site) -> None:
    add(site, Person("vera"))
    now_ms = site.census.clock.now_ms()
    issuer = site.provider.issuer
    with site.census.store.write() as connection:
        add_user(connection, name="vera", role="viewer", now_ms=now_ms, **BY)
        subject: dict[str, Any] = {"issuer": issuer, "subject": "id-of-vera"}
        link(connection, user_name="vera", now_ms=now_ms, **subject, **BY)
        with pytest.raises(ConflictError, match="is user vera's already"):
            link(connection, user_name="vera", now_ms=now_ms, **subject, **BY)
        for mistaken in ("", "x" * 256):
            with pytest.raises(UsageError, match="1 to 255"):
                link(
                    connection,
                    issuer=issuer,
                    subject=mistaken,
                    user_name="vera",
                    now_ms=now_ms,
                    **BY,
                )
        (row,) = [each for each in list_users(connection) if each["name"] == "vera"]
        assert row["accounts"] == [issuer]
    assert persons_of(site, "vera") == ["vera"]
    site.provider.person = person("vera")
    async with site.browser() as browser:
        assert (await site.sign_in(browser)).status_code == 303
        assert (await browser.get("/api/v1/whoami")).json()["user"] == "vera"
        with site.census.store.write() as connection:
            assert unlink(connection, user_name="vera", now_ms=now_ms, **BY) == 1
            assert unlink(connection, user_name="vera", now_ms=now_ms, **BY) == 0
        assert (await browser.get("/api/v1/whoami")).status_code == 401
    assert await signs_in(site) == "name-taken"


@pytest.mark.parametrize("name", [None, "", "ä", "a b", "x" * 65, "-x", 7, ["x"], "x\x1b"])
async def test_a_name_that_can_not_be_one_makes_no_user(site: Site, name: object) -> None:
    who = person("nobody", preferred_username=name)
    assert await signs_in(site, **who) == "claim"
    assert not [row for row in site.census.rows(select(oidc_account)) if "nobody" in row.subject]


async def test_another_claim_can_name_users_also_one_inside_another(site: Site) -> None:
    site.configure(user_claim="profile.login", groups_claim="https://corp.example/groups")
    who = person("dora", profile={"login": "Dora.D"}, groups=None)
    who["https://corp.example/groups"] = "operations"
    assert await signs_in(site, **who) == "dora.d, operator"


async def test_who_is_in_no_group_with_a_role_stays_out_unless_there_is_one_for_all(
    site: Site,
) -> None:
    assert await signs_in(site, **person("eve", "strangers")) == "not-allowed"
    assert await signs_in(site, groups=None) == "not-allowed"
    assert site.census.rows(select(user).where(user.c.name == "eve")) == []
    site.configure(default_role="viewer")
    assert await signs_in(site) == "eve, viewer"
    site.configure(allowed_groups=("staff",))
    assert await signs_in(site) == "not-allowed"
    assert await signs_in(site, groups=["staff"]) == "eve, viewer"


async def test_groups_that_are_elsewhere_or_no_list_take_nothing_away(site: Site) -> None:
    assert await signs_in(site, **person("fred", "operations")) == "fred, operator"
    many = {"groups": None, "_claim_names": {"groups": "src1"}}
    assert await signs_in(site, **many) == "groups-elsewhere"
    assert await signs_in(site, _claim_names=None, groups={"x": 1}) == "claim"
    assert await signs_in(site, groups=["operations", 1]) == "claim"
    assert await signs_in(site, groups=["x"] * 10_001) == "claim"
    assert await signs_in(site, groups=["operations"]) == "fred, operator"


async def test_the_role_follows_the_groups_and_ends_the_other_sessions(site: Site) -> None:
    site.provider.person = person("gina", "staff", "census-admins")
    async with site.browser() as before:
        await site.sign_in(before)
        assert (await before.get("/api/v1/whoami")).json()["role"] == "admin"
        assert await signs_in(site, groups=["operations"]) == "gina, operator"
        assert (await before.get("/api/v1/whoami")).status_code == 401
    row = site.census.rows(select(audit).where(audit.c.action == "user.change"))[-1]
    assert (row.actor, row.subject, '"role": "operator"' in row.detail) == (
        "oidc:corp",
        "gina",
        True,
    )


async def test_a_role_given_by_hand_stays_where_no_group_has_one(site: Site) -> None:
    site.configure(roles={}, default_role="viewer", sees="teams")
    assert await signs_in(site, **person("hugo")) == "hugo, viewer"
    assert site.census.rows(select(user.c.sees).where(user.c.name == "hugo")) == [("teams",)]
    with site.census.store.write() as connection:
        change_user(
            connection, name="hugo", role="operator", sees="all", now_ms=1, actor="operator"
        )
    assert await signs_in(site) == "hugo, operator"
    assert site.census.rows(select(user.c.sees).where(user.c.name == "hugo")) == [("all",)]


async def test_who_is_disabled_here_stays_out(site: Site) -> None:
    assert await signs_in(site, **person("ida")) == "ida, viewer"
    with site.census.store.write() as connection:
        change_user(connection, name="ida", disabled=True, now_ms=1, actor="operator")
    assert await signs_in(site) == "disabled"
    assert site.refusals()[-1].subject == "ida"


async def test_who_has_left_stays_out_also_at_a_first_sign_in(site: Site) -> None:
    now_ms = site.census.clock.now_ms()
    assert await signs_in(site, **person("jan", "staff", "web-team")) == "jan, viewer"
    with site.census.store.write() as connection:
        left = leave(connection, "jan", now_ms=now_ms, **BY)
        assert (left.users, left.teams) == (("jan",), ("web",))
    assert await signs_in(site) == "disabled"
    assert people(site)["jan"].teams == ()
    add(site, Person("kim", email="kim@example.com"))
    with site.census.store.write() as connection:
        leave(connection, "kim", now_ms=now_ms, **BY)
    who = person("kimberley", email="Kim@Example.com")
    assert await signs_in(site, **who) == "left"
    assert site.census.rows(select(user).where(user.c.name == "kimberley")) == []


async def test_leaving_shuts_out_every_user_that_a_person_is(site: Site) -> None:
    add(site, Person("lea", email="lea@example.com"))
    now_ms = site.census.clock.now_ms()
    with site.census.store.write() as connection:
        add_user(connection, name="lea", role="viewer", now_ms=now_ms, **BY)
    who = person("lea.l", email="lea@example.com")
    assert await signs_in(site, **who) == "lea.l, viewer"
    with site.census.store.write() as connection:
        begin(
            connection,
            user_no=user_no(connection, "lea"),
            how="password",
            visitor=Visitor("192.0.2.1"),
            now_ms=now_ms,
        )
        assert users_of_person(connection, person_no(connection, "lea")) == ["lea", "lea.l"]
        assert preview_leaving(connection, "lea").users == ("lea", "lea.l")
        leave(connection, "lea", now_ms=now_ms, **BY)
    disabled = select(user.c.name).where(user.c.disabled_ms.is_not(None))
    assert {"lea", "lea.l"} <= {row.name for row in site.census.rows(disabled)}


async def test_teams_follow_the_groups_and_those_by_hand_stay(site: Site) -> None:
    who = person("mia", "staff", "all-teams")
    assert await signs_in(site, **who) == "mia, viewer"
    mia = people(site)["mia"]
    assert (mia.teams, mia.by_groups, mia.email) == (
        ("db", "web"),
        ("db", "web"),
        "mia@example.com",
    )
    now_ms = site.census.clock.now_ms()
    with site.census.store.write() as connection:
        assert add_member(connection, "ops", "mia", now_ms=now_ms, **BY)
        assert add_member(connection, "db", "mia", now_ms=now_ms, **BY)  # by hand as well
        assert not add_member(connection, "db", "mia", now_ms=now_ms, **BY)
    assert await signs_in(site, groups=["staff", "web-team"]) == "mia, viewer"
    assert (people(site)["mia"].teams, people(site)["mia"].by_groups) == (
        ("db", "ops", "web"),
        ("web",),
    )
    with site.census.store.read() as connection:
        declared = declared_now(connection).teams  # files say what was done by hand
    assert {name: "mia" in team.members for name, team in declared.items()} == {
        "db": True,
        "ops": True,
        "web": False,
    }
    assert await signs_in(site, groups=["staff"]) == "mia, viewer"
    assert (people(site)["mia"].teams, people(site)["mia"].by_groups) == (("db", "ops"), ())
    with site.census.store.write() as connection:
        assert remove_member(connection, "ops", "mia", now_ms=now_ms + 1, **BY)
    told = [
        (row.action, row.subject)
        for row in site.census.rows(
            select(audit)
            .where(audit.c.actor == "oidc:corp", audit.c.action.startswith("team."))
            .order_by(audit.c.audit_no.desc())
            .limit(3)
        )
    ]
    assert told == [
        ("team.member.remove", "web"),
        ("team.member.add", "db"),
        ("team.member.add", "web"),
    ]


async def test_a_team_that_is_not_there_is_told_and_keeps_nobody_out(site: Site) -> None:
    site.configure(teams={"staff": ("web", "gone", "never"), "x": ("db",)})
    now_ms = site.census.clock.now_ms()
    with site.census.store.write() as connection:
        create_team(connection, "gone", now_ms=now_ms, **BY)
        dissolve_team(connection, "gone", into="web", now_ms=now_ms, **BY)
    with capture_logs() as logs:
        assert await signs_in(site, **person("nils")) == "nils, viewer"
    assert people(site)["nils"].teams == ("web",)
    assert {"gone", "never"} == {
        team for each in logs if each["event"] == "oidc.teams_missing" for team in each["teams"]
    }


async def test_a_person_is_found_by_subject_or_a_verified_address_and_never_by_the_name(
    site: Site,
) -> None:
    add(site, Person("olga", email="olga@example.com"))
    add(site, Person("paul", subject="id-of-p1"))
    add(site, Person("quin"))
    assert await signs_in(site, **person("o1", email="OLGA@example.com")) == "o1, viewer"
    assert persons_of(site, "o1") == ["olga"]
    assert await signs_in(site, **person("p1", email=None)) == "p1, viewer"
    assert persons_of(site, "p1") == ["paul"]
    # Names and addresses that nobody vouches for are what people write there themselves.
    assert await signs_in(site, **person("quin")) == "quin, viewer"
    assert persons_of(site, "quin") == []
    liar = person("o2", email="olga@example.com", email_verified=False)
    assert await signs_in(site, **liar) == "o2, viewer"
    assert persons_of(site, "o2") == []
    site.configure(trust_email=True)
    assert await signs_in(site) == "o2, viewer"
    assert persons_of(site, "o2") == ["olga"]
    site.configure(trust_email=False, link_people=("name",))
    assert await signs_in(site, **person("quin")) == "quin, viewer"
    assert persons_of(site, "quin") == ["quin"]


async def test_who_somebody_said_it_is_goes_before_all_else(site: Site) -> None:
    add(site, Person("rosa", email="rosa@example.com"))
    add(site, Person("rita", user="r"))
    who = person("r", "staff", "web-team", email="rosa@example.com")
    assert await signs_in(site, **who) == "r, viewer"
    assert (persons_of(site, "r"), people(site)["rita"].by_groups) == (["rita"], ("web",))
    with site.census.store.write() as connection:
        change_person(connection, Person("rita"), now_ms=1, **BY)
        change_person(connection, Person("rosa", user="r"), now_ms=1, **BY)
    assert persons_of(site, "r") == ["rosa"]
    assert await signs_in(site) == "r, viewer"
    assert (people(site)["rosa"].by_groups, people(site)["rita"].teams) == (("web",), ())


async def test_an_address_of_several_people_finds_none_of_them(site: Site) -> None:
    add(site, Person("sam", email="both@example.com"))
    add(site, Person("sue", email="both@example.com"))
    with capture_logs() as logs:
        assert await signs_in(site, **person("s", email="both@example.com")) == "s, viewer"
    assert persons_of(site, "s") == []
    assert [each["names"] for each in logs if each["event"] == "oidc.several_people"]


async def test_a_name_that_is_a_persons_already_gets_no_teams_by_groups(site: Site) -> None:
    add(site, Person("tom"))
    with capture_logs() as logs:
        assert await signs_in(site, **person("tom", "staff", "web-team")) == "tom, viewer"
    assert people(site)["tom"].teams == ()
    assert persons_of(site, "tom") == []
    assert [each["user"] for each in logs if each["event"] == "oidc.no_person"] == ["tom"]


async def test_mine_is_what_the_teams_of_the_person_own(site: Site) -> None:
    site.census.host("w1")
    site.census.host("w2")
    site.provider.person = person("uwe", "staff", "operations", "web-team")
    async with site.browser() as browser:
        await site.sign_in(browser)
        csrf = (await browser.get("/api/v1/session")).json()["csrf"]
        given = await browser.post(
            "/api/v1/owners",
            json={"what": "hosts", "q": "host:w1", "owner": "web", "reason": "x"},
            headers={"X-CSRF-Token": csrf},
        )
        assert given.status_code == 200, given.text
        with site.census.store.write() as connection:
            settle(connection, site.census.clock.now_ms())
        mine = (await browser.get("/api/v1/hosts", params={"q": "owner:mine"})).json()
    assert [each["name"] for each in mine["items"]] == ["w1"]
