"""`keycensus mark` and `unmark`, as processes of their own, against the real application."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue, spki_of
from fakes.served import Served, api_token

from keycensus_collector.catalogue.key_id import key_id

HOSTILE = "=cmd\x1b]0;pwn\x07\u202e"
ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT, days=60)
EVIL = issue(HOSTILE, days=60)
TWIN = issue("twin.example.com", days=60, key=WWW.key)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    web = census.host("web1")
    census.report(web, "/etc/www.pem", certificate(WWW), certificate(ROOT))
    census.report(web, "/etc/www.key", private_key(WWW.key), mode=0o600)
    census.report(web, "/etc/evil.pem", certificate(EVIL))
    census.report(web, "/etc/twin.pem", certificate(TWIN))
    census.fold()
    served = Served(census, directory, api_token(census, role="operator"))
    assert served.login().returncode == 0
    yield served
    served.close()


def output(served: Served, *arguments: str) -> str:
    done = served.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_mark_says_at_once_what_it_reaches_and_can_be_lifted(
    served: Served, tmp_path: Path
) -> None:
    key = tmp_path / "www.key"
    key.write_bytes(WWW.key_pem)
    lines = output(served, "mark", "compromised", str(key), "--reason", "laptop lost").splitlines()
    assert lines[0].startswith("mark 1: key ec")
    assert lines[1].split() == ["marked", "compromised"]
    assert lines[2].split(maxsplit=1)[1] == "laptop lost"
    assert "2 certificates, 1 private key" in lines[4]
    assert "3 places on 1 host" in lines[5]
    assert "/etc/www.key" in "\n".join(lines)
    shown = output(served, "show", WWW.sha256.hex())
    assert "laptop lost (mark 1, on its key, ec)" in shown
    assert "1  compromised  key ec" in output(served, "mark", "list")
    lifted = output(served, "unmark", str(key), "--reason", "found again")
    assert lifted == "lifted mark 1: key ec is not compromised any more\n"
    assert output(served, "mark", "list") == "no marks\n"
    assert json.loads(output(served, "mark", "list", "--lifted", "-o", "json"))[0]["until"]
    assert "found again" in output(served, "mark", "show", "1")


def test_a_mark_on_a_certificate_says_what_else_has_its_key(served: Served) -> None:
    shown = output(served, "mark", "compromised", WWW.sha256.hex(), "--reason", "out")
    key = key_id(spki_of(WWW.key)).hex()
    assert "1 other certificate has its key; to mark all of them:" in shown
    assert f"keycensus mark compromised {key} --kind key --reason TEXT" in shown
    output(served, "unmark", WWW.sha256.hex(), "--reason", "x")


def test_marks_of_authorities_and_of_what_nobody_has_seen(served: Served) -> None:
    listed = json.loads(
        output(served, "mark", "distrusted", ROOT.sha256.hex(), "--reason", "x", "-o", "json")
    )
    assert listed["mark"]["authority"] is True
    assert listed["certificates"] == 2
    reached = output(served, "certs", "-q", listed["mark"]["query"], "-o", "json")
    assert len(json.loads(reached)) == 2
    unknown = "ab" * 32
    refused = served.run("mark", "compromised", unknown, "--reason", "x")
    assert (refused.returncode, "is not in the inventory" in refused.stderr) == (1, True)
    done = output(served, "mark", "compromised", unknown, "--kind", "key", "--reason", "x")
    assert "0 places on 0 hosts" in done
    output(served, "unmark", ROOT.sha256.hex()[:10], "--reason", "x", "--mark", "distrusted")
    output(served, "unmark", ":".join(["AB"] * 32), "--reason", "x")
    nothing = served.run("unmark", unknown, "--reason", "x")
    assert (nothing.returncode, "no mark stands" in nothing.stderr) == (1, True)


def test_hostile_names_and_reasons_are_inert(served: Served) -> None:
    output(served, "mark", "distrusted", EVIL.sha256.hex(), "--reason", HOSTILE)
    (mark,) = json.loads(output(served, "mark", "list", "-o", "json"))
    for arguments in (("list",), ("show", str(mark["number"])), ("list", "-o", "json")):
        shown = output(served, "mark", *arguments)
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    rows = list(csv.DictReader(io.StringIO(output(served, "mark", "list", "-o", "csv"))))
    assert rows[0]["reason"].startswith("'=cmd")
    output(served, "unmark", EVIL.sha256.hex(), "--reason", "x")


def test_mistakes_say_what_to_do(served: Served) -> None:
    output(served, "mark", "distrusted", EVIL.sha256.hex(), "--reason", "x")
    again = served.run("mark", "distrusted", EVIL.sha256.hex(), "--reason", "x")
    assert (again.returncode, "lift that one first" in again.stderr) == (2, True)
    host = served.run("mark", "distrusted", "web1", "--reason", "x")
    assert (host.returncode, "'web1' is a host" in host.stderr) == (2, True)
    assert served.run("mark", "distrusted", "web1").returncode == 2
    gone = served.run("mark", "show", "999")
    assert (gone.returncode, "no mark 999" in gone.stderr) == (1, True)
    blank = served.run("mark", "compromised", WWW.sha256.hex(), "--reason", "  ")
    assert (blank.returncode, "needs a reason" in blank.stderr) == (2, True)
    output(served, "unmark", EVIL.sha256.hex(), "--reason", "x")


def test_a_viewer_reads_marks_and_sets_none(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    census.report(census.host("web1"), "/etc/www.pem", certificate(WWW))
    census.fold()
    served = Served(census, tmp_path, api_token(census))
    try:
        assert served.login().returncode == 0
        done = served.run("mark", "compromised", WWW.sha256.hex(), "--reason", "x")
        assert (done.returncode, "needs the permission marks.write" in done.stderr) == (2, True)
        assert output(served, "mark", "list") == "no marks\n"
    finally:
        served.close()
