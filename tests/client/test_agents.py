"""`keycensus agents` and `enrolment` as operators use them, against the real application over real TLS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import hostile
from fakes.census import Census
from fakes.identities import add_agent
from fakes.served import Served, api_token

from keycensus_client.cli import keycensus


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    add_agent(census, census.host("web1", clock_skew_ms=95_000))
    for name in ("fleet1", "fleet2"):
        add_agent(census, census.host(name), state="cloned", machines=("=a\x1b[31m", "box"))
    served = Served(census, directory, api_token(census, role="operator"))
    assert served.login().returncode == 0
    yield served
    served.close()


def asked(served: Served, *arguments: str) -> Result:
    """Run the command in this process: starting one takes longer than all that it does."""
    configuration = {"KEYCENSUS_CONFIG": str(served.directory / "config")}
    return CliRunner().invoke(keycensus, arguments, env=configuration)


def run(served: Served, *arguments: str) -> str:
    done = asked(served, *arguments)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return str(done.stdout)


def test_agents_are_listed_with_what_ails_them_shown_and_shut_out(served: Served) -> None:
    table = run(served, "agents", "list")
    assert "its clock is 95 s off" in table
    assert "several machines use this identity" in table
    rows = list(csv.DictReader(io.StringIO(run(served, "agents", "list", "-o", "csv"))))
    assert [row["host"] for row in rows] == ["fleet1", "fleet2", "web1"]
    found = json.loads(run(served, "agents", "list", "--state", "cloned", "-o", "json"))
    assert [each["copies"] for each in found] == [2, 2]
    assert json.loads(run(served, "agents", "list", "--host", "EB", "-o", "json")) == [
        json.loads(run(served, "agents", "list", "--state", "active", "-o", "json"))[0]
    ]
    done = asked(served, "agents", "list", "--limit", "1")
    assert "1 of 3 agents shown" in done.stderr
    shown = run(served, "agents", "show", "fleet1")
    assert "=a\\x1b[31m" in shown
    assert hostile.is_inert(shown)
    machines = json.loads(run(served, "agents", "show", "fleet1", "-o", "json"))["machines"]
    assert {each["name"] for each in machines} == {"=a\\x1b[31m", "box"}
    assert "is banned" in run(served, "agents", "ban", "web1", "--reason", "stolen")
    assert "stolen" in run(served, "agents", "show", "web1")
    assert "is active" in run(served, "agents", "unban", "web1")
    assert "is evicted" in run(served, "agents", "evict", "web1")
    assert run(served, "agents", "retire", "web1") == "web1 is retired\n"
    assert run(served, "agents", "list", "--state", "banned") == "no agents\n"


def test_clones_are_told_first_and_then_rekeyed(served: Served) -> None:
    for arguments, said in (
        ((), "either AGENT, or --clones"),
        (("fleet1", "--clones"), "either AGENT, or --clones"),
        (("fleet1", "--yes"), "are for --clones"),
        (("--clones", "--keep", "box"), "give that agent"),
        (("--clones",), "say --yes"),
    ):
        refused = asked(served, "agents", "rekey", *arguments)
        assert refused.exit_code != 0
        assert said in str(refused.exception) + refused.stderr, arguments
    told = run(served, "agents", "rekey", "--clones", "--preview")
    assert "2 clones would end; 4 machines used them" in told
    assert "rekeyed" not in run(served, "agents", "list", "-o", "csv")
    done = run(served, "agents", "rekey", "-q", "host:fleet2", "--copies", "5", "--yes")
    assert "1 clone ended" in done
    found = json.loads(run(served, "agents", "show", "fleet2", "-o", "json"))
    assert (found["state"], found["rekey_copies_left"]) == ("rekeyed", 5)
    assert "5 until" in run(served, "agents", "show", "fleet2")
    assert "2 machines may come until" in run(served, "agents", "rekey", "fleet1", "--keep", "box")
    assert run(served, "agents", "rekey", "--clones") == "no clones\n"


def test_an_enrolment_token_is_made_shown_once_and_revoked(served: Served, tmp_path: Path) -> None:
    assert run(served, "enrolment", "list") == "no tokens\n"
    file = tmp_path / "token"
    labels = ("--label", "env=prod", "--label", "zone=a=b")
    made = run(served, "enrolment", "create", "--uses", "3", *labels, "--output-file", str(file))
    text = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert text.startswith("kc1.")
    assert text not in made
    printed = run(served, "enrolment", "create", "--minutes", "5")
    assert printed.startswith("kc1.")
    assert "env=prod zone=a=b" in run(served, "enrolment", "list")
    listed = json.loads(run(served, "enrolment", "list", "-o", "json"))
    (token,) = [each for each in listed if each["labels"]]
    assert (token["uses_left"], token["labels"]) == (3, {"env": "prod", "zone": "a=b"})
    assert text not in run(served, "enrolment", "list", "-o", "csv")
    assert run(served, "enrolment", "revoke", token["id"]) == f"revoked {token['id']}\n"
    assert len(json.loads(run(served, "enrolment", "list", "--open", "-o", "json"))) == 1
    for arguments, said in (
        (("--label", "none"), "is no label"),
        (("--output-file", str(file)), "can't be made"),
        (("--minutes", "999999999", "--output-file", str(tmp_path / "other")), "minutes"),
    ):
        refused = asked(served, "enrolment", "create", *arguments)
        assert said in str(refused.exception) + refused.stderr, arguments
    assert not (tmp_path / "other").exists()
