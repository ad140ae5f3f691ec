"""`keycensus owners` and `people` as a person uses them, against the real application over real TLS."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue
from fakes.served import Served

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.ownership.worker import settle

NOW = dt.datetime.now(dt.UTC)
SHOP = issue("shop.example.com", days=60, now=NOW)
API = issue("api.example.com", days=70, now=NOW)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    census.clock.current_ms = int(NOW.timestamp() * 1000)
    now_ms = census.clock.now_ms()
    web, db = census.host("web1"), census.host("db1")
    census.report(web, "/etc/shop.pem", certificate(SHOP))
    census.report(web, "/etc/shop.key", private_key(SHOP.key), mode=0o600)
    census.report(db, "/etc/api.pem", certificate(API))
    census.fold()
    with census.store.write() as connection:
        for name in ("olga", "anna"):
            add_user(connection, name=name, role="operator", now_ms=now_ms, actor="test")
            token = create_api_token(
                connection, user_name=name, name="t", now_ms=now_ms, actor="test"
            )
            if name == "olga":
                text = token.text
    served = Served(census, directory, text)
    assert served.login().returncode == 0
    yield served
    served.close()


def run(served: Served, *arguments: str) -> str:
    done = served.run(*arguments)
    assert done.returncode == 0, done.stderr
    with served.census.store.write() as connection:
        settle(connection, served.census.clock.now_ms())
    return str(done.stdout)


@pytest.mark.long
def test_the_life_of_a_team_and_of_what_it_owns(served: Served) -> None:
    assert "team web" in run(served, "owners", "create", "web", "--contact", "#web")
    run(served, "owners", "create", "desk")
    assert "anna is active" in run(
        served, "people", "add", "anna", "--full-name", "Anna\x1b[31m", "--email", "a@example.com"
    )
    assert "anna" in run(served, "owners", "join", "web", "anna")
    said = run(served, "owners", "set", "web", "web1", "--reason", "runs it", "--preview")
    assert "1 of 1 would be given to web" in said
    assert "nobody" in run(served, "owners", "show", "web1")
    assert "1 of 1 given to web" in run(
        served, "owners", "set", "web", "web1", "--reason", "runs it"
    )
    assert json.loads(run(served, "certs", "-o", "json", "-q", "owner:mine")) == []
    run(served, "people", "add", "ola", "--user", "olga")
    run(served, "owners", "join", "web", "ola")
    mine = json.loads(run(served, "certs", "-o", "json", "-q", "owner:mine"))
    assert [c["name"] for c in mine] == ["shop.example.com"]
    run(served, "owners", "part", "web", "ola")
    shown = run(served, "owners", "show", SHOP.sha256.hex())
    assert "its live places are this team's" in shown
    assert "Anna\\x1b[31m <a@example.com>" in shown
    listed = json.loads(run(served, "certs", "-o", "json", "-q", "owner:web"))
    assert [(c["name"], c["owners"], c["owned_by"]) for c in listed] == [
        ("shop.example.com", ["web"], "places")
    ]
    assert "RENEWS" in run(served, "certs")
    assert "INSTALLS" in run(served, "where", SHOP.sha256.hex())
    assert "web since" in run(served, "show", SHOP.sha256.hex())
    run(served, "owners", "fallback", "desk")
    assert "(desk)" in run(served, "certs", "-q", "owner:none")
    assert json.loads(run(served, "hosts", "-o", "json", "-q", "owner:web"))[0]["name"] == "web1"
    left = run(served, "people", "leave", "anna", "--to", "desk", "--preview")
    assert "would leave" in left
    assert "team web has nobody else; it held: 1 host(s) by hand" in left
    served.census.clock.current_ms += 1000
    left = run(served, "people", "leave", "anna", "--to", "desk")
    assert "user anna disabled, 1 API token(s) revoked" in left
    assert "shop" in run(served, "certs", "-q", "owner:desk place-owner:desk")
    assert "desk" in run(served, "owners", "team", "desk")
    told = run(served, "owners", "dissolve", "web", "--preview")
    assert told.startswith("would dissolve team web\n  members: nobody\n")
    assert "dissolved team web" in run(served, "owners", "dissolve", "web")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("owners", "set", "nobody", "web1", "--reason", "x"), "there is no team or person"),
        (("owners", "set", "desk", "web1", "--reason", " "), "say why"),
        (("owners", "set", "desk", "--reason", "x"), "either ID, or -q QUERY"),
        (("owners", "unset", "web1", "-q", "host:web1"), "either ID, or -q QUERY"),
        (("people", "add", "bob", "--email", "not one"), "is no e-mail address"),
    ],
)
def test_what_can_not_be_is_said(served: Served, arguments: tuple[str, ...], said: str) -> None:
    done = served.run(*arguments)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_owners_people_and_rules_are_asked_for_a_past_day(served: Served) -> None:
    run(served, "owners", "create", "late", "--contact", "#late")
    run(served, "people", "add", "zoe")
    teams = json.loads(run(served, "owners", "teams", "-o", "json", "--as-of", "2001-01-01"))
    assert teams == []
    assert "late" in run(served, "owners", "teams")
    assert "zoe" not in run(served, "people", "list", "-o", "csv", "--as-of", "2001-01-01")
    assert "zoe" in run(served, "people", "list", "-o", "csv")
    for asked, said in (
        (("owners", "team", "late", "--as-of", "2001-01-01"), "no team 'late'"),
        (("rules", "show", "--as-of", "2001-01-01"), "at 2001-01-01 none were in force"),
        (("owners", "teams", "--as-of", "soon"), "as-of takes a date or an age"),
    ):
        done = served.run(*asked)
        assert done.returncode != 0
        assert said in done.stderr
