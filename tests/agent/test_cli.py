from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
from fakes.agent_command import AgentCommand

from keycensus_agent import __version__
from keycensus_agent.cli import build_parser
from keycensus_agent.errors import ConfigurationError, LinkError

COMMANDS = (
    "scan",
    "explain",
    "check",
    "enrol",
    "run",
    "leave",
    "status",
    "check-config",
    "formats",
)


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> AgentCommand:
    return AgentCommand(capsys)


def as_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the command `formats` end like this."""
    module = types.ModuleType("formats")

    def run(_: object) -> int:
        raise error

    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keycensus_agent.commands.formats", module)


def test_help_names_every_command(agent: AgentCommand) -> None:
    ran = agent("--help")
    assert ran.status == 0
    for command in COMMANDS:
        assert f"    {command} " in ran.out
        assert agent(command, "--help").status == 0


def test_every_command_has_its_module() -> None:
    for command in COMMANDS:
        extra = {"explain": ["/"], "enrol": ["--collector", "x", "--token-file", "-"]}
        options = build_parser().parse_args([command, *extra.get(command, [])])
        __import__(f"keycensus_agent.commands.{options.module}")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from keycensus_agent.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'google.protobuf', 'cryptography', 'psutil', 'watchdog', 'structlog',"
        " 'sqlite3', 'asyncio', 'importlib.metadata', 'subprocess', 'dataclasses'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_a_scan_imports_neither_network_nor_parsing_libraries(tmp_path: Path) -> None:
    code = (
        "import sys; from keycensus_agent.cli import main\n"
        f"main(['scan', {str(tmp_path)!r}])\n"
        "heavy = {'grpc', 'cryptography', 'ssl', 'google.protobuf'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_the_version_is_told(agent: AgentCommand) -> None:
    assert agent("--version").out == f"keycensus-agent {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["enrol"],
        ["enrol", "--collector", "x"],
        ["explain"],
        ["status", "-o", "xml"],
        ["scan", "--roo", "/"],
    ],
)
def test_a_wrong_command_line_is_status_2_with_usage(
    agent: AgentCommand, arguments: list[str]
) -> None:
    ran = agent(*arguments)
    assert ran.status == 2
    assert ran.err.startswith("usage: keycensus-agent")
    assert ran.out == ""


@pytest.mark.parametrize("order", [("--config", "f", "run"), ("run", "--config", "f")])
def test_configuration_and_state_may_stand_before_or_after_the_command(
    order: tuple[str, ...],
) -> None:
    options = build_parser().parse_args([*order, "--state-dir", "d"])
    assert (options.config, options.state_dir, options.once) == ("f", "d", False)
    assert build_parser().parse_args(["run"]).config is None


def test_the_arguments_of_the_other_commands() -> None:
    parse = build_parser().parse_args
    enrol = parse(["enrol", "--collector", "h:1", "--token-file", "-"])
    assert (enrol.collector, enrol.token_file) == ("h:1", "-")
    run = parse(["run", "--once", "--dry-run"])
    assert (run.once, run.dry_run) == (True, True)
    leave = parse(["leave", "--reason", "sold", "--purge", "--force"])
    assert (leave.reason, leave.purge, leave.force) == ("sold", True, True)
    assert parse(["status", "-o", "json"]).output == "json"
    assert parse(["check"]).within == 30
    assert parse(["check", "--within", "2w"]).within == 14


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigurationError("two\nmistakes"), 2), (LinkError("the collector is away"), 3)],
)
def test_an_error_of_our_own_is_a_sentence_and_its_status(
    agent: AgentCommand, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    as_command(monkeypatch, error)
    ran = agent("formats")
    assert (ran.status, ran.err) == (status, f"keycensus-agent: {error}\n")


def test_an_unexpected_error_is_one_line_with_its_id(
    agent: AgentCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_command(monkeypatch, ValueError("secret"))
    monkeypatch.delenv("KEYCENSUS_DEBUG", raising=False)
    ran = agent("formats")
    assert ran.status == 3
    assert ran.err.startswith("keycensus-agent: agent.internal: ValueError: ")
    assert len(ran.err.splitlines()) == 1
    assert "secret" not in ran.err


def test_debugging_shows_the_traceback(
    agent: AgentCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_command(monkeypatch, ValueError("x"))
    monkeypatch.setenv("KEYCENSUS_DEBUG", "1")
    with pytest.raises(ValueError, match="x"):
        agent("formats")


def test_ctrl_c_is_status_130_and_silent(
    agent: AgentCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_command(monkeypatch, KeyboardInterrupt())
    ran = agent("formats")
    assert (ran.status, ran.out, ran.err) == (130, "", "")
