"""The agent's configuration: `/etc/keycensus/agent.toml`, and `agent.d/*.toml` over it.

Read by the reader and by commands, never by the parser; the link gets what it needs as arguments.
Files that others could write are refused, because who writes them decides what is searched and where
findings go. All mistakes are found in one pass and told together.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keycensus_agent.config_keys import KEYS, Value, check_labels, nearest
from keycensus_agent.errors import ConfigurationError
from keycensus_agent.text import safe_path, safe_text

DEFAULT_FILE = Path("/etc/keycensus/agent.toml")
DROP_IN_DIRECTORY = "agent.d"
DEFAULT_STATE_DIRECTORY = Path("/var/lib/keycensus-agent")

# No configuration of ours comes near it; a bigger file is another one by mistake.
_FILE_LIMIT = 1 << 20
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """What is searched. Paths and globs are bytes, within `root`."""

    roots: tuple[bytes, ...] = (b"/",)
    root: bytes = b"/"
    exclude: tuple[bytes, ...] = ()
    network_file_systems: bool = False
    password_file: Path | None = None
    try_default_passwords: bool = False


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where the agent keeps its state, and how much of it may wait for a collector (MiB)."""

    directory: Path = DEFAULT_STATE_DIRECTORY
    max_outbox_mib: int = 64


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """`address`: "host:port" for reports instead of the one learned at enrolment, empty for none.

    `proxy`: "http://host:port", "none", or empty for what the environment says. `enrol_address`
    ("host:port") and `token_file`: where a machine without an identity of its own enrols by itself.
    """

    address: str = ""
    proxy: str = ""
    enrol_address: str = ""
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """`socket`: where a link answers that systemd starts; None: the reader starts its own.

    `identity`: the directory of key and certificate; None: below the state directory.
    """

    socket: Path | None = None
    identity: Path | None = None


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Timer sweeps: seconds between, longest random delay of the first, share of one core."""

    interval_seconds: int = 3600
    start_delay_seconds: int = 60
    cpu_share: float = 0.10


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """Who uses what is found. `probe`: ask own TLS listeners what they present.

    `probe_all`: also those that no configuration and no known port calls TLS; `probe_seconds`: between
    two times that one is asked. `processes`: see which processes have places open, which takes
    CAP_SYS_PTRACE.
    """

    probe: bool = True
    probe_all: bool = False
    probe_seconds: int = 3600
    processes: bool = False


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`format` is "auto", "json" or "console"; `level` "debug", "info", "warning" or "error"."""

    format: str = "auto"
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration. `files` are those that were read, in order."""

    scan: ScanSettings = field(default_factory=ScanSettings)
    state: StateSettings = field(default_factory=StateSettings)
    collector: CollectorSettings = field(default_factory=CollectorSettings)
    link: LinkSettings = field(default_factory=LinkSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    log: LogSettings = field(default_factory=LogSettings)
    labels: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def state_database(self) -> Path:
        """The reader's database."""
        return self.state.directory / "state" / "state.db"

    @property
    def identity_directory(self) -> Path:
        """The link's directory: key, certificate, trust."""
        return self.link.identity or self.state.directory / "identity"


@dataclass(frozen=True, slots=True)
class _Mistake:
    file: Path
    key: str
    text: str

    def __str__(self) -> str:
        place = safe_path(os.fsencode(self.file))
        return (
            f"{place}: {safe_text(self.key)}: {self.text}" if self.key else f"{place}: {self.text}"
        )


def load_config(path: Path | None, *, state_directory: Path | None = None) -> Config:
    """Return the configuration of `path`, or of /etc/keycensus, with `agent.d/*.toml` beside it.

    Without `path` a missing file means the defaults; a `path` that is missing is a mistake.
    `state_directory`, from the command line, wins over every file, and its identity over that of
    [link], whose socket is not used then: what was started apart must not speak as this host's
    service. ConfigurationError lists all mistakes, a line each: file, key, and what would be right.
    """
    mistakes: list[_Mistake] = []
    files = _existing_files(path, mistakes)
    sections: dict[str, dict[str, Value]] = {name: {} for name in KEYS}
    labels: dict[str, str] = {}
    for file in files:
        document = _read_document(file, mistakes)
        _merge(file, document, sections, labels, mistakes)
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise ConfigurationError(f"the configuration has {count}; nothing was started\n{lines}")
    if state_directory is not None:
        sections["state"]["directory"] = state_directory.absolute()
        sections["link"] = {}
    return _build(sections, labels, files)


def _build(
    sections: Mapping[str, Mapping[str, Value]], labels: Mapping[str, str], files: Iterable[Path]
) -> Config:
    # The table of keys has checked every type; `replace` refuses a name that is no field.
    base = Config()
    return Config(
        scan=dataclasses.replace(base.scan, **sections["scan"]),  # type: ignore[arg-type]
        state=dataclasses.replace(base.state, **sections["state"]),  # type: ignore[arg-type]
        collector=dataclasses.replace(base.collector, **sections["collector"]),  # type: ignore[arg-type]
        link=dataclasses.replace(base.link, **sections["link"]),  # type: ignore[arg-type]
        sweep=dataclasses.replace(base.sweep, **sections["sweep"]),  # type: ignore[arg-type]
        context=dataclasses.replace(base.context, **sections["context"]),  # type: ignore[arg-type]
        log=dataclasses.replace(base.log, **sections["log"]),  # type: ignore[arg-type]
        labels=dict(labels),
        files=tuple(files),
    )


def _existing_files(path: Path | None, mistakes: list[_Mistake]) -> list[Path]:
    main = DEFAULT_FILE if path is None else path.absolute()
    found: list[Path] = []
    drop_ins = main.parent / DROP_IN_DIRECTORY
    try:
        if path is not None or main.exists():
            main.stat()
            found.append(main)
        if drop_ins.is_dir():
            found += sorted(drop_ins.glob("*.toml"))
    except OSError as error:
        mistakes.append(_Mistake(main, "", _os_text(error)))
    for directory in (main.parent, drop_ins):
        if directory.is_dir():
            _check_safe(directory, mistakes)
    return found


def _os_text(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file; name one that exists, or leave out --config for the defaults"
    return f"can't be read: {error.strerror}"


def _check_safe(path: Path, mistakes: list[_Mistake]) -> bool:
    """Add a mistake if someone but root and the caller could change `path`."""
    try:
        facts = path.stat()
    except OSError as error:
        mistakes.append(_Mistake(path, "", _os_text(error)))
        return False
    quoted = safe_path(os.fsencode(path))
    if facts.st_uid not in {0, os.geteuid()}:
        mistakes.append(
            _Mistake(
                path,
                "",
                f"belongs to user {facts.st_uid}, who could change what the agent does: "
                f"chown root {quoted}",
            )
        )
        return False
    # In a sticky directory (/tmp) others can't replace what is not theirs.
    sticky = stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX
    if facts.st_mode & _WRITABLE_BY_OTHERS and not sticky:
        mistakes.append(
            _Mistake(
                path,
                "",
                f"is writable by group or others (mode {stat.S_IMODE(facts.st_mode):04o}), who "
                f"could change what the agent does: chmod go-w {quoted}",
            )
        )
        return False
    return True


def _read_document(file: Path, mistakes: list[_Mistake]) -> dict[str, object]:
    if not _check_safe(file, mistakes):
        return {}
    try:
        if not file.is_file():
            mistakes.append(_Mistake(file, "", "is not a regular file"))
            return {}
        with file.open("rb") as opened:
            content = opened.read(_FILE_LIMIT + 1)
        if len(content) > _FILE_LIMIT:
            mistakes.append(_Mistake(file, "", "is over 1 MiB; that is no configuration"))
            return {}
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        mistakes.append(_Mistake(file, "", _os_text(error)))
    except UnicodeDecodeError as error:
        mistakes.append(_Mistake(file, "", f"is not UTF-8 at byte {error.start}; TOML must be"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        mistakes.append(_Mistake(file, "", f"is not valid TOML: {safe_text(str(error))}"))
    return {}


def _merge(
    file: Path,
    document: Mapping[str, object],
    sections: dict[str, dict[str, Value]],
    labels: dict[str, str],
    mistakes: list[_Mistake],
) -> None:
    for name, table in document.items():
        if name not in KEYS and name != "labels":
            meant = nearest(name, (*KEYS, "labels"))
            mistakes.append(_Mistake(file, f"[{name}]", f"there is no such section; {meant}"))
        elif not isinstance(table, dict):
            mistakes.append(
                _Mistake(file, name, f"must be a section: write [{name}] above its keys")
            )
        elif name == "labels":
            accepted, problems = check_labels(table)
            labels.update(accepted)
            mistakes += [_Mistake(file, f"[labels] {key}", text) for key, text in problems]
        else:
            _merge_section(file, name, table, sections[name], mistakes)


def _merge_section(
    file: Path,
    section: str,
    table: Mapping[str, object],
    values: dict[str, Value],
    mistakes: list[_Mistake],
) -> None:
    for key, value in table.items():
        check = KEYS[section].get(key)
        if check is None:
            text = f"there is no such key; {nearest(key, KEYS[section])}"
            mistakes.append(_Mistake(file, f"[{section}] {key}", text))
            continue
        try:
            values[key] = check(value)
        except ValueError as error:
            mistakes.append(_Mistake(file, f"[{section}] {key}", str(error)))
