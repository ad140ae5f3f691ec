"""`keycensus tokens` and `audit`, as processes of their own, against the real application."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census
from fakes.served import Served, api_token
from sqlalchemy import select

from keycensus_collector.access.audit import record
from keycensus_collector.access.users import add_user, hash_of, set_password
from keycensus_collector.store.schema import host

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    census.host("web1")
    served = Served(census, directory, api_token(census, role="admin"))
    now_ms = census.clock.now_ms()
    with census.store.write() as connection:
        add_user(connection, name="ann", role="viewer", now_ms=now_ms, actor="test")
        hashed = hash_of(PASSWORD)
        set_password(connection, name="ann", password_hash=hashed, now_ms=now_ms, actor="test")
    assert served.login().returncode == 0
    yield served
    served.close()


def output(served: Served, *arguments: str) -> str:
    done = served.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_token_is_made_shown_once_and_revoked(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = output(
        served, "tokens", "create", "ci", "--may", "inventory.read", "--output-file", str(file)
    )
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text().strip()
    assert text.startswith("kcu_")
    assert text not in made
    listed = json.loads(output(served, "tokens", "list", "-o", "json"))
    [token] = [each for each in listed if each["name"] == "ci"]
    assert token["permissions"] == ["inventory.read"]
    assert "inventory.read" in output(served, "tokens", "list")
    assert text not in output(served, "tokens", "list", "-o", "csv")
    assert output(served, "tokens", "revoke", token["id"]) == f"revoked {token['id']}\n"
    assert "revoked" in output(served, "tokens", "list")
    # Never over a file that is there, and no token is made for it.
    refused = served.run("tokens", "create", "again", "--output-file", str(file))
    assert refused.returncode == 2
    assert "can't be made" in refused.stderr
    assert "again" not in output(served, "tokens", "list")


def test_what_can_not_be_made_leaves_no_file(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "none"
    refused = served.run("tokens", "create", "x", "--may", "nonsense", "--output-file", str(file))
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert not file.exists()
    assert served.run("tokens", "revoke", "0" * 16).returncode != 0


def test_the_log_tells_it_the_newest_first(served: Served) -> None:
    made = output(served, "tokens", "create", "logged")
    rows = json.loads(output(served, "audit", "--action", "api-token", "-o", "json"))
    assert [row["number"] for row in rows] == sorted((row["number"] for row in rows), reverse=True)
    assert rows[0]["action"] == "api-token.create"
    assert rows[0]["detail"]["name"] == "logged"
    assert rows[0]["actor"] == "user:ada"
    assert made.strip() not in json.dumps(rows)
    [header, row, *_] = csv.reader(
        io.StringIO(output(served, "audit", "--limit", "1", "-o", "csv"))
    )
    assert header[:3] == ["number", "at", "actor"]
    assert int(row[0]) >= rows[0]["number"]
    assert "api-token.create" in output(served, "audit", "--actor", "user:ada")
    assert "api-token" not in output(served, "audit", "--actor", "nobody", "-o", "csv")


def test_the_log_is_asked_of_one_thing(served: Served) -> None:
    identity = served.census.row(select(host.c.host_id).where(host.c.name == "web1"))[0]
    assert output(served, "audit", "--of", "web1", "-o", "json") == "[]\n"
    with served.census.store.write() as connection:
        record(connection, at_ms=1, actor="user:bob", action="host.retire", subject=identity)
    assert "host.retire" in output(served, "audit", "--of", identity)
    refused = served.run("audit", "--of", "web1", "--actor", "user:bob")
    assert (refused.returncode, "leave the others out" in refused.stderr) == (2, True)
    assert served.run("audit", "--of", "nobody").returncode == 1


def test_a_password_gets_a_token_and_leaves_no_session(served: Served, tmp_path: Path) -> None:
    own = {"KEYCENSUS_CONFIG": str(tmp_path / "config")}
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    arguments = ("login", served.url, "--ca-file", str(served.ca_file), "--user", "ann")
    done = served.run(*arguments, "--password-file", str(file), **own)
    assert done.returncode == 0, done.stderr
    assert "as ann (viewer)" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    [token] = json.loads(served.run("tokens", "list", "-o", "json", **own).stdout)
    assert token["name"].startswith("login on ")
    rows = json.loads(output(served, "audit", "--actor", "user:ann", "-o", "json"))
    assert [row["action"] for row in reversed(rows)][:3] == [
        "session.begin",
        "api-token.create",
        "session.end",
    ]
    for extra, said in (
        ((), "--password-file"),
        (("--password-file", "/missing"), "/missing can't be read"),
        (("--token-file", "x"), "give either --user"),
    ):
        refused = served.run(*arguments, *extra, stdin="", **own)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    file.write_text("wrong horse battery")
    refused = served.run(*arguments, "--password-file", str(file), **own)
    assert refused.returncode != 0
    assert "the user name or the password is wrong" in refused.stderr
