"""What `status` says of a process is what the kernel says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keycensus_agent.isolation import evidence


def seen_of(code: str) -> evidence.Enforced:
    """Run code in a process of its own; return what is seen of it from outside."""
    script = f"import sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read(1)\n"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = evidence.enforced(process.pid)
        process.communicate(b"x")
    assert found is not None
    return found


def test_a_process_that_gave_up_nothing_is_shown_as_such() -> None:
    found = seen_of("")
    assert not found["seccomp"]
    assert not found["no_new_privs"]
    assert found["landlock"] == 0
    assert found["root"] == (os.geteuid() == 0)
    assert "seccomp: NO; no_new_privs: NO; Landlock: no" in evidence.described(found)


def test_a_reader_that_root_started_keeps_one_capability_and_is_not_root() -> None:
    found = seen_of("from keycensus_agent.isolation.profiles import *\nenter_reader()")
    assert found["seccomp"]
    assert found["no_new_privs"]
    assert not found["root"]
    assert found["groups"] == [] or os.geteuid()
    assert found["capabilities"] == (["dac_read_search"] if os.geteuid() == 0 else [])
    assert evidence.facts_of(found)[:2] == ("reader.network=seccomp", "reader.user=own")


def test_a_reader_that_may_see_open_files_keeps_that_and_hands_nothing_of_it_down() -> None:
    found = seen_of(
        "from keycensus_agent.isolation.profiles import *\nenter_reader(processes=True)\n"
        "import subprocess\n"
        "status = subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True)\n"
        "(effective,) = [line for line in status.stdout.splitlines() if 'CapEff' in line]\n"
        "assert not int(effective.split()[1], 16) >> 19 & 1"
    )
    expected = ["dac_read_search", "sys_ptrace"] if os.geteuid() == 0 else []
    assert sorted(found["capabilities"]) == expected


def test_a_link_and_a_parser_that_root_started_are_nobody_and_have_nothing() -> None:
    for code in ("profiles.enter_link(None)", "profiles.enter_parser()"):
        found = seen_of(f"from keycensus_agent.isolation import profiles\n{code}")
        assert found["seccomp"]
        assert found["no_new_privs"]
        assert found["capabilities"] == []
        assert not found["root"]
        assert found["groups"] == [] or os.geteuid()


def test_a_machine_without_a_table_is_shown_without_a_filter() -> None:
    found = seen_of(
        "import os, types\nos.uname = lambda: types.SimpleNamespace(machine='riscv64')\n"
        "from keycensus_agent.isolation.profiles import *\nenter_reader()"
    )
    assert not found["seccomp"]
    assert found["no_new_privs"]
    assert evidence.facts_of(found)[0] == "reader.network=open"


def test_a_process_that_is_gone_is_not_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert evidence.enforced(process.pid) is None
    assert evidence.described(None) == "not seen yet"
    assert evidence.facts_of(None) == ()


def test_a_kernel_that_says_nothing_of_a_feature_does_not_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("/proc/self/status").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("Seccomp", "NoNewPrivs"))]
    (tmp_path / "status").write_text("\n".join(kept))
    real = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: real(tmp_path / "status", flags))
    found = evidence.enforced()
    assert found is not None
    assert not found["seccomp"]
    assert not found["no_new_privs"]
    (tmp_path / "status").write_text("Name:\tx\n")
    assert evidence.enforced() is None


def test_what_is_seen_can_be_stored_as_json() -> None:
    found = evidence.enforced()
    assert json.loads(json.dumps(found)) == found
