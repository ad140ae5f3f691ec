from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fakes.agent_command import AgentCommand
from fakes.certificates import Leaf
from fakes.unprivileged import as_nobody, open_directory

CLI = (sys.executable, "-m", "keycensus_agent.cli")


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> AgentCommand:
    return AgentCommand(capsys)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    leaf = Leaf("www.example.com", days=10)
    (tmp_path / "etc/tls").mkdir(parents=True)
    (tmp_path / "etc/tls/www.pem").write_bytes(leaf.pem)
    (tmp_path / "etc/tls/www.key").write_bytes(leaf.key_pem)
    (tmp_path / "etc/tls/www.key").chmod(0o600)
    (tmp_path / "etc/tls/link.pem").symlink_to("www.pem")
    return tmp_path


def test_a_table_goes_to_a_pipe_without_colour(agent: AgentCommand, tree: Path) -> None:
    ran = agent("scan", tree)
    assert (ran.status, ran.err) == (0, "")
    assert f"{tree}/etc/tls/www.key " in ran.out
    assert "What will bite" in ran.out
    assert "\x1b" not in ran.out


def test_ndjson_has_places_and_then_coverage(agent: AgentCommand, tree: Path) -> None:
    ran = agent("scan", "--root", tree, "-o", "ndjson")
    *places, end = [json.loads(line) for line in ran.out.splitlines()]
    assert [place["path"] for place in places] == [
        "/etc/tls/link.pem", "/etc/tls/www.key", "/etc/tls/www.pem",
    ]  # fmt: skip
    assert places[0]["target"] == "/etc/tls/www.pem"
    assert places[0]["file"] == places[2]["file"] != places[1]["file"]
    assert places[1]["entries"][0]["matches"] == [places[2]["entries"][0]["sha256"]]
    assert end["coverage"]["counters"]["files"] == 2
    assert end["coverage"]["gaps"] == []


def test_json_and_csv_hold_the_same_places(agent: AgentCommand, tree: Path) -> None:
    whole = json.loads(agent("scan", tree, "-o", "json").out)
    rows = list(csv.DictReader(io.StringIO(agent("scan", tree, "-o", "csv").out)))
    assert [place["path"] for place in whole["places"]] == [row["path"] for row in rows]


def test_csv_says_which_configuration_uses_a_place(agent: AgentCommand, tree: Path) -> None:
    (tree / "etc/nginx").mkdir()
    (tree / "etc/nginx/nginx.conf").write_text(
        "http {\nserver { listen 443 ssl; ssl_certificate /etc/tls/www.pem; }\n}\n"
    )
    rows = csv.DictReader(io.StringIO(agent("scan", "--root", tree, "-o", "csv").out))
    [row] = [row for row in rows if row["path"] == "/etc/tls/www.pem"]
    assert (row["usage_service"], row["usage_listen"]) == ("nginx", "*:443")
    assert row["usage_configuration"] == "/etc/nginx/nginx.conf:2"


def test_paths_may_be_files_links_and_relative(
    agent: AgentCommand, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree / "etc")
    for argument in (
        "tls/www.pem",
        "tls/link.pem",
        "../etc/./tls/www.pem",
        tree / "etc/tls/www.key",
    ):
        ran = agent("scan", argument, "-o", "ndjson")
        assert ran.status == 0
        assert len(ran.out.splitlines()) == 2, argument


def test_a_path_that_is_not_there_is_named_and_the_others_are_scanned(
    agent: AgentCommand, tree: Path
) -> None:
    ran = agent("scan", tree / "absent\n", tree, tree / "etc/tls/www.pem/x", "-o", "ndjson")
    assert ran.status == 2
    assert f"keycensus-agent: {tree}/absent\\x0a: no such file or directory\n" in ran.err
    assert "www.pem/x: part of the path is not a directory" in ran.err
    assert len(ran.out.splitlines()) == 4
    nothing = agent("scan", tree / "absent")
    assert (nothing.status, nothing.out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "xml"), "invalid choice: 'xml'"),
        (("--root", "/absent"), "--root /absent: No such file or directory"),
        (("--root", "/etc/passwd"), "--root /etc/passwd: Not a directory"),
        (("--exclude", "/"), "exclude '/'"),
        (("--password-file", "/absent"), "password file /absent"),
        (("--frobnicate",), "unrecognized arguments: --frobnicate"),
    ],
)
def test_a_wrong_command_line_is_explained(
    agent: AgentCommand, arguments: tuple[str, ...], message: str
) -> None:
    ran = agent("scan", *arguments)
    assert ran.status == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_default_passwords_are_tried_only_if_asked_for(agent: AgentCommand, tmp_path: Path) -> None:
    leaf = Leaf("www.example.com", days=10)
    (tmp_path / "key.pem").write_bytes(leaf.key_pem + leaf.pem)
    command = ["openssl", "pkcs12", "-export", "-in", "key.pem", "-passout", "pass:changeit"]
    subprocess.run([*command, "-out", "x.p12"], cwd=tmp_path, check=True)
    (tmp_path / "key.pem").unlink()

    def status(*options: str) -> str:
        ran = agent("scan", tmp_path / "x.p12", "-o", "ndjson", *options)
        assert "changeit" not in ran.out + ran.err
        return str(json.loads(ran.out.splitlines()[0])["status"])

    assert status() == "locked"
    assert status("--try-default-passwords") == "read"


@pytest.mark.parametrize("option", ["--password", "--pass", "--password-fil", "-p"])
def test_a_password_can_not_be_given_on_the_command_line(
    agent: AgentCommand, tree: Path, option: str
) -> None:
    ran = agent("scan", tree, option, "hunter2")
    assert (ran.status, ran.out) == (2, "")
    assert "unrecognized arguments" in ran.err


def test_excludes_are_gaps_but_not_for_strict(agent: AgentCommand, tree: Path) -> None:
    ran = agent(
        "scan",
        "--root",
        tree,
        "--exclude",
        "*.key",
        "--exclude",
        "/etc/tls/link*",
        "--strict",
        "-o",
        "json",
    )
    whole = json.loads(ran.out)
    assert [place["path"] for place in whole["places"]] == ["/etc/tls/www.pem"]
    assert {gap["path"] for gap in whole["coverage"]["gaps"]} == {
        "/etc/tls/link.pem",
        "/etc/tls/www.key",
    }
    assert ran.status == 0


def test_gaps_fail_a_strict_scan_only(agent: AgentCommand) -> None:
    with open_directory() as path:
        (path / "closed").mkdir(mode=0o000)
        with as_nobody():
            loose = agent("scan", path, "-o", "csv")
            strict = agent("scan", "--strict", path)
        (path / "closed").chmod(0o755)
    assert (loose.status, strict.status) == (0, 1)
    assert f"not seen: {path}/closed: unlisted (EACCES)" in loose.err
    assert "unlisted (EACCES)" in strict.out


def test_names_from_strangers_never_reach_the_output_raw(
    agent: AgentCommand, tmp_path: Path
) -> None:
    name = os.fsencode(tmp_path) + b"/\x1b]0;owned\a\n\xff.pem"
    with open(os.open(name, os.O_CREAT | os.O_WRONLY), "wb") as file:  # noqa: PTH123 - a name of bytes
        file.write(Leaf("evil\x1b[31m.example").pem)
    for form in ("table", "json", "ndjson", "csv"):
        ran = agent("scan", tmp_path, "-o", form)
        assert ran.status == 0
        assert "\\x1b]0;owned\\x07\\x0a\\xff.pem" in ran.out.replace("\\\\", "\\")
        assert all(character.isprintable() or character == "\n" for character in ran.out)


def test_the_agents_own_state_directory_is_left_alone(agent: AgentCommand, tree: Path) -> None:
    ran = agent("scan", tree, "--state-dir", tree / "etc/tls", "-o", "ndjson")
    assert len(ran.out.splitlines()) == 1


def test_a_terminal_gets_colour_headings_and_progress(tree: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [*CLI, "scan", str(tree)], stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    output = b""
    try:
        while piece := os.read(leader, 65536):
            output += piece
    except OSError:
        pass  # the other end of a terminal that was closed
    os.close(leader)
    assert process.wait(30) == 0
    assert b"1 directories" in output
    assert b"\r\x1b[K" in output
    assert f"\x1b[1m{tree}/etc/tls/\x1b[0m".encode() in output


def test_a_reader_that_leaves_early_is_no_error(tree: Path) -> None:
    for number in range(300):
        (tree / f"{number}.pem").write_bytes((tree / "etc/tls/www.pem").read_bytes())
    process = subprocess.Popen(
        [*CLI, "scan", str(tree), "-o", "ndjson"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(30) == 141


def test_ctrl_c_ends_a_scan_cleanly(tmp_path: Path) -> None:
    # A scan of this size takes seconds; it is interrupted in its first.
    for number in range(200):
        (tmp_path / f"d{number}").mkdir()
        for file in range(30):
            (tmp_path / f"d{number}/f{file}.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 40)
    process = subprocess.Popen(
        [*CLI, "scan", str(tmp_path), "/usr"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # Before its parser runs it may still import, where an interrupt shows Python's traceback.
    while not psutil.Process(process.pid).children():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == (b"", b"")
