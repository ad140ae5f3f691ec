"""`keycensus recertify` as a person uses it, against the real application over real TLS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes.recertified import SHOP, Company
from fakes.served import Served, api_token

from keycensus_client.cli import keycensus
from keycensus_collector.ownership.worker import settle


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Company.create(directory).census
    served = Served(census, directory, api_token(census, role="operator"))
    assert served.login().returncode == 0
    yield served
    served.close()


def asked(served: Served, *arguments: str) -> Result:
    """Run the command in this process: starting one takes longer than all that it does."""
    configuration = {"KEYCENSUS_CONFIG": str(served.directory / "config")}
    return CliRunner().invoke(keycensus, ["recertify", *arguments], env=configuration)


def run(served: Served, *arguments: str) -> str:
    done = asked(served, *arguments)
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    return str(done.stdout)


def test_a_campaign_from_start_to_close(served: Served) -> None:
    assert run(served, "list") == "no campaigns\n"
    wish = ("start", "--by", "30d", "--name", "q4", "--list", "certificates")
    asked_of = list(csv.DictReader(io.StringIO(run(served, *wish, "--preview", "-o", "csv"))))
    assert {row["owner"]: row["open"] for row in asked_of} == {"db": "2", "web": "2"}
    assert "OWNER" in run(served, *wish, "--preview")
    assert run(served, "list") == "no campaigns\n"
    started = run(served, *wish)
    assert "campaign q4" in started
    assert "4 open" in started
    assert "running" in run(served, "list")
    shop = SHOP.sha256.hex()
    assert run(served, "confirm", "q4", shop, "--comment", "=1+1\x1b") == "1 of 1 line confirmed\n"
    said = ("--reason", "the database team's", "--owner", "db", "--team", "web")
    assert run(served, "dispute", "q4", "-q", "name:sh.example.com", *said) == (
        "1 of 1 line disputed\n"
    )
    assert run(served, "confirm", "q4", "--all", "--team", "db") == "2 of 2 lines confirmed\n"
    assert run(served, "reopen", "q4", "--line", "1") == "1 of 1 line open again\n"
    assert run(served, "comment", "q4", "--line", "1", "--text", "asked again").startswith("1 of 1")
    shown = run(served, "show", "q4")
    assert "the database team's: -> db" in shown
    assert "asked again" in shown
    rows = list(csv.DictReader(io.StringIO(run(served, "show", "q4", "-o", "csv"))))
    assert [row["state"] for row in rows] == ["open", "confirmed", "disputed", "confirmed"]
    assert rows[3]["remark"] == "'=1+1\\x1b"
    one = json.loads(run(served, "show", "q4", "--state", "disputed", "-o", "json"))
    assert [each["owner"] for each in one] == ["web"]
    status = run(served, "status", "q4")
    assert "2 confirmed, 1 disputed, 1 open" in status
    assert "#web, anna" in status
    assert run(served, "accept", "q4", "--all") == "1 thing given to db\n"
    with served.census.store.write() as connection:
        settle(connection, served.census.clock.now_ms())
    assert run(served, "accept", "q4", "--all") == "nothing is disputed\n"
    assert "closed" in run(served, "close", "q4")
    late = served.run("recertify", "confirm", "q4", "--all", "--team", "db")
    assert (late.returncode, "campaign q4 was closed by user:ada" in late.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "none"), "there is no campaign 'none'"),
        (("confirm", "none"), "ID, --line N, -q QUERY or --all"),
        (("start", "--by", "soon"), "a date or a length of time"),
        (("start", "--by", "9d", "-q", "owener:web"), "did you mean owner"),
    ],
)
def test_mistakes_say_what_to_do(served: Served, arguments: tuple[str, ...], said: str) -> None:
    done = asked(served, *arguments)
    assert done.exit_code
    assert said in f"{done.stderr} {done.exception}"


def test_rules_are_tried_with_what_each_would_do(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("owners:\n- {rule: all, of: hosts, host: '*', owner: db}\n")
    configuration = {"KEYCENSUS_CONFIG": str(served.directory / "config")}

    def tried(*options: str) -> str:
        done = CliRunner().invoke(
            keycensus, ["rules", "try", str(file), *options], env=configuration
        )
        assert done.exit_code == 0, done.exception
        return str(done.stdout)

    whole = json.loads(tried("-o", "json"))
    (row,) = csv.DictReader(io.StringIO(tried("-o", "csv")))
    assert row == {name: str(value) for name, value in whole["by_rule"][0].items()}
    assert row["rule"] == "all"
    assert "RULE  DECIDES  CHANGES" in tried()
