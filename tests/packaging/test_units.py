"""The unit files say what they should, and systemd's own tools have nothing to say against them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fakes.machine import UNITS, programs

from keycensus_agent.isolation.users import LINK_USER

SERVICES = (
    "keycensus-agent.service",
    "keycensus-agent-link@.service",
    "keycensus-collector.service",
)
# Exposure as systemd-analyze scores it, times ten: 0 is none, 100 is all.
THRESHOLD = 25

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)

# Switches without which a service could do more than its row in docs/architecture.md says.
EVERY_SERVICE = {
    "NoNewPrivileges": "yes",
    "UMask": "0077",
    "ProtectSystem": "strict",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "KeyringMode": "private",
    "RemoveIPC": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "LimitCORE": "0",
    "StateDirectoryMode": "0700",
}
NO_LISTENING = "listen accept accept4"
LOCKING_IN = "capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"
ONE_SERVICE = {
    "keycensus-agent.service": {
        "Type": "notify",
        "WatchdogSec": "10min",
        "User": "keycensus-agent",
        "CapabilityBoundingSet": "CAP_DAC_READ_SEARCH",
        "AmbientCapabilities": "CAP_DAC_READ_SEARCH",
        "RestrictAddressFamilies": "AF_UNIX",
        "IPAddressDeny": "any",
        "StateDirectory": "keycensus-agent",
        "ProtectHome": "read-only",
        "PrivateTmp": "no",
        "InaccessiblePaths": "-/var/lib/keycensus-agent-link",
        "SystemCallFilter": f"@system-service ~@privileged @resources {LOCKING_IN}",
        "CPUSchedulingPolicy": "idle",
        "IOSchedulingClass": "idle",
        "MemoryMax": "512M",
        "OOMPolicy": "continue",
        "TasksMax": "32",
        "Restart": "on-failure",
        "Requires": "keycensus-agent-link.socket",
    },
    "keycensus-agent-link@.service": {
        "User": "keycensus-agent-link",
        "CapabilityBoundingSet": "",
        "AmbientCapabilities": "",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SocketBindDeny": "any",
        "StateDirectory": "keycensus-agent-link",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "InaccessiblePaths": "-/var/lib/keycensus-agent",
        "ProtectProc": "invisible",
        "ProcSubset": "pid",
        "ProtectKernelModules": "yes",
        "SystemCallFilter": f"@system-service ~@privileged @resources {NO_LISTENING} {LOCKING_IN}",
        "MemoryMax": "256M",
        "TasksMax": "64",
        "CollectMode": "inactive-or-failed",
    },
    "keycensus-collector.service": {
        "User": "keycensus-collector",
        "CapabilityBoundingSet": "",
        "AmbientCapabilities": "",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
        "StateDirectory": "keycensus-collector",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "ProtectProc": "invisible",
        "ProcSubset": "pid",
        "ProtectKernelModules": "yes",
        "SystemCallFilter": "@system-service ~@privileged @resources",
        "Restart": "on-failure",
    },
}
SOCKET = {
    "ListenStream": "/run/keycensus-agent/link.sock",
    "Accept": "yes",
    "SocketUser": "keycensus-agent",
    "SocketMode": "0600",
    "MaxConnections": "4",
}


def switches(unit: str) -> dict[str, str]:
    """Return the unit's settings; values of a repeated one are joined."""
    found: dict[str, str] = {}
    for line in (UNITS / unit).read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            name, value = match.groups()
            found[name] = f"{found[name]} {value}" if name in found else value
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory with systemd's units and ours, and stubs of the programs."""
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    for name in (*SERVICES, "keycensus-agent-link.socket"):
        shutil.copy(UNITS / name, tmp_path / "usr/lib/systemd/system")
    for program in (*(f"usr/bin/{name}" for name in programs()), "bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_systemd_verifies_every_unit_without_a_word(root: Path) -> None:
    units = ("keycensus-agent-link.socket", *(name.replace("@", "@x") for name in SERVICES))
    verified = analyze("verify", f"--root={root}", *units)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_a_misspelt_switch_would_be_seen(root: Path) -> None:
    unit = root / "usr/lib/systemd/system/keycensus-agent.service"
    unit.write_text(unit.read_text().replace("ProtectClock", "ProtectsClock"))
    assert "ProtectsClock" in analyze("verify", f"--root={root}", unit.name).stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_the_exposure_of_each_service_is_low(root: Path, unit: str) -> None:
    arguments = ("security", "--offline=true", f"--threshold={THRESHOLD}", f"--root={root}")
    scored = analyze(*arguments, unit.replace("@", "@x"))
    assert scored.returncode == 0, scored.stdout
    assert re.search(r"exposure level for \S+: [012]\.\d", scored.stdout)


@pytest.mark.parametrize("unit", SERVICES)
def test_each_service_has_the_switches_that_matter(unit: str) -> None:
    found = switches(unit)
    wanted = EVERY_SERVICE | ONE_SERVICE[unit]
    assert {name: found.get(name) for name in wanted} == wanted


def test_only_the_reader_may_connect_to_the_socket() -> None:
    found = switches("keycensus-agent-link.socket")
    assert {name: found.get(name) for name in SOCKET} == SOCKET


def test_the_units_start_programs_that_we_install() -> None:
    started = {Path(switches(unit)["ExecStart"].split()[0]).name for unit in SERVICES}
    assert started <= set(programs())
    assert all(switches(unit)["ExecStart"].startswith("/usr/bin/") for unit in SERVICES)


def test_the_configuration_that_comes_along_names_the_socket_and_the_identity() -> None:
    from keycensus_agent.config import load_config

    link = load_config(UNITS / "10-systemd.toml").link
    assert str(link.socket) == switches("keycensus-agent-link.socket")["ListenStream"]
    state = switches("keycensus-agent-link@.service")["StateDirectory"]
    assert str(link.identity) == f"/var/lib/{state}/identity"


def test_every_user_of_a_unit_is_made() -> None:
    made = {
        words[1]
        for file in UNITS.glob("*.sysusers")
        for line in file.read_text().splitlines()
        if (words := line.split()) and words[0] == "u"
    }
    assert made == {switches(unit)["User"] for unit in SERVICES}
    assert switches("keycensus-agent-link@.service")["User"] == LINK_USER
