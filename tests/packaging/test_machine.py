"""The units really start: systemd boots, the agent reports, and an attacker inside gets nowhere.

systemd runs as PID 1 in namespaces (tests/fakes/machine.py) with the unit files as they are. Attacks
run in copies of the services whose program alone is another; each attack is also seen to succeed in
a copy without the switches, so that its failure says something.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.machine import SYSTEMD, UNITS, Machine

from keycensus_agent.reader.equipment import now_ms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and systemd"),
]

READER, LINK = "keycensus-agent", "keycensus-agent-link"
README = UNITS / "README.md"
ATTACK = Path(__file__).with_name("attack.py")
CONFIGURATION = """
[scan]
roots = ["/srv", "/home", "/tmp"]
[sweep]
start_delay_seconds = 0
cpu_share = 1.0
"""
DAC_READ_SEARCH = 1 << 2
SECONDS = 120.0
IN_TMP = "/tmp/cert.pem"  # noqa: S108 - the machine's

# Connects as the reader does, and stays until its standard input ends.
HOLD = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/keycensus-agent/link.sock")
print(connection.recv(4096)[5:].decode(), flush=True)
sys.stdin.read()
"""

# Listens, and stays until its standard input ends.
LISTEN = """
import socket, sys
held = socket.create_server(("0.0.0.0", 8443))
print("ready", flush=True)
sys.stdin.read()
"""


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot a machine with collector and agent, installed as the units' README says, both running."""
    with Machine.booted(tmp_path_factory.mktemp("machine")) as machine:
        lay_out_keys(machine)
        machine.write("/etc/keycensus/agent.d/50-test.toml", CONFIGURATION)
        _, agent, collector = re.findall(r"```\n(.*?)```", README.read_text(), re.DOTALL)
        follow(machine, collector.splitlines())
        ready = machine.path("/var/lib/keycensus-collector/admin.sock")
        until(ready.exists, machine.journal)
        token = machine.run("keycensus-collector", "token", "create", "-o", "json").stdout
        machine.write("/root/token", json.loads(token)["token"], mode=0o600)
        follow(machine, agent.splitlines())
        until(lambda: status(machine).get("connection", {}).get("ok", False), machine.journal)
        yield machine


def follow(machine: Machine, commands: list[str]) -> None:
    """Run the README's commands, with what is this machine's in place of what stands for it."""
    for command in commands:
        ours = command.replace("collector.example.com", "localhost")
        ours = ours.replace("--token-file token", "--token-file /root/token")
        if " init " in ours:
            ours += " --deployment test --admin-token-file /root/admin-token"
        machine.run("sh", "-ec", f"cd /opt/keycensus-test; {ours}")


def lay_out_keys(machine: Machine) -> None:
    """Put a key where only root reads, and certificates into a home and /tmp."""
    machine.run("mkdir", "--parents", "--mode=0700", "/srv/private", "/home/ada")
    openssl = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a.example"
    )
    machine.run(*openssl.split(), "-keyout", "/srv/private/key.pem", "-out", IN_TMP)
    machine.run("chmod", "0600", "/srv/private/key.pem")
    machine.run("cp", IN_TMP, "/home/ada/cert.pem")


def status(machine: Machine) -> dict[str, Any]:
    shown = machine.run("keycensus-agent", "status", "-o", "json", check=False).stdout
    return json.loads(shown) if shown else {}


def main_process(machine: Machine, unit: str) -> dict[str, str]:
    """Return /proc/PID/status of a service's main process; its children may be of the same user."""
    show = ("systemctl", "show", "--property=MainPID", "--value", unit)
    return facts_of(machine, machine.run(*show).stdout.strip())


def facts_of(machine: Machine, pid: str) -> dict[str, str]:
    lines = machine.path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def copy_of(unit: str, program: str, *, bare: bool) -> str:
    """Return a unit that runs `program` once as the service would; `bare`: without its switches.

    What is kept then is who it runs as, with which capability, and its state directory.
    """
    kept = re.compile(r"(User|Group|StateDirectory|CapabilityBoundingSet|AmbientCapabilities)=")
    dropped = re.compile(r"(Type|Exec\w+|Restart\w*|Requires|After|RefuseManualStart|CollectMode)=")
    lines = []
    for line in (UNITS / unit).read_text().splitlines():
        if not dropped.match(line) and ("=" not in line or not bare or kept.match(line)):
            lines.append(line)
        if line == "[Service]":
            lines += ["Type=oneshot", f"ExecStart={program}"]
    return "\n".join(lines) + "\n"


def attack(machine: Machine, unit: str, *attempts: str, bare: bool = False) -> dict[str, str]:
    """Run the attempts within a copy of a service; return how each ended."""
    name = f"attack-{time.monotonic_ns()}.service"
    machine.write("/opt/keycensus/attack.py", ATTACK.read_text())
    program = " ".join(("/opt/keycensus/bin/python /opt/keycensus/attack.py", *attempts))
    machine.write(f"/run/systemd/system/{name}", copy_of(unit, program, bare=bare))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", name)
    [line] = [line for line in machine.journal(name).splitlines() if line.startswith("{")]
    outcome: dict[str, str] = json.loads(line)
    return outcome


def test_what_only_root_can_read_arrives_at_the_collector(machine: Machine) -> None:
    machine.run(
        *("keycensus", "login", "https://localhost:8443", "--token-file", "/root/admin-token"),
        *("--ca-file", "/var/lib/keycensus-collector/authority/chain.pem"),
    )
    [host] = json.loads(machine.run("keycensus", "hosts", "-o", "json").stdout)
    assert host["name"] == "keycensus-test"
    [certificate] = json.loads(machine.run("keycensus", "certs", "-o", "json").stdout)
    [key] = json.loads(machine.run("keycensus", "keys", "-o", "json").stdout)
    places = machine.run("keycensus", "where", certificate["sha256"], "-o", "json").stdout
    places += machine.run("keycensus", "where", key["id"], "-o", "json").stdout
    for path in ("/srv/private/key.pem", IN_TMP, "/home/ada/cert.pem"):
        assert f'"{path}"' in places


def test_the_reader_runs_with_one_capability_and_no_way_to_more(machine: Machine) -> None:
    facts = main_process(machine, READER)
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == DAC_READ_SEARCH
    assert "0" not in facts["Uid"].split()


def test_the_link_runs_without_any_capability_while_there_is_a_connection(
    machine: Machine,
) -> None:
    def links() -> list[str]:
        return machine.run("pgrep", "--uid", LINK, check=False).stdout.split()

    # The agent, which starts a link of its own for each report, stands by.
    machine.run("systemctl", "stop", READER)
    try:
        until(lambda: not links(), machine.journal)
        with machine.start("/opt/keycensus/bin/python", "-c", HOLD) as holding:
            opened = json.loads(holding.readline())
            assert opened["deployment"] == "test"
            [held] = links()
            facts = facts_of(machine, held)
        until(lambda: not links(), machine.journal)
    finally:
        machine.run("systemctl", "start", READER)
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(facts[name], 16) == 0
    assert "0" not in facts["Uid"].split()


def test_the_collector_runs_without_any_capability_in_a_state_that_became_its_own(
    machine: Machine,
) -> None:
    facts = main_process(machine, "keycensus-collector")
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert int(facts["CapPrm"], 16) == int(facts["CapBnd"], 16) == 0
    # Root ran `init`.
    key = "/var/lib/keycensus-collector/authority/key.pem"
    owner = machine.run("stat", "--format=%U %a", key).stdout.split()
    assert owner == ["keycensus-collector", "600"]


def test_the_identity_belongs_to_the_link_although_root_enrolled(machine: Machine) -> None:
    owner = machine.run("stat", "--format=%U %a", "/var/lib/keycensus-agent-link/identity/key.pem")
    assert owner.stdout.split() == [LINK, "600"]


NETWORK = ("internet", "internet-6", "netlink", "packets", "vsock")
READERS_ATTACKS = {
    # What it is for.
    "read-root-only-file": "done",
    "write-own-state": "done",
    # No network of any kind.
    **dict.fromkeys(NETWORK, "EAFNOSUPPORT"),
    # It writes nothing else, not even where everybody may.
    "write-for-all": "EROFS",
    "write-in-home": "EROFS",
    "write-in-tmp": "EROFS",
    # Not the link's identity, not a disk.
    "read-identity": "ENOENT",
    "read-device": "ENOENT",
    # The kernel.
    "user-namespace": "EPERM",
    "become-root": "EPERM",
    "priority": "EPERM",
    "write-and-execute": "EPERM",
    "personality": "EPERM",
    "host-name": "EPERM",
    "set-user-id": "EPERM",
}
LINKS_ATTACKS = {
    "internet": "done",
    # The kernel is asked who listens on this host; nothing that changes it is open to no capability.
    "netlink": "done",
    "write-own-state": "done",
    "listen": "EPERM",
    **dict.fromkeys(("packets", "vsock"), "EAFNOSUPPORT"),
    "read-root-only-file": "EACCES",
    "read-for-all-in-home": "EACCES",
    "read-state": "EACCES",
    "read-tmp": "ENOENT",
    "read-device": "ENOENT",
    "read-other-process": "ENOENT",
    "read-kernel": "ENOENT",
    "write-for-all": "EROFS",
    "user-namespace": "EPERM",
    "become-root": "EPERM",
    "priority": "EPERM",
    "write-and-execute": "EPERM",
    "personality": "EPERM",
    "set-user-id": "EPERM",
}


@pytest.fixture(scope="module")
def targets(machine: Machine) -> dict[str, str]:
    """Lay out what the attacks are after; return the path of each."""
    machine.run("mkdir", "--parents", "--mode=1777", "/srv/for-all", "/home/for-all")
    machine.write("/home/for-all/file", "x", mode=0o666)
    machine.write("/tmp/file", "x", mode=0o666)  # noqa: S108 - the machine's
    # Another name for /dev/zero stands for a disk.
    machine.run("mknod", "--mode=0666", "/dev/disk", "c", "1", "5")
    return {
        "read-root-only-file": "/srv/private/key.pem",
        "read-identity": "/var/lib/keycensus-agent-link/identity/key.pem",
        "read-state": "/var/lib/keycensus-agent/state/state.db",
        "read-device": "/dev/disk",
        "read-for-all-in-home": "/home/for-all/file",
        "read-tmp": "/tmp/file",  # noqa: S108
        "read-other-process": "/proc/1/status",
        "read-kernel": "/proc/version",
        "write-for-all": "/srv/for-all/x",
        "write-in-home": "/home/for-all/x",
        "write-in-tmp": "/tmp/x",  # noqa: S108
    }


def test_an_attacker_in_the_reader_has_no_network_and_writes_nothing(
    machine: Machine, targets: dict[str, str]
) -> None:
    own = "/var/lib/keycensus-agent/attack"
    paths = targets | {"write-own-state": own, "set-user-id": f"{own}-suid"}
    attempts = [f"{name}={paths.get(name, '')}" for name in READERS_ATTACKS]
    assert attack(machine, "keycensus-agent.service", *attempts) == READERS_ATTACKS


def test_an_attacker_in_the_link_reads_no_key_and_no_state(
    machine: Machine, targets: dict[str, str]
) -> None:
    own = "/var/lib/keycensus-agent-link/attack"
    paths = targets | {"write-own-state": own, "set-user-id": f"{own}-suid"}
    attempts = [f"{name}={paths.get(name, '')}" for name in LINKS_ATTACKS]
    assert attack(machine, "keycensus-agent-link@.service", *attempts) == LINKS_ATTACKS


def succeeded(outcome: dict[str, str]) -> set[str]:
    return {name for name, result in outcome.items() if result == "done"}


def test_without_the_switches_the_same_attacks_on_the_reader_succeed(
    machine: Machine, targets: dict[str, str]
) -> None:
    own = "/var/lib/keycensus-agent/attack"
    paths = targets | {"write-own-state": own, "set-user-id": f"{own}-suid"}
    attempts = [f"{name}={paths.get(name, '')}" for name in READERS_ATTACKS]
    outcome = attack(machine, "keycensus-agent.service", *attempts, bare=True)
    # What is refused still is so for want of a capability, which the unit does not give either.
    assert set(outcome) - succeeded(outcome) == {"packets", "become-root", "host-name"}


def test_without_the_switches_the_same_attacks_on_the_link_succeed(
    machine: Machine, targets: dict[str, str]
) -> None:
    own = "/var/lib/keycensus-agent-link/attack"
    paths = targets | {"write-own-state": own, "set-user-id": f"{own}-suid"}
    attempts = [f"{name}={paths.get(name, '')}" for name in LINKS_ATTACKS]
    outcome = attack(machine, "keycensus-agent-link@.service", *attempts, bare=True)
    # The link has no right to read others' files, switches or not.
    kept = {"read-root-only-file", "read-state", "packets", "become-root"}
    assert set(outcome) - succeeded(outcome) == kept


def test_nobody_but_the_reader_is_served_by_the_link(machine: Machine) -> None:
    hold = ("/opt/keycensus/bin/python", "-c", HOLD)
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *hold)
    refused = machine.run(*as_nobody, check=False)
    assert "PermissionError" in refused.stderr
    # And should the mode of the socket be wrong some day:
    machine.path("/run/keycensus-agent/link.sock").chmod(0o666)
    try:
        said = json.loads(machine.run(*as_nobody).stdout)
    finally:
        machine.path("/run/keycensus-agent/link.sock").chmod(0o600)
    assert "is not the reader (keycensus-agent) and is not served" in said["text"]


def test_a_link_that_can_not_be_asked_for_is_told_with_what_to_do(machine: Machine) -> None:
    socket = machine.path("/run/keycensus-agent/link.sock")
    aside = socket.with_name("aside.sock")
    socket.rename(aside)
    try:
        machine.run("systemctl", "restart", READER)
        until(lambda: not status(machine)["connection"]["ok"], machine.journal)
        text = status(machine)["connection"]["text"]
    finally:
        aside.rename(socket)
    assert "/run/keycensus-agent/link.sock is not there" in text
    assert "systemctl start keycensus-agent-link.socket" in text


def test_who_listens_in_another_network_namespace_is_told_without_a_privilege(
    machine: Machine,
) -> None:
    python = ("/opt/keycensus/bin/python", "-c", LISTEN)
    with machine.start("unshare", "--net", *python) as said:
        assert said.readline() == "ready\n"
        machine.run("systemctl", "reload", READER)
        until(lambda: status(machine)["last_sweep"]["unasked"], machine.journal)
        sweep = status(machine)["last_sweep"]
        assert [each["listen"] for each in sweep["unasked"]] == [["0.0.0.0:8443"]]
        assert sweep["counters"]["listeners-not-asked"] == 1
        shown = machine.run("keycensus-agent", "status", check=False).stdout
        assert "1 listeners in 1 other network namespaces; " in shown
    machine.run("systemctl", "reload", READER)
    until(lambda: not status(machine)["last_sweep"]["unasked"], machine.journal)


def test_the_reader_restarts_after_a_crash_and_reports_again(machine: Machine) -> None:
    before, started = main_process(machine, READER)["Pid"], now_ms()
    drop_in = "/run/systemd/system/keycensus-agent.service.d/soon.conf"
    machine.write(drop_in, "[Service]\nRestartSec=0\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "kill", "--signal=KILL", READER)
    until(lambda: status(machine)["connection"]["at_ms"] > started, machine.journal)
    assert status(machine)["connection"]["ok"]
    assert main_process(machine, READER)["Pid"] != before


def test_an_ordinary_user_is_told_that_status_is_for_root(machine: Machine) -> None:
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    refused = machine.run(*as_nobody, "keycensus-agent", "status", check=False)
    assert refused.returncode == 2
    assert "run `keycensus-agent status` as root" in refused.stderr


def test_root_leaves_and_the_link_says_that_nobody_is_enrolled(machine: Machine) -> None:
    left = machine.run("keycensus-agent", "leave")
    assert "the identity was removed from this host" in left.stdout
    machine.run("systemctl", "restart", READER)
    until(lambda: not status(machine)["connection"]["ok"], machine.journal)
    assert status(machine)["connection"]["reason"] == "not-enrolled"
