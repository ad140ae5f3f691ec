from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fakes.agent_command import AgentCommand
from fakes.certbot import TIMER, lineage
from fakes.certificates import Leaf
from fakes.configured_root import enable, write
from fakes.unprivileged import as_nobody, open_directory


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> AgentCommand:
    return AgentCommand(capsys)


def test_all_is_fine(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(Leaf("a.example", days=80).pem)
    (tmp_path / "b.pem").write_bytes(Leaf("b.example", days=40).pem)
    ran = agent("check", tmp_path)
    assert ran.status == 0
    assert ran.out == (
        "CERTIFICATES OK - 2 certificates, the first expires in 39 days: "
        f"b.example (39 d, {tmp_path}/b.pem) | "
        "certificates=2 expired=0 expiring=0 gaps=0 days_left=39;30:;0:\n"
    )


def test_what_expires_within_is_a_warning(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(Leaf("a.example", days=40).pem)
    assert agent("check", "--within", "30d", tmp_path).status == 0
    assert agent("check", "--within", "40", tmp_path).status == 1
    ran = agent("check", "--within", "6w", tmp_path)
    assert ran.status == 1
    assert ran.out.startswith("CERTIFICATES WARNING - 1 expiring within 42 days: a.example (39 d, ")


def test_what_has_expired_is_critical_and_named_once(agent: AgentCommand, tmp_path: Path) -> None:
    leaf = Leaf("a.example", days=-3)
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(leaf.pem)
    for number in range(5):
        (tmp_path / f"x{number}.pem").write_bytes(Leaf(f"x{number}.example", days=-9).pem)
    ran = agent("check", tmp_path)
    assert ran.status == 2
    assert ran.out.startswith("CERTIFICATES CRITICAL - 6 expired: x")
    assert ", 3 more |" in ran.out
    assert len(ran.out.splitlines()) == 1


def test_superseded_copies_and_roots_do_not_alarm(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "archive/a").mkdir(parents=True)
    (tmp_path / "archive/a/cert1.pem").write_bytes(Leaf("a.example", days=-3).pem)
    (tmp_path / "old.pem.bak").write_bytes(Leaf("a.example", days=-3).pem)
    ran = agent("check", tmp_path)
    assert ran.status == 0
    assert "no live certificates found" in ran.out


def test_expired_roots_count_when_asked_for(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "cacert.pem").write_bytes(
        b"".join(Leaf(f"Root {number}", days=-3, authority=True).pem for number in range(12))
    )
    assert agent("check", tmp_path).status == 0
    assert agent("check", "--include-trust-stores", tmp_path).status == 2


def test_what_could_not_be_read_is_said(agent: AgentCommand) -> None:
    with open_directory() as path:
        assert agent("check", path).status == 0  # imports all that an ordinary user can't here
        (path / "closed").mkdir(mode=0o000)
        with as_nobody():
            ran = agent("check", path)
        (path / "closed").chmod(0o755)
    assert ran.status == 0
    assert "not everything could be read" in ran.out
    assert "gaps=1" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [("/absent",), ("--root", "/absent"), ("--exclude", "/"), ("--password-file", "/absent")],
)
def test_what_cannot_be_judged_is_unknown(agent: AgentCommand, arguments: tuple[str, ...]) -> None:
    ran = agent("check", *arguments)
    assert ran.status == 3
    assert ran.out.startswith("CERTIFICATES UNKNOWN - ")
    assert len(ran.out.splitlines()) == 1


@pytest.mark.parametrize("span", ["soon", "30x", "-1", ""])
def test_a_wrong_command_line_is_unknown_too(agent: AgentCommand, span: str) -> None:
    ran = agent("check", f"--within={span}")
    assert ran.status == 3
    assert "--within" in ran.err


def test_a_name_cannot_forge_performance_data_or_lines(agent: AgentCommand, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/x | expired=0\n.pem"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    Path(os.fsdecode(name)).write_bytes(Leaf("a | b\nCERTIFICATES OK", days=-3).pem)
    ran = agent("check", tmp_path)
    assert ran.status == 2
    assert len(ran.out.splitlines()) == 1
    assert ran.out.count("|") == 1


def test_what_packages_brought_pages_nobody_and_is_counted(
    agent: AgentCommand, tmp_path: Path
) -> None:
    brought = tmp_path / "usr/share/tests/old.pem"
    brought.parent.mkdir(parents=True)
    brought.write_bytes(Leaf("test.example", days=-9).pem)
    own = tmp_path / "etc/app/own.pem"
    own.parent.mkdir(parents=True)
    own.write_bytes(Leaf("own.example", days=80).pem)
    lists = tmp_path / "var/lib/dpkg/info"
    lists.mkdir(parents=True)
    (lists / "tests.list").write_text("/usr/share/tests/old.pem\n/etc/app/own.pem\n")
    ran = agent("check", "--root", tmp_path)
    assert ran.status == 0
    assert "1 certificate, the first expires in 79 days" in ran.out
    assert "; 1 more in trust stores or of packages left out |" in ran.out
    assert agent("check", "--root", tmp_path, "--include-trust-stores").status == 2
    own.write_bytes(Leaf("own.example", days=-1).pem)
    assert agent("check", "--root", tmp_path).status == 2


def test_what_a_tool_renews_in_time_does_not_warn(agent: AgentCommand, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    write(tmp_path, TIMER)
    enable(tmp_path, "certbot.timer")
    lineage(tmp_path, left_days=29, now_ms=now_ms)
    ran = agent("check", "--root", tmp_path)
    assert ran.status == 0, ran.out
    assert "1 within 30 days that a tool renews in time left out" in ran.out
    assert "certificates=1 expired=0 expiring=0" in ran.out
    # The same certificate where nobody renews it.
    copy = tmp_path / "etc/app/tls.pem"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "etc/letsencrypt/live/example.com/cert.pem").read_bytes())
    ran = agent("check", "--root", tmp_path)
    assert ran.status == 1
    assert "1 expiring within 30 days" in ran.out
    assert "/etc/app/tls.pem)" in ran.out


def test_a_late_renewal_warns_and_an_expired_certificate_is_critical(
    agent: AgentCommand, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    write(tmp_path, TIMER)
    lineage(tmp_path, left_days=80, now_ms=now_ms)
    ran = agent("check", "--root", tmp_path)
    assert ran.status == 1
    assert "1 whose renewal is overdue: " in ran.out
    assert "certbot: nothing starts it" in ran.out
    enable(tmp_path, "certbot.timer")
    assert agent("check", "--root", tmp_path).status == 0
    lineage(tmp_path, left_days=-2, now_ms=now_ms, name="late.example")
    ran = agent("check", "--root", tmp_path)
    assert ran.status == 2
    assert "1 expired: " in ran.out
