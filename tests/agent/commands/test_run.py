"""`run --once`, `run --once --dry-run`, `run` and `status`, as the command line calls them."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from fakes.sample_agent import SampleAgent

from keycensus_agent.commands import run, status
from keycensus_agent.errors import StateBusyError, StateDamagedError, UsageError
from keycensus_agent.reader.daemon import Daemon
from keycensus_agent.reader.report.sync import Outcome
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.reader.status_file import read_status

SECONDS = 30


@pytest.fixture
def agent(tmp_path: Path) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.write("srv/a.pem", Leaf("a.example").pem)
    return agent


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put the signal handlers back that the commands replace."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def arguments(agent: SampleAgent, **options: object) -> argparse.Namespace:
    return argparse.Namespace(
        **{
            "config": str(agent.config_file),
            "state_dir": None,
            "once": False,
            "dry_run": False,
            "output": "table",
            **options,
        }
    )


def test_one_run_without_an_identity_sweeps_and_says_what_to_do(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.run(arguments(agent, once=True)) == 3
    printed = capsys.readouterr()
    assert ", 1 change," in printed.out
    assert "keycensus-agent enrol" in printed.err


def test_a_dry_run_prints_messages_and_leaves_no_state(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.run(arguments(agent, once=True, dry_run=True)) == 0
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [message["message"] for message in messages]
    assert kinds == ["hello", "blob", "blob", "batch"]
    assert "/srv/a.pem" in messages[-1]["changes"][0]["row"]
    assert not (agent.state / "state/state.db").exists()


def test_an_identity_outside_of_the_state_is_the_agent_s_own_and_no_finding(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = agent.write("srv/link/identity/certificate.pem", Leaf("own.example").pem).parent
    agent.write("srv/link/other.pem", Leaf("other.example").pem)
    with agent.config_file.open("a") as file:
        file.write(f'[link]\nidentity = "{identity}"\n')
    assert run.run(arguments(agent, once=True, dry_run=True)) == 0
    printed = capsys.readouterr().out
    assert "other.pem" in printed
    assert "certificate.pem" not in printed


def test_a_dry_run_shows_what_waits_in_a_fixed_batch_too(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    run.run(arguments(agent, once=True))
    state = State.open(agent.state / "state/state.db")
    outbox = ReaderService(run._config(arguments(agent)), state).outbox
    pending = outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    outbox.fix_batch(pending, {}, complete=False)
    state.close()
    capsys.readouterr()
    run.run(arguments(agent, once=True, dry_run=True))
    assert "/srv/a.pem" in capsys.readouterr().out


def test_a_dry_run_that_would_go_on_for_ever_is_refused(agent: SampleAgent) -> None:
    with pytest.raises(UsageError, match="--once"):
        run.run(arguments(agent, dry_run=True))


def test_a_damaged_state_is_told(agent: SampleAgent, capsys: pytest.CaptureFixture[str]) -> None:
    run.run(arguments(agent, once=True))
    (agent.state / "state/state.db").write_bytes(b"x" * 9000)
    run.run(arguments(agent, once=True))
    assert "damaged" in capsys.readouterr().err


def test_damage_that_is_found_while_running_is_put_aside_and_the_run_starts_over(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.run(arguments(agent, once=True))
    sweep, calls = ReaderService.sweep, 0

    def damaged(service: ReaderService) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StateDamagedError("a page is not what it was")
        return sweep(service)

    monkeypatch.setattr(ReaderService, "sweep", damaged)
    run.run(arguments(agent, once=True))
    assert calls == 2
    assert "damaged" in capsys.readouterr().err
    assert len(list((agent.state / "state").glob("*.corrupt-*"))) == 1


def test_a_run_that_is_stopped_says_so(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ReaderService.sweep

    def interrupted(service: ReaderService) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return sweep(service)

    monkeypatch.setattr(ReaderService, "sweep", interrupted)
    assert run.run(arguments(agent, once=True)) == 130
    assert "stopped" in capsys.readouterr().err


def meanwhile(*steps: Callable[[], object]) -> threading.Thread:
    """Do one step after the other beside the daemon; one that returns False is tried again."""

    def work() -> None:
        until = time.monotonic() + SECONDS
        for step in steps:
            while step() is False and time.monotonic() < until:
                time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def signalled(number: signal.Signals) -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), number)


def told(agent: SampleAgent, field: str) -> Callable[[], bool]:
    """Return whether the daemon's status holds something by that name."""
    return lambda: bool((read_status(agent.state) or {}).get(field))


@pytest.fixture
def reloaded(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set when a daemon has read its configuration again."""
    done, reload = threading.Event(), Daemon._reload

    def reload_and_tell(daemon: Daemon) -> None:
        reload(daemon)
        done.set()

    monkeypatch.setattr(Daemon, "_reload", reload_and_tell)
    return done


def test_the_daemon_sweeps_talks_and_ends_on_a_signal(
    agent: SampleAgent, monkeypatch: pytest.MonkeyPatch, reloaded: threading.Event
) -> None:
    outcomes = iter([Outcome("unreachable", "nobody there"), Outcome(), Outcome()])
    monkeypatch.setattr(ReaderService, "converse", lambda _: next(outcomes, Outcome()))
    swept_whole = threading.Event()

    def is_swept_whole() -> bool:
        """Tell before the hang-up, since the sweep after it may be cut off by the signal to end."""
        if ((read_status(agent.state) or {}).get("last_sweep") or {}).get("complete"):
            swept_whole.set()
        return swept_whole.is_set()

    beside = meanwhile(
        told(agent, "connection"),
        is_swept_whole,
        signalled(signal.SIGHUP),
        reloaded.is_set,
        signalled(signal.SIGTERM),
    )
    assert run.run(arguments(agent)) == 0
    beside.join()
    assert swept_whole.is_set()
    assert reloaded.is_set()
    written = read_status(agent.state)
    assert written is not None
    assert written["connection"]["reason"] in ("unreachable", "done")


def test_the_daemon_goes_on_after_trouble_and_tells_it(
    agent: SampleAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_service: ReaderService, *_: object, **__: object) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(ReaderService, "sweep", refused)
    monkeypatch.setattr(ReaderService, "converse", lambda _: Outcome())
    meanwhile(told(agent, "trouble"), signalled(signal.SIGTERM))
    assert run.run(arguments(agent)) == 0
    written = read_status(agent.state)
    assert written is not None
    assert "Too many open files" in written["trouble"]


def test_a_hangup_with_a_bad_configuration_keeps_the_old_one(
    agent: SampleAgent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reloaded: threading.Event,
) -> None:
    monkeypatch.setattr(ReaderService, "converse", lambda _: Outcome())
    good = agent.config_file.read_text()
    meanwhile(
        told(agent, "connection"),
        lambda: agent.config_file.write_text("[scan]\nroots = 7\n"),
        signalled(signal.SIGHUP),
        reloaded.is_set,
        signalled(signal.SIGTERM),
    )
    assert run.run(arguments(agent)) == 0
    assert "roots" in capsys.readouterr().err
    agent.config_file.write_text(good)


def test_status_before_and_after_a_run(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.run(arguments(agent)) == 1
    first = capsys.readouterr().out
    assert "not running" in first
    assert "none yet" in first
    (agent.root / "gone").mkdir()
    run.run(arguments(agent, once=True))
    capsys.readouterr()
    assert status.run(arguments(agent)) == 1
    second = capsys.readouterr().out
    assert "complete" in second
    assert "1 changes" in second
    assert "not-enrolled" in second
    status.run(arguments(agent, output="json"))
    assert json.loads(capsys.readouterr().out)["last_sweep"]["changes"] == 1


def test_status_sees_an_agent_that_holds_the_state(
    agent: SampleAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    run.run(arguments(agent, once=True))
    state = State.open(agent.state / "state/state.db")
    capsys.readouterr()
    status.run(arguments(agent))
    assert "running" in capsys.readouterr().out.splitlines()[0]
    with pytest.raises(StateBusyError):
        run.run(arguments(agent, once=True))
    state.close()
