"""Many things changed by one command: told, asked, and done only if it is what was told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from fakes.recertified import API, SHOP, Company
from fakes.served import Served, api_token

from keycensus_client.cli import keycensus
from keycensus_client.errors import ChangedError
from keycensus_collector.ownership.assignments import Thing

ALL = ("-q", "name:*.example.com")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Company.create(directory).census
    served = Served(census, directory, api_token(census, role="operator"))
    assert served.login().returncode == 0
    yield served
    served.close()


def asked(served: Served, *arguments: str, answer: str = "") -> Result:
    configuration = {"KEYCENSUS_CONFIG": str(served.directory / "config")}
    return CliRunner().invoke(keycensus, list(arguments), env=configuration, input=answer)


def output(served: Served, *arguments: str, answer: str = "") -> str:
    done = asked(served, *arguments, answer=answer)
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    return str(done.stdout)


def test_many_things_are_told_asked_and_done(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = Company(served.census)
    company.give(Thing("certificate", artifact=API.sha256), "desk")
    give = ("owners", "set", "desk", *ALL, "--reason", "so")
    told = output(served, *give, "--dry-run")
    assert told.splitlines()[0] == "2 of 3 would be given to desk"
    assert told.splitlines()[-1] == "1 stays as it is"
    assert company.certs("owner:desk") == {"api"}
    silent = asked(served, *give)
    assert (silent.exit_code, "say --yes" in silent.stderr) == (2, True)
    monkeypatch.setattr("keycensus_client.editing.can_ask", lambda: True)
    refused = asked(served, *give, answer="n\n")
    assert (refused.exit_code, "Change that? [y/N]" in refused.stdout) == (1, True)

    def meanwhile(*_: object, **__: object) -> bool:
        company.give(Thing("certificate", artifact=SHOP.sha256), "desk")
        return True

    with monkeypatch.context() as other:
        other.setattr("click.confirm", meanwhile)
        late = asked(served, *give)
    assert isinstance(late.exception, ChangedError)
    assert company.certs("owner:desk") == {"api", "shop"}
    assert output(served, *give, answer="y\n").endswith("1 thing given to desk\n")
    back = output(served, "owners", "unset", *ALL, "--yes")
    assert "  3 by hand desk before" in back
    assert output(served, "owners", "unset", *ALL).startswith("0 of 3 would be taken back")


def test_labels_and_marks_take_several_ids_or_a_query(served: Served) -> None:
    company, ids = Company(served.census), (SHOP.sha256.hex(), API.sha256.hex())
    done = output(served, "labels", "set", "tier=gold", *ids, "--yes")
    assert done.endswith("2 things labelled tier=gold\n")
    assert company.certs("label.tier:gold") == {"api", "shop"}
    query = ("--list", "certificates", *ALL)
    assert "2 things rid of label tier" in output(
        served, "labels", "unset", "tier", *query, "--yes"
    )
    marked = output(served, "mark", "distrusted", *ids, "ab" * 32, "--reason", "old", "--yes")
    assert "1 refused: is not in the inventory" in marked
    assert company.certs("marked:distrusted") == {"api", "shop"}
    assert "0 of 1 would be" in output(
        served, "mark", "distrusted", ids[0], "--reason", "x", "--preview"
    )
    assert "2 things rid of their marks" in output(served, "unmark", *ALL, "--reason", "x", "--yes")
    assert company.certs("marked:any") == set()
