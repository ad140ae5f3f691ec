"""The process that starts links, before and after the reader has given up the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# In a process of its own: what the reader gives up, it gives up for good.
READER = """
import json, os, signal, sys
from pathlib import Path
from keycensus_agent.errors import ConfigurationError, LauncherError
from keycensus_agent.isolation.profiles import enter_reader
from keycensus_agent.reader.launcher import Launcher
from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.link_client import LinkClient
from keycensus_agent.relay import FrameKind

configuration = Path(sys.argv[1])

def settings():
    text = configuration.read_text()
    if text == "nonsense":
        raise ConfigurationError("nonsense")
    return LinkStart(Path(text))

def word(connection):
    with connection:
        kind, payload = connection.receive(60)
    assert kind is FrameKind.CLOSED
    return json.loads(payload)["text"]

launcher = Launcher.start(settings)
"""


def run(code: str, configuration: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER + code, str(configuration)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


def test_a_link_is_started_for_a_reader_without_network_as_the_configuration_says(
    tmp_path: Path,
) -> None:
    configuration = tmp_path / "configuration"
    configuration.write_text("/nowhere/one")
    run(
        "enter_reader()\n"
        "assert '/nowhere/one' in word(launcher.open())\n"
        "print('two links, one after the other', word(launcher.open()))\n"
        "launcher.close()\n"
        "assert not Path(f'/proc/{launcher.pid}').exists()\n",
        configuration,
    )


def test_a_changed_configuration_counts_when_it_is_read_again_and_a_bad_one_does_not(
    tmp_path: Path,
) -> None:
    configuration = tmp_path / "configuration"
    configuration.write_text("/nowhere/one")
    run(
        "assert '/nowhere/one' in word(launcher.open())\n"
        "configuration.write_text('/nowhere/two')\n"
        "assert '/nowhere/one' in word(launcher.open())\n"
        "launcher.reload()\n"
        "assert '/nowhere/two' in word(launcher.open())\n"
        "configuration.write_text('nonsense')\n"
        "launcher.reload()\n"
        "assert '/nowhere/two' in word(launcher.open())\n"
        "launcher.close()\n",
        configuration,
    )


def test_signals_of_a_terminal_leave_it_to_the_reader_and_a_killed_one_is_told(
    tmp_path: Path,
) -> None:
    configuration = tmp_path / "configuration"
    configuration.write_text("/nowhere")
    run(
        "word(launcher.open())\n"
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "    os.kill(launcher.pid, number)\n"
        "word(launcher.open())\n"
        "os.kill(launcher.pid, signal.SIGKILL)\n"
        "try:\n"
        "    launcher.open()\n"
        "except LauncherError as error:\n"
        "    assert 'start the agent again' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
        "launcher.reload()\n"
        "launcher.close()\n",
        configuration,
    )


def test_without_a_launcher_such_a_readers_links_have_no_network(tmp_path: Path) -> None:
    """Why there is one: the filter is inherited."""
    configuration = tmp_path / "configuration"
    configuration.write_text("/nowhere")
    run(
        "launcher.close()\nenter_reader()\nimport subprocess\n"
        "code = 'import socket; socket.socket(socket.AF_INET)'\n"
        "assert subprocess.run([sys.executable, '-c', code], stderr=-3).returncode == 1\n",
        configuration,
    )
