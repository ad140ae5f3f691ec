"""`keycensus history`, `diff` and `coverage`, as processes of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue
from fakes.served import Served, api_token

HOSTILE = "/etc/=x\x1b[31m.pem"
WWW = issue("www.example.com", days=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    web = census.host("web1")
    census.report(web, "/etc/www.pem", certificate(WWW), cause="first")
    census.gap(web, "/mnt/nfs")
    census.fold()
    census.clock.current_ms += 3 * 86_400_000
    census.gone(web, "/etc/www.pem")
    census.report(web, "/etc/moved.pem", certificate(WWW), mode=0o600)
    census.fold()
    served = Served(census, directory, api_token(census))
    assert served.login().returncode == 0
    yield served
    served.close()


def output(served: Served, *arguments: str) -> str:
    done = served.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_history_of_a_certificate_and_of_a_host(served: Served) -> None:
    lines = output(served, "history", WWW.sha256.hex()[:12]).splitlines()
    assert lines[0].split() == ["WHEN", "WHAT", "HOST", "PATH", "DETAIL", "CAUSE"]
    assert lines[1].split()[1:] == [
        *("moved", "web1", "/etc/moved.pem", "from", "/etc/www.pem", "content"),
    ]
    assert len(lines) == 3
    events = json.loads(output(served, "history", "host", "web1", "-o", "json", "--limit", "1"))
    assert [each["what"] for each in events] == ["appeared", "gone"]  # of one moment
    assert output(served, "history", "host", "web1", "-o", "csv").count("\n") == 4
    unknown = served.run("history", "host", "nobody")
    assert (unknown.returncode, "not in the inventory" in unknown.stderr) == (1, True)
    assert served.run("history", "a", "b", "c").returncode == 2


def test_diff_between_two_dates(served: Served) -> None:
    lines = output(served, "diff", "2d", "--list", "places").splitlines()
    assert lines[0].startswith("places from 20")
    assert lines[0].endswith("1 came, 1 went, 0 changed")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["+", "web1:/etc/moved.pem"],
        ["-", "web1:/etc/www.pem"],
    ]
    assert output(served, "diff", "2d", "1d").splitlines() == [
        next(iter(output(served, "diff", "2d", "1d").splitlines()))
    ]
    wrong = served.run("diff", "yesterday")
    assert (wrong.returncode, "is no date or age" in wrong.stderr) == (2, True)
    query = served.run("diff", "2d", "-q", "expirs<3d")
    assert (query.returncode, "did you mean expires" in query.stderr) == (2, True)


def test_coverage_of_the_fleet(served: Served) -> None:
    shown = output(served, "coverage")
    assert "with gaps        1" in shown
    assert 'gap-reason="unreadable" not state:retired' in shown
    assert json.loads(output(served, "coverage", "-o", "json"))["hosts"] == 1
    then = output(served, "coverage", "--as-of", "1d")
    assert "looked at whole  not known of a past day" in then
    assert "with gaps        1" in then
