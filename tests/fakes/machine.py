"""A machine that boots: systemd as PID 1 in namespaces of its own, over a copy-on-write view of this one.

    with Machine.booted(tmp_path) as machine:
        machine.run("systemctl", "start", "keycensus-agent")

Needs root, and Debian's systemd. The machine has its own processes, mounts, cgroups, host name and a
network of loopback only. Its root is an overlay whose upper half is in memory, so nothing that happens
there reaches this machine's disk; kernel settings (/proc/sys, /sys) are read-only in it. When it ends,
also by a killed test, its processes are killed with their PID 1 and its mounts go with its namespace.

The programs are installed as a package would: in /opt/keycensus, for everyone to read, because the
checkout may lie where only root comes. Of the checkout /opt/keycensus-test shows what is needed.

Given the root directory of another system (fakes/debian.py), that one boots, and nothing is installed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self

import psutil

CHECKOUT = Path(__file__).resolve().parents[2]
UNITS = CHECKOUT / "packaging" / "systemd"
SYSTEMD = Path("/usr/lib/systemd/systemd")
HOST = Path("/")
SHOWN = "/opt/keycensus-test"
BOOT_SECONDS = 60.0
END_SECONDS = 30.0

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_PROJECTS = ("protos", "agent", "collector", "client")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Into a cgroup of its own first, so that the namespace that follows has it as its root.
_OUTER = """
set -eu
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$WORK/cgroup"
mkdir "$WORK/cgroup/$NAME"
echo $$ > "$WORK/cgroup/$NAME/cgroup.procs"
umount "$WORK/cgroup"
exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child sh -c "$INNER" sh "$@"
"""

# Its own, and what tests that were killed have left.
_REMOVE_CGROUPS = """
set -eu
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$WORK/cgroup"
for each in "$WORK"/cgroup/keycensus-test-*; do
    rest=${each##*/keycensus-test-}
    if [ "${each##*/}" = "$NAME" ] || { [ -d "$each" ] && [ ! -d "/proc/${rest%%-*}" ]; }; then
        find "$each" -depth -type d -exec rmdir {} +
    fi
done
"""

_INNER = """
set -eu
umask 022
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$WORK/memory"
cd "$WORK/memory"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root
mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs -o mode=0755 tmpfs "$each"; done
chmod 1777 tmp
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
for each in null zero full random urandom tty; do
    : > "dev/$each"
    mount --bind "/dev/$each" "dev/$each"
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

# Of this machine's own services none is started: only the journal. In another system its packages' are.
enabled=etc/systemd/system/timers.target.wants
[ "$BASE" != / ] || enabled=etc/systemd/system
find usr/lib/systemd/system "$enabled" -maxdepth 1 -name '*.wants' -exec rm -rf {} +
mkdir usr/lib/systemd/system/sysinit.target.wants
ln -s ../systemd-journald.service usr/lib/systemd/system/sysinit.target.wants/

mkdir opt/keycensus-test
for each; do
    mkdir "opt/keycensus-test/${each%%=*}"
    mount --bind -o ro "${each#*=}" "opt/keycensus-test/${each%%=*}"
done
cp -a "$WORK/installed/." .
echo keycensus-test > etc/hostname
# This Python's shared library, if it has one, may have been built to lie where only root comes.
echo /opt/keycensus-test/python/lib > etc/ld.so.conf.d/00-keycensus-test.conf
ldconfig -r .
mkdir old
pivot_root . old
cd /
umount -l /old
exec env -i container=keycensus PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
    setpriv --bounding-set -sys_module,-sys_time,-sys_rawio "$SYSTEMD" --system --unit=basic.target
"""


class Machine:
    """A booted machine; `run` runs commands in it as root."""

    def __init__(
        self, directory: Path, base: Path = HOST, shown: Mapping[str, Path] | None = None
    ) -> None:
        self._directory = directory
        self._base = base
        self._shown = shown or {}
        self.name = f"keycensus-test-{os.getpid()}-{time.monotonic_ns()}"
        self._process: subprocess.Popen[bytes] | None = None
        self.init = 0

    @classmethod
    @contextlib.contextmanager
    def booted(
        cls, directory: Path, base: Path = HOST, shown: Mapping[str, Path] | None = None
    ) -> Iterator[Self]:
        """Boot a machine, and end it with all that runs in it; `directory` is for its files.

        It sees what `base` holds, and changes nothing of it. Of this machine it also sees the
        directories of `shown`, read-only and without what is mounted below, by their names in SHOWN.
        """
        machine = cls(directory, base, shown)
        try:
            machine._boot()
            yield machine
        finally:
            machine._end()

    def run(
        self, *command: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine to its end, as root."""
        done = subprocess.run(
            self.command_line(*command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if check and done.returncode != 0:
            told = f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
            raise AssertionError(f"{told}\n{self.journal()}")
        return done

    @contextlib.contextmanager
    def start(self, *command: str) -> Iterator[IO[str]]:
        """Run a command in the machine, as root, for the time of the block; yield its output.

        Its standard input ends with the block, and so should it.
        """
        process = subprocess.Popen(
            self.command_line(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.communicate(timeout=30)

    def command_line(self, *command: str) -> list[str]:
        """Return the words by which a command is run in the machine from outside."""
        enter = ["nsenter", "--target", str(self.init), "--all", "--", "env", "-i"]
        return [*enter, "LC_ALL=C.UTF-8", f"PATH={_PATH}", "HOME=/root", *command]

    def path(self, path: str) -> Path:
        """Return where a path of the machine is for the test, to be read and written as root."""
        return Path(f"/proc/{self.init}/root", path.lstrip("/"))

    def write(self, path: str, content: str, *, mode: int = 0o644) -> None:
        """Write a file of root's, and the directories above it (0755)."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(content)
        file.chmod(mode)

    def journal(self, unit: str = "") -> str:
        """Return what was logged, by a unit or by all."""
        self.run("journalctl", "--sync", check=False)
        only = ("--unit", unit, "--output", "cat") if unit else ()
        return self.run("journalctl", "--no-pager", "--quiet", *only, check=False).stdout

    def _boot(self) -> None:
        for name in ("cgroup", "memory"):
            (self._directory / name).mkdir()
        (self._directory / "installed").mkdir()
        bound = dict(self._shown)
        if self._base == HOST:
            self._stage(self._directory / "installed")
            bound |= {
                "python": Path(sys.base_prefix),
                "packages": Path(sysconfig.get_path("purelib")),
                "packaging": CHECKOUT / "packaging",
                **{project: CHECKOUT / project / "src" for project in _PROJECTS},
            }
        with (self._directory / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                # Killed with this process, and its child, PID 1 of the machine, with it.
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", _OUTER, "sh"]
                + [f"{name}={path}" for name, path in bound.items()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment() | {"INNER": _INNER, "SYSTEMD": str(SYSTEMD)},
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._is_up():
            told = (self._directory / "boot.log").read_text()
            assert self._process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)

    def _is_up(self) -> bool:
        """Whether PID 1 is systemd by now, and has started what it starts by itself."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        if not children or children[0].name() != "systemd":
            return False
        self.init = children[0].pid
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def _end(self) -> None:
        if self._process is not None:
            # Its child, the machine's PID 1, dies with it, and everything else with that.
            children: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(self._process.pid).children()
            self._process.kill()
            self._process.wait()
            psutil.wait_procs(children, timeout=END_SECONDS)
        subprocess.run(
            ["unshare", "--mount", "sh", "-c", _REMOVE_CGROUPS], env=self._environment(), check=True
        )

    def _environment(self) -> dict[str, str]:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        work = {"WORK": str(self._directory), "NAME": self.name, "BASE": str(self._base)}
        return {"PATH": path, **work}

    def _stage(self, root: Path) -> None:
        """Lay out the programs as a package would."""
        environment, packages = root / "opt/keycensus", f"lib/{_PYTHON}/site-packages"
        for directory in (environment / "bin", environment / packages, root / "usr/bin"):
            directory.mkdir(parents=True)
        (environment / "pyvenv.cfg").write_text(f"home = {SHOWN}/python/bin\n")
        (environment / "bin/python").symlink_to(f"{SHOWN}/python/bin/{_PYTHON}")
        paths = [f"{SHOWN}/{name}\n" for name in ("packages", *_PROJECTS)]
        (environment / packages / "keycensus.pth").write_text("".join(paths))
        for name, entry in programs().items():
            module, _, function = entry.partition(":")
            script = environment / "bin" / name
            script.write_text(
                f"#!/opt/keycensus/bin/python\nimport sys\nfrom {module} import {function}\n"
                f"sys.exit({function}())\n"
            )
            script.chmod(0o755)
            (root / "usr/bin" / name).symlink_to(f"/opt/keycensus/bin/{name}")


def programs() -> dict[str, str]:
    """Return the programs that our distributions install, each with its "module:function"."""
    return {
        name: entry
        for project in _PROJECTS
        for name, entry in tomllib.loads((CHECKOUT / project / "pyproject.toml").read_text())[
            "project"
        ]
        .get("scripts", {})
        .items()
    }
