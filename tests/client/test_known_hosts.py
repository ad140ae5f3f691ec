"""`keycensus import --hosts` and `hosts --without-agent`, as processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

from fakes.census import Census
from fakes.served import Served, api_token


def test_a_list_is_imported_and_who_has_no_agent_is_listed(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    census.host("web1")
    served = Served(census, tmp_path, api_token(census, role="operator"))
    try:
        assert served.login().returncode == 0
        file = tmp_path / "fleet.ini"
        file.write_text("[web]\nweb[1:3]\n")
        done = served.run("import", str(file), "--hosts", "ansible")
        assert done.stdout.splitlines() == [
            "imported 3 known hosts of ansible: 1 report, 2 without an agent, 0 named no more",
            "  web2: without an agent",
            "  web3: without an agent",
        ]
        listed = json.loads(served.run("hosts", "--without-agent", "-o", "json").stdout)
        assert [(each["name"], each["last_seen"]) for each in listed] == [
            ("web2", None),
            ("web3", None),
        ]
        assert "never" in served.run("hosts", "--without-agent").stdout
        file.write_text("web[1:\n")
        wrong = served.run("import", str(file), "--hosts", "ansible")
        assert (wrong.returncode, "line 1: 'web[1:'" in wrong.stderr) == (2, True)
        both = served.run("hosts", "--without-agent", "--state", "silent")
        assert (both.returncode, "leave --state out" in both.stderr) == (2, True)
        kind = served.run("import", str(file), "--format", "csv")
        assert (kind.returncode, "give --hosts SOURCE" in kind.stderr) == (2, True)
    finally:
        served.close()
