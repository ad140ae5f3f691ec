"""What starts a tool by itself: systemd's timers and services that are enabled, and cron. Nothing is asked to run.

Runs in the reader. Sources: systemd.timer(5), crontab(5), cron(8) and run-parts(8) as Debian, Red Hat (cronie, anacron)
and Alpine (busybox) have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units, logical_lines

# What is looked for in a line may be looked for at each of its words.
_LINE_LIMIT = 2048
_CRON_LIMIT = 256 * 1024
_TABLES = ("/etc/crontab", "/etc/anacrontab")
_DIRECTORIES = ("/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron", "/etc/crontabs")
_SCRIPTS = (
    *("/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"),
    *("/etc/periodic/15min", "/etc/periodic/hourly", "/etc/periodic/daily", "/etc/periodic/weekly"),
)
_DAEMONS = (
    "/usr/sbin/cron",
    "/usr/sbin/crond",
    "/usr/sbin/fcron",
    "/usr/bin/busybox",
    "/bin/busybox",
)
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
# What Debian's packages write before a command that a timer of theirs has replaced.
_ONLY_WITHOUT_SYSTEMD = re.compile(r"! *-d */run/systemd/system")
_DOCKER = "/var/lib/docker/containers/*/config.v2.json"
_DOCKER_IMAGE = re.compile(r'"Image":"(?!sha256:)([^"]+)"')
_QUADLETS = "/etc/containers/systemd/*.container"
_QUADLET_IMAGE = re.compile(r"^Image=(.*)$", re.MULTILINE)
# run-parts(8): other names are not run.
_RUN_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


class Schedules:
    """What of a root starts by itself."""

    def __init__(self, sources: Sources, units: Units) -> None:
        self._sources = sources
        self._units = units
        self._found: dict[re.Pattern[str], str] = {}

    def of(self, command: re.Pattern[str]) -> str:
        """Return the timer, or file of cron, that runs such a command; "" if nothing does."""
        if command not in self._found:
            self._found[command] = self._look_for(command)
        return self._found[command]

    def _look_for(self, command: re.Pattern[str]) -> str:
        for timer, commands in self._timers.items():
            if any(command.search(line) for line in commands):
                return timer
        for path, lines in self._cron.items():
            if any(command.search(line) for line in lines):
                return path
        return ""

    def daemon(self, *services: str) -> str:
        """Return the first of some services that is started with the system; "" if none is."""
        return next(filter(self._units.is_enabled, services), "")

    def container(self, image: str) -> str:
        """Return a container of Docker or Podman that runs such an image; "" if none is known.

        Docker's own record of a container says whether it runs; a unit of Podman's (podman-systemd.unit(5))
        is started if it says what wants it.
        """
        for path in self._sources.glob(_DOCKER):
            text = self._sources.text(path) or ""
            if '"Running":true' in text and image in _image_of(text):
                return f"container {path.split('/')[-2][:12]}"
        for path in self._sources.glob(_QUADLETS):
            text = self._sources.text(path, _CRON_LIMIT) or ""
            if image in "".join(_QUADLET_IMAGE.findall(text)) and "WantedBy" in text:
                return path.rpartition("/")[2].removesuffix(".container") + ".service"
        return ""

    @cached_property
    def _timers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for timer in self._units.names(".timer"):
            if not self._units.is_enabled(timer):
                continue
            named = self._units.values(timer, "Timer", "Unit")
            stem = timer.removesuffix(".timer")
            service = named[-1].value if named else f"{stem}.service"
            commands = [" ".join(line)[:_LINE_LIMIT] for line in self._units.commands(service)]
            found[timer] = [*commands, *self._scripts_of(commands)]
        return found

    def _scripts_of(self, commands: list[str]) -> Iterator[str]:
        """Yield what short scripts say that are run instead of the tool itself."""
        for line in commands:
            program = line.partition(" ")[0]
            if program.endswith(".sh") or program.startswith(("/usr/local/", "/opt/", "/root/")):
                text = self._sources.text(program, _CRON_LIMIT) or ""
                if text.startswith("#!"):
                    yield from _statements(text)

    @cached_property
    def _cron(self) -> dict[str, list[str]]:
        if self._sources.first(_DAEMONS) == "":
            return {}
        has_systemd = self._sources.first(_SYSTEMD) != ""
        found: dict[str, list[str]] = {}
        for path in self._cron_files():
            found[path] = [
                line
                for line in _statements(self._sources.text(path, _CRON_LIMIT) or "")
                if not (has_systemd and _ONLY_WITHOUT_SYSTEMD.search(line.replace("\\", "")))
            ]
        return found

    def _cron_files(self) -> Iterator[str]:
        yield from _TABLES
        for directory in _DIRECTORIES:
            for name in self._sources.names(directory):
                if not name.startswith(".") and not name.endswith("~"):
                    yield f"{directory}/{name}"
        for directory in _SCRIPTS:
            for name in self._sources.names(directory):
                if _RUN_NAME.match(name):
                    yield f"{directory}/{name}"


def _image_of(text: str) -> str:
    match = _DOCKER_IMAGE.search(text)
    return match[1] if match else ""


def _statements(text: str) -> Iterator[str]:
    yield from (line[:_LINE_LIMIT] for _, line in logical_lines(text))
