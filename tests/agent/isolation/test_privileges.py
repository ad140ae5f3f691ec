"""What is given up is gone for good, for the process and for what it starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from keycensus_agent.isolation import privileges
from keycensus_agent.isolation.privileges import CAP_DAC_READ_SEARCH

ROOT = os.geteuid() == 0
IMPORTS = (
    "import ctypes, os, subprocess, sys\n"
    "from keycensus_agent.isolation import libc, privileges\n"
    "from keycensus_agent.isolation.users import NOBODY, User\n"
    "SHOW = [sys.executable, '-c', 'print(open(\"/proc/self/status\").read())']\n"
    "def show():\n"
    "    return dict(l.split(':\\t') for l in subprocess.check_output(SHOW, text=True)"
    ".splitlines() if ':\\t' in l)\n"
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORTS + code], capture_output=True, text=True, check=False
    )


def test_a_program_gains_nothing_back_and_leaves_no_core() -> None:
    done = run(
        "privileges.become(None)\nprivileges.seal()\n"
        "found = show()\n"
        "assert found['NoNewPrivs'] == '1', found\n"
        "assert int(found['CapPrm'], 16) == int(found['CapEff'], 16) == 0, found\n"
        "assert libc.prctl(3) == 0, 'dumpable'\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not ROOT, reason="only root has capabilities to hand down or to withhold")
def test_the_capability_to_read_is_handed_down_but_to_no_program_that_can_do_without() -> None:
    """Programs in a directory that everybody may pass; a closed one needs the capability to start."""
    done = run(
        "keep = privileges.mask(privileges.CAP_DAC_READ_SEARCH)\n"
        "privileges.become(User(65533, 65533), keep=keep, hand_down=True)\n"
        "SHOW[:] = ['/bin/cat', '/proc/self/status']\n"
        "assert int(show()['CapEff'], 16) == keep\n"
        "with privileges.spawning('/bin/cat'):\n"
        "    assert int(show()['CapPrm'], 16) == 0\n"
        "with privileges.spawning('/etc/shadow'):\n"
        "    assert int(show()['CapPrm'], 16) == keep\n"
        "assert int(show()['CapEff'], 16) == keep\n"
        "assert int(show()['CapBnd'], 16) == keep\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not ROOT, reason="only root may become another user")
def test_root_can_not_be_become_again() -> None:
    done = run(
        "privileges.become(NOBODY)\n"
        "assert os.getresuid() == (65534,) * 3\n"
        "assert os.getresgid() == (65534,) * 3\n"
        "assert os.getgroups() == []\n"
        "for attempt in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):\n"
        "    try:\n"
        "        attempt()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise SystemExit('root again')\n"
    )
    assert done.returncode == 0, done.stderr


READS_MEMORY = (
    "import os, sys\n"
    "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    "open(f'/proc/{sys.argv[1]}/mem', 'rb').close()\n"
)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_process_of_the_same_user_reads_our_memory_only_if_it_is_not_sealed(
    sealed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    seal = "privileges.seal()" if sealed else "libc.prctl(4, 1)"
    code = f"privileges.become(NOBODY)\n{seal}\nprint(flush=True)\nsys.stdin.read(1)\n"
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTS + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            tried = subprocess.run(
                ["/usr/bin/env", "python3", "-c", READS_MEMORY, str(process.pid)],
                capture_output=True,
                check=False,
            )
        finally:
            process.communicate(b"x")
    assert (tried.returncode != 0) == sealed, tried.stderr


def test_what_lets_us_read_is_the_least_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for have, expected in ((0b110, 0b100), (0b010, 0b010), (0b001, 0)):
        monkeypatch.setattr(privileges, "permitted", lambda have=have: have)
        assert privileges.to_read() == expected
    assert privileges.mask(CAP_DAC_READ_SEARCH, 0) == 0b101


# An ordinary user's process before it gives anything up: anyone of that user reads its memory.
ORDINARY = (
    "from keycensus_agent.isolation import profiles\n"
    "if os.geteuid() == 0: privileges.become(NOBODY)\n"
    "libc.prctl(4, 1)\n"
)


@pytest.mark.parametrize(
    ("profile", "sealed"),
    [
        ("", False),
        ("profiles.enter_launcher()", True),
        ("profiles.enter_reader()", True),
        ("profiles.enter_link(None)", True),
        ("profiles.enter_enrolment()", True),
        ("profiles.enter_parser()", True),
    ],
)
def test_each_process_is_sealed_whoever_started_it(
    profile: str,
    sealed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What belongs to a sealed process below /proc is root's, so that its user can't open it."""
    code = f"{ORDINARY}{profile}\nos.write(1, b'.')\nos.read(0, 1)\n"
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTS + code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        try:
            owner = os.stat(f"/proc/{process.pid}/mem").st_uid  # noqa: PTH116 - no file of ours
        finally:
            process.communicate(b"x")
    assert (owner == 0) == sealed
