"""The package on a Debian of its own: installed, booted, looked at from outside, and purged.

The system is made by debootstrap, the package installed in it as into an image, and systemd boots it
in namespaces (fakes/machine.py). What is said of processes is read from /proc while they run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fakes.debian import Installed, inside, installed, names
from fakes.machine import SYSTEMD, Machine
from keycensus_deb.release import UNITS

from keycensus_agent.reader.status_file import read_status

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("debootstrap") is None,
        reason="needs root, systemd and debootstrap",
    ),
]

USERS = ("keycensus-agent", "keycensus-agent-link")
STATES = ("/var/lib/keycensus-agent", "/var/lib/keycensus-agent-link")
DAC_READ_SEARCH = 1 << 2
SECONDS = 120.0
MANY = 400
# linux/sched.h
SCHED_IDLE = 5
CONFIGURATION = "[sweep]\nstart_delay_seconds = 0\ncpu_share = 1.0\n"
AS_THE_READER = (
    *("setpriv", "--reuid=keycensus-agent", "--regid=keycensus-agent", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    *("--bounding-set=-all,+dac_read_search", "--no-new-privs"),
)
_PROGRAM = re.compile(r"/usr/bin/(\S+)|-m (\S+)")
# What dpkg, shadow and systemd note for themselves, package or not.
OTHERS_NOTES = re.compile(
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/(machine-id|\.pwd\.lock|\.updated|hostname)$"
    r"|/etc/ld\.so\.(cache|conf\.d/00-keycensus-test\.conf)$|/(root|old)(/|$)|/opt/keycensus-test"
    r"|/var/(\.updated|log/|lib/(dpkg/|apt/|systemd/|private$)|cache/|tmp/systemd-private)"
    r"|/var/lib/dbus|/usr/lib/systemd/system/sysinit\.target\.wants|/(etc|usr/lib)/systemd/system/[^/]+\.wants(/|$)"
)


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed(tmp_path_factory)


@pytest.fixture(scope="module")
def machine(debian: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot the system with keys in it; the agent has started with that and swept once."""
    with Machine.booted(tmp_path_factory.mktemp("machine"), debian.root) as machine:
        lay_out_keys(machine)
        machine.write("/etc/keycensus/agent.d/50-test.toml", CONFIGURATION)
        machine.run("systemctl", "start", "multi-user.target")
        until(lambda: swept(machine), machine.journal)
        yield machine


def lay_out_keys(machine: Machine) -> None:
    """Put a key where only root reads, and one of a service's user in a home of its own."""
    for name, user in (("/srv/private/key.pem", 0), ("/home/ada/.secret/key.pem", 1234)):
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        machine.write(name, text, mode=0o600)
        for path in (machine.path(name).parent, machine.path(name)):
            os.chown(path, user, user)
        machine.path(name).parent.chmod(0o700)


def lay_out_many(machine: Machine) -> None:
    """Put so many keys beside the first that the parser can be seen at its work."""
    text = machine.path("/srv/private/key.pem").read_text()
    for number in range(MANY):
        machine.path(f"/srv/private/{number}.pem").write_text(f"{number}\n{text}")


def status(machine: Machine) -> dict[str, Any]:
    """Return what the agent last said of itself, as `status -o json` shows it, without a process."""
    return read_status(machine.path(STATES[0])) or {}


def last_word(machine: Machine) -> tuple[object, object]:
    """Return which sweep and which conversation with a link were the last."""
    said = status(machine)
    return said.get("last_sweep"), said.get("connection")


def swept(machine: Machine, before: tuple[object, object] = (None, None)) -> bool:
    """Whether a sweep has ended since, and the link has answered."""
    now = last_word(machine)
    return all(now) and all(one != other for one, other in zip(now, before, strict=True))


def is_active(machine: Machine, unit: str = "keycensus-agent") -> bool:
    asked = machine.run("systemctl", "is-active", unit, check=False)
    return asked.stdout.strip() == "active"


def main_process(machine: Machine) -> str:
    show = ("systemctl", "show", "--property=MainPID", "--value", "keycensus-agent")
    return machine.run(*show).stdout.strip()


def users(machine: Machine) -> dict[int, str]:
    rows = machine.path("/etc/passwd").read_text().splitlines()
    fields = [row.split(":") for row in rows]
    return {int(row[2]): row[0] for row in fields if row[0] in USERS}


def processes(machine: Machine) -> Iterator[dict[str, str]]:
    """Yield /proc/PID/status of every process that runs as one of the agent's users now."""
    ours = users(machine)
    for entry in machine.path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            lines = (entry / "status").read_text().splitlines()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        facts = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        # One that just ended has nothing left to look at.
        if int(facts["Uid"].split()[0]) in ours and command:
            yield {**facts, "user": ours[int(facts["Uid"].split()[0])], "command": command}


def test_installed_into_an_image_everything_is_there_and_nothing_was_started(
    debian: Installed,
) -> None:
    rows = (debian.root / "etc/passwd").read_text().splitlines()
    assert {row.split(":")[0] for row in rows if "keycensus" in row} == set(USERS)
    assert not (debian.root / STATES[0].lstrip("/")).exists()
    wanted = debian.root / "etc/systemd/system"
    assert (wanted / "multi-user.target.wants/keycensus-agent.service").is_symlink()
    assert (wanted / "sockets.target.wants/keycensus-agent-link.socket").is_symlink()
    said = inside(debian.root, "keycensus-agent", "--version")
    assert (said.returncode, said.stderr) == (0, "")
    assert inside(debian.root, "dpkg", "--verify", "keycensus-agent").stdout == ""


def test_after_a_boot_it_runs_and_says_calmly_that_it_is_not_enrolled(machine: Machine) -> None:
    assert is_active(machine)
    assert is_active(machine, "keycensus-agent-link.socket")
    assert machine.run("systemctl", "--failed", "--quiet", "--plain").stdout == ""
    said = json.loads(machine.run("keycensus-agent", "status", "-o", "json", check=False).stdout)
    assert said["connection"]["reason"] == "not-enrolled"
    show = ("systemctl", "show", "--property=NRestarts", "--value", "keycensus-agent")
    assert machine.run(*show).stdout.strip() == "0"
    log = machine.journal("keycensus-agent")
    assert "Traceback" not in log
    assert '"error"' not in log


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of the agent's programs from a start to the end of its first report.

    `users`: who runs a program; `capabilities`: every set of every process, by program; `open_files`:
    the parser's limits on descriptors; `isolation`: what `status` says after.
    """

    users: dict[str, set[str]]
    capabilities: dict[str, set[int]]
    held: set[tuple[str, str]]
    open_files: set[str]
    isolation: dict[str, Any]


@pytest.fixture(scope="module")
def observed(machine: Machine) -> Observed:
    """Let the agent start anew with something to read, and look at /proc until it has reported."""
    lay_out_many(machine)
    before = last_word(machine)
    machine.run("systemctl", "restart", "keycensus-agent")
    seen = Observed({}, {}, set(), set(), {})
    deadline = time.monotonic() + SECONDS
    while not swept(machine, before):
        assert time.monotonic() < deadline, machine.journal()
        for facts in processes(machine):
            note(machine, facts, seen)
        time.sleep(0.005)
    seen.isolation.update(status(machine)["isolation"])
    return seen


def note(machine: Machine, facts: dict[str, str], seen: Observed) -> None:
    # Not systemd's own, which is about to become the service.
    if facts["Name"].startswith("("):
        return
    script, module = _PROGRAM.findall(facts["command"])[0]
    program = script or module
    seen.users.setdefault(program, set()).add(facts["user"])
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        seen.capabilities.setdefault(program, set()).add(int(facts[name], 16))
    seen.held.add((facts["NoNewPrivs"], facts["Seccomp"]))
    if program == "keycensus_agent.parser":
        with contextlib.suppress(OSError):
            limits = machine.path(f"/proc/{facts['Pid']}/limits").read_text()
            seen.open_files.update(re.findall(r"^Max open files +(\d+)", limits, re.MULTILINE))


def test_no_process_ever_holds_another_capability(observed: Observed) -> None:
    for program in ("keycensus-agent", "keycensus_agent.parser"):
        assert observed.users[program] == {"keycensus-agent"}
    links = {program for program, by in observed.users.items() if by == {"keycensus-agent-link"}}
    # What systemd starts becomes the link within a moment, and may not be seen before.
    assert "keycensus_agent.link" in links
    for program, held in observed.capabilities.items():
        assert held <= ({0} if program in links else {0, DAC_READ_SEARCH}), program
    assert observed.held == {("1", "2")}


def test_what_only_root_can_read_is_found_by_the_packaged_user(machine: Machine) -> None:
    scan = (*AS_THE_READER, "keycensus-agent", "scan", "/srv", "/home", "-o", "ndjson")
    rows = [json.loads(line) for line in machine.run(*scan).stdout.splitlines()]
    found = {row["path"]: row["entries"][0]["kind"] for row in rows if "path" in row}
    assert {"/srv/private/key.pem", "/home/ada/.secret/key.pem"} <= set(found)
    assert set(found.values()) == {"private-key"}
    # And without the capability nothing of it: it is that which reads, not the modes.
    bare = [word for word in AS_THE_READER if "caps" not in word]
    bare = [word.replace(",+dac_read_search", "") for word in bare]
    rows = [
        json.loads(line)
        for line in machine.run(*bare, *scan[len(AS_THE_READER) :]).stdout.splitlines()
    ]
    assert not [row for row in rows if "path" in row]


def test_nothing_is_written_outside_the_state(machine: Machine) -> None:
    """The agent runs from its start through a sweep and a failed report, and `scan` runs beside it."""
    machine.run("systemctl", "stop", "keycensus-agent", "keycensus-agent-link.socket")
    before = last_word(machine)
    machine.run("touch", "/run/mark")
    time.sleep(0.02)
    machine.run("systemctl", "start", "keycensus-agent")
    machine.run(*AS_THE_READER, "keycensus-agent", "scan", "/srv", "-o", "ndjson")
    until(lambda: swept(machine, before), machine.journal)
    places = ("/", "/tmp", "/run", "/dev")  # noqa: S108 - the machine's
    find = ("find", *places, "-xdev", "-cnewer", "/run/mark", "-not", "-path", "/run/mark")
    changed = set(machine.run(*find).stdout.splitlines())
    systemd = re.compile(
        r"/run(/systemd/.*|/log/.*|/credentials.*|/keycensus-agent(/link\.sock)?)?$|/dev(/shm)?$|/dev/pts.*"
        r"|/var/log/journal.*|/var/lib(/private|/systemd.*)?$|/var/tmp(/systemd-private-.*)?$"
        r"|/tmp(/systemd-private-.*)?$"
    )
    elsewhere = {name for name in changed if not systemd.match(name)}
    assert elsewhere
    assert {name for name in elsewhere if not name.startswith(STATES)} == set()
    owned = [f"-user {user}" for user in USERS]
    find_owned = f"find {' '.join(places)} -xdev \\( {' -o '.join(owned)} \\)"
    for name in machine.run("sh", "-c", find_owned).stdout.splitlines():
        assert name.startswith((*STATES, "/run/keycensus-agent/link.sock")), name


def test_installed_units_are_verified_and_score_low(machine: Machine) -> None:
    for unit in (name.replace("@", "@x") for name in UNITS):
        said = machine.run("systemd-analyze", "verify", "--man=no", unit)
        assert (said.stdout, said.stderr) == ("", "")
        if unit.endswith(".service"):
            score = ("security", "--offline=true", "--threshold=25", "--no-pager")
            machine.run("systemd-analyze", *score, unit)


# What systemd's switches take away, and what the agent's own sandbox needs (each is known to collide).


def test_the_own_filters_are_in_force_although_the_service_has_some(observed: Observed) -> None:
    """Not in @system-service of systemd 252: seccomp and landlock; capset is in @privileged."""
    for process in ("reader", "parser"):
        assert observed.isolation[process]["seccomp"]
        assert observed.isolation[process]["no_new_privs"]
    assert observed.isolation["parser"]["capabilities"] == []
    assert observed.isolation["parser"]["landlock"] > 0


def test_priorities_are_the_units_for_the_program_may_not_set_them(machine: Machine) -> None:
    """@resources is refused, and with it sched_setscheduler and ioprio_set."""
    pid = main_process(machine)
    scheduling = machine.path(f"/proc/{pid}/sched").read_text()
    assert re.search(rf"^policy\s*:\s*{SCHED_IDLE}$", scheduling, re.MULTILINE)
    asked = machine.run("ionice", "--pid", pid)
    assert asked.stdout.strip() == "idle"


def test_compiled_libraries_work_where_no_memory_may_become_code(machine: Machine) -> None:
    """MemoryDenyWriteExecute= against ctypes, cffi, grpc and protobuf, as the package has them."""
    program = (
        "import ctypes, cryptography.hazmat.bindings._rust, google._upb._message, grpc, _cffi_backend;"
        "from cryptography.hazmat.primitives.asymmetric import rsa;"
        "rsa.generate_private_key(65537, 2048);"
        "print(ctypes.CDLL(None).getpid() > 0, grpc.__version__ != '')"
    )
    unit = machine.path("/usr/lib/systemd/system/keycensus-agent.service").read_text()
    python = "/usr/lib/keycensus-agent/bin/python -IB"
    machine.write("/run/try.py", program)
    unit = re.sub(r"^(Type|Restart\w*|Exec\w+|Requires|After)=.*\n", "", unit, flags=re.MULTILINE)
    unit = unit.replace("[Service]", f"[Service]\nType=oneshot\nExecStart={python} /run/try.py")
    machine.write("/run/systemd/system/try.service", unit)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "try")
    assert "True True" in machine.journal("try.service")


def test_the_parser_has_its_own_limits(observed: Observed) -> None:
    """prlimit64 is in @default, so it stays although @resources is refused."""
    # Whatever it has before it gives up the rest, and four after.
    assert "4" in observed.open_files


def test_an_upgrade_a_removal_and_a_purge_keep_and_remove_what_they_should(
    debian: Installed, tmp_path: Path
) -> None:
    with Machine.booted(tmp_path, debian.root) as machine:
        lay_out_keys(machine)
        machine.write("/etc/keycensus/agent.d/50-test.toml", CONFIGURATION)
        machine.run("systemctl", "start", "multi-user.target")
        until(lambda: swept(machine), machine.journal)
        upgrade(machine, debian)
        remove(machine, debian)
        purge(machine, debian)


def dpkg(machine: Machine, *arguments: str) -> str:
    done = machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments)
    assert "warning" not in done.stderr.replace("not empty so not removed", "").lower() or (
        "agent.d" in done.stderr
    ), done.stderr
    return done.stdout + done.stderr


def upgrade(machine: Machine, debian: Installed) -> None:
    """Install once more over what runs, with a configuration that was changed and a service stopped."""
    deb = f"/root/{debian.package.name}"
    configuration = machine.path("/etc/keycensus/agent.toml")
    configuration.write_text(configuration.read_text() + "\n# ours\n")
    before = main_process(machine)
    dpkg(machine, "--force-confold", "--install", deb)
    assert is_active(machine)
    assert main_process(machine) not in {before, "0"}
    assert configuration.read_text().endswith("# ours\n")
    machine.run("systemctl", "stop", "keycensus-agent")
    dpkg(machine, "--force-confold", "--install", deb)
    assert not is_active(machine)
    # A maintainer script may be called again at any time.
    for _ in range(2):
        script = ("/var/lib/dpkg/info/keycensus-agent.postinst", "configure", "0.0.1")
        machine.run("env", "DPKG_MAINTSCRIPT_PACKAGE=keycensus-agent", *script)
    assert is_active(machine)


def remove(machine: Machine, debian: Installed) -> None:
    """Take the program away; state and configuration stay, and a new installation goes on."""
    dpkg(machine, "--remove", "keycensus-agent")
    assert not list(processes(machine))
    assert not machine.path("/usr/lib/keycensus-agent").exists()
    assert not machine.path("/run/keycensus-agent").exists()
    for state in STATES:
        assert machine.path(state).is_dir()
    assert machine.path("/etc/keycensus/agent.toml").is_file()
    dpkg(machine, "--force-confold", "--install", f"/root/{debian.package.name}")
    assert is_active(machine)


def purge(machine: Machine, debian: Installed) -> None:
    """Take everything away: not a file is left that was not there before the package."""
    machine.path("/etc/keycensus/agent.d/50-test.toml").unlink()
    dpkg(machine, "--purge", "keycensus-agent")
    assert not users(machine)
    for keys in ("/srv/private", "/home/ada"):
        shutil.rmtree(machine.path(keys))
    left = names(machine.path("/")) - debian.before
    assert {name for name in left if not OTHERS_NOTES.match(name)} == set()
    assert not [name for name in left if "keycensus-agent" in name and not name.startswith("/root")]
    known = machine.path("/etc/passwd").read_text() + machine.path("/etc/group").read_text()
    assert "keycensus" not in known
