"""What `scan` says of places beyond their bytes: sharing, packages, readers, and what it could not see."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.agent_command import AgentCommand
from fakes.certificates import Leaf

CLI = (sys.executable, "-m", "keycensus_agent.cli")
BINDS = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0
)  # fmt: skip


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> AgentCommand:
    return AgentCommand(capsys)


def scanned(agent: AgentCommand, root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the places by path, and the coverage."""
    *places, end = map(json.loads, agent("scan", "--root", root, "-o", "ndjson").out.splitlines())
    return {place["path"]: place for place in places}, end["coverage"]


@pytest.mark.skipif(not BINDS, reason="needs a mount namespace of its own")
def test_hard_links_links_and_bind_mounts_of_one_file_share_it(tmp_path: Path) -> None:
    leaf = Leaf("www.example.com")
    for name in ("real", "bound", "onto"):
        (tmp_path / name).mkdir()
    (tmp_path / "real/a.pem").write_bytes(leaf.pem)
    (tmp_path / "real/other.pem").write_bytes(leaf.pem)
    (tmp_path / "real/hard.pem").hardlink_to(tmp_path / "real/a.pem")
    (tmp_path / "soft.pem").symlink_to("bound/a.pem")
    (tmp_path / "onto/file.pem").touch()
    script = (
        'mount --make-rprivate / && mount --bind "$0/real" "$0/bound"'
        ' && mount --bind "$0/real/a.pem" "$0/onto/file.pem" && exec "$@"'
    )
    for output in ("ndjson", "table"):
        ran = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, tmp_path, *CLI, "scan", tmp_path, "-o", output],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        lines = ran.stdout.splitlines()
        if output == "table":
            assert sum("www.example.com" in line for line in lines) == 2
            assert sum(f"same file as {tmp_path}/bound/a.pem" in line for line in lines) == 5
            continue
        files = {
            record["path"].removeprefix(f"{tmp_path}/"): record["file"]
            for record in map(json.loads, lines[:-1])
        }
        shared = {name for name, file in files.items() if file == files["real/a.pem"]}
        assert shared == {
            *("real/a.pem", "real/hard.pem", "bound/a.pem", "bound/hard.pem"),
            *("soft.pem", "onto/file.pem"),
        }
        assert files["real/other.pem"] == files["bound/other.pem"] != files["real/a.pem"]


def test_a_root_of_its_own_has_its_own_packages_and_names(
    agent: AgentCommand, tmp_path: Path
) -> None:
    for path in ("usr/share/ca", "etc/app", "var/lib/dpkg/info"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "usr/share/ca/root.crt").write_bytes(Leaf("root", authority=True).pem)
    (tmp_path / "etc/app/own.pem").write_bytes(Leaf("own").pem)
    (tmp_path / "var/lib/dpkg/info/roots:all.list").write_text("/usr/share/ca/root.crt\n")
    (tmp_path / "var/lib/dpkg/status").write_text(
        "Package: roots\nArchitecture: all\nVersion: 2:1\n"
    )
    places, coverage = scanned(agent, tmp_path)
    root = places["/usr/share/ca/root.crt"]
    assert (root["package"], root["package_version"]) == ("roots", "2:1")
    assert "package" not in places["/etc/app/own.pem"]
    assert coverage["complete"] is True
    shutil.rmtree(tmp_path / "var/lib/dpkg/info")
    (tmp_path / "var/lib/dpkg/info").touch()
    places, coverage = scanned(agent, tmp_path)
    assert "package" not in places["/usr/share/ca/root.crt"]
    assert coverage["counters"]["dpkg-database-unread"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
def test_a_key_behind_a_closed_directory_does_not_bite(agent: AgentCommand, tmp_path: Path) -> None:
    key = tmp_path / "etc/private/host.key"
    key.parent.mkdir(parents=True)
    key.write_bytes(Leaf("www").key_pem)
    key.chmod(0o644)
    (tmp_path / "etc/group").write_text("ssl-cert:x:117:\n")
    assert scanned(agent, tmp_path)[0]["/etc/private/host.key"]["readable_by"] == "world"
    assert "keys others can read" in agent("scan", "--root", tmp_path).out
    os.chown(key.parent, 0, 117)
    key.parent.chmod(0o710)
    assert scanned(agent, tmp_path)[0]["/etc/private/host.key"]["readable_by"] == "group:ssl-cert"
    table = agent("scan", "--root", tmp_path).out
    assert "key readable by group ssl-cert" in table
    assert "keys others can read" not in table


def test_a_file_that_is_too_big_fails_a_strict_scan(agent: AgentCommand, tmp_path: Path) -> None:
    with (tmp_path / "big.jks").open("wb") as file:
        file.write(b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01")
        file.truncate(1 << 30)
    strict = agent("scan", "--root", tmp_path, "--strict")
    assert strict.status == 1
    assert "1 not read whole" in strict.out
    assert scanned(agent, tmp_path)[1]["complete"] is False


def test_what_policy_passes_over_is_counted_and_leaves_a_scan_complete(
    agent: AgentCommand, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / ".snapshots").mkdir()
    ran = agent("scan", tmp_path, "--state-dir", tmp_path / "own", "-o", "ndjson", "--strict")
    coverage = json.loads(ran.out.splitlines()[-1])["coverage"]
    assert coverage["counters"]["passed-over"] == 1
    assert [gap["detail"] for gap in coverage["gaps"]] == ["snapshot"]
    assert (ran.status, coverage["complete"]) == (0, True)
