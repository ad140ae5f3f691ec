"""The collector's configuration: one TOML file, checked as a whole before anything starts.

The file belongs to the operator and is trusted; it is checked so that a mistake is found by
`init`, `doctor` or `serve` and not at night. All mistakes are told together, each with its file,
its key and what would be right.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from keycensus_collector.access.syslog_target import Target, target_of
from keycensus_collector.config_reader import Reader, absolute_path, one_of
from keycensus_collector.errors import ConfigurationError
from keycensus_collector.oidc.settings import SignIn, provider_sections, read_sign_in
from keycensus_collector.store.address import CACHE_MIB, is_postgresql
from keycensus_collector.text import safe_text

DEFAULT_FILE = Path("/etc/keycensus/collector.toml")
DEFAULT_STATE = Path("/var/lib/keycensus-collector")
DATABASE_FILE = "keycensus.db"

_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "json", "console")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; an empty host means every interface, port 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listen:
    """The three ports: server TLS for joining, mutual TLS for reports, HTTPS for people."""

    enrol: Address = Address("", 8441)
    report: Address = Address("", 8440)
    web: Address = Address("", 8443)


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """How much one agent, and all together, may have under way."""

    streams: int = 12_000
    streams_per_second: int = 100
    memory_mib: int = 0
    batch_credit: int = 4
    heartbeat_seconds: int = 900
    linger_seconds: int = 60
    messages_per_second: int = 500
    batches_per_second: int = 10
    rows_per_second: int = 2_500
    rows_per_day: int = 20_000_000
    rows_per_host: int = 1_000_000
    blob_mib_per_day: int = 8192


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged and how."""

    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class Audit:
    """Where the audit log is sent besides; None: nowhere."""

    syslog: Target | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """Where revocation lists lie that the collector looks at."""

    files: tuple[Path, ...] = ()
    directories: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that `collector.toml` says, with defaults filled in."""

    state_directory: Path = DEFAULT_STATE
    database_url: str = f"sqlite:///{DEFAULT_STATE / DATABASE_FILE}"
    cache_mib: int = CACHE_MIB
    listen: Listen = field(default_factory=Listen)
    names: tuple[str, ...] = ()
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    log: Log = field(default_factory=Log)
    audit: Audit = field(default_factory=Audit)
    sign_in: SignIn = field(default_factory=SignIn)
    revocation: Revocation = field(default_factory=Revocation)


def load(path: Path) -> Configuration:
    """Read and check the file at `path`; ConfigurationError holds every mistake, a line each."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is not there; run: keycensus-collector init, or name the file with --config"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not UTF-8 text; TOML files are UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Configuration:
    """Check the text of a configuration file; `source` names it in mistakes."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: not valid TOML: {safe_text(str(error))}") from None
    providers = document.pop("oidc", {})
    reader = Reader(source, document | provider_sections(providers))
    state = reader.take("state", "directory", absolute_path, DEFAULT_STATE)
    listen, log = Listen(), Log()
    web = reader.take("listen", "web", _address, listen.web)
    no_names: tuple[str, ...] = ()
    names = reader.take("names", "public", _names, no_names)
    configuration = Configuration(
        state_directory=state,
        database_url=reader.take(
            "database", "url", check_database_url, f"sqlite:///{state / DATABASE_FILE}"
        ),
        cache_mib=reader.take("database", "cache_mib", _count(1, 1 << 20), CACHE_MIB),
        listen=Listen(
            enrol=reader.take("listen", "enrol", _address, listen.enrol),
            report=reader.take("listen", "report", _address, listen.report),
            web=web,
        ),
        names=names,
        limits=_limits(reader),
        log=Log(
            level=reader.take("log", "level", one_of(LOG_LEVELS), log.level),
            format=reader.take("log", "format", one_of(LOG_FORMATS), log.format),
        ),
        audit=Audit(reader.take("audit", "syslog", target_of, None)),
        sign_in=read_sign_in(reader, providers, default_url=_default_url(names, web)),
        revocation=Revocation(
            files=reader.take("revocation", "files", _absolute_paths, ()),
            directories=reader.take("revocation", "directories", _absolute_paths, ()),
        ),
    )
    reader.finish()
    return configuration


def enrol_address(configuration: Configuration) -> str:
    """Return "HOST:PORT" at which hosts join, as they are told it; "" if no name is configured."""
    names = configuration.names
    return str(Address(names[0], configuration.listen.enrol.port)) if names else ""


def people_url(configuration: Configuration) -> str:
    """Return the address of people's port, without a path, as people are told it."""
    return configuration.sign_in.url or _default_url(configuration.names, configuration.listen.web)


def _default_url(names: tuple[str, ...], web: Address) -> str:
    return f"https://{Address(names[0], web.port)}" if names else ""


def _limits(reader: Reader) -> IntakeLimits:
    limits = IntakeLimits()
    return IntakeLimits(
        streams=reader.take("limits", "streams", _count(1, 100_000), limits.streams),
        streams_per_second=reader.take(
            "limits", "streams_per_second", _count(1, 100_000), limits.streams_per_second
        ),
        memory_mib=reader.take("limits", "memory_mib", _count(0, 1 << 24), limits.memory_mib),
        batch_credit=reader.take("limits", "batch_credit", _count(1, 64), limits.batch_credit),
        heartbeat_seconds=reader.take(
            "limits", "heartbeat_seconds", _count(10, 3600), limits.heartbeat_seconds
        ),
        linger_seconds=reader.take(
            "limits", "linger_seconds", _count(1, 3600), limits.linger_seconds
        ),
        messages_per_second=reader.take(
            "limits", "messages_per_second", _count(10, 1_000_000), limits.messages_per_second
        ),
        batches_per_second=reader.take(
            "limits", "batches_per_second", _count(1, 100_000), limits.batches_per_second
        ),
        rows_per_second=reader.take(
            "limits", "rows_per_second", _count(100, 10_000_000), limits.rows_per_second
        ),
        rows_per_day=reader.take(
            "limits", "rows_per_day", _count(1_000, 10_000_000_000), limits.rows_per_day
        ),
        rows_per_host=reader.take(
            "limits", "rows_per_host", _count(100, 100_000_000), limits.rows_per_host
        ),
        blob_mib_per_day=reader.take(
            "limits", "blob_mib_per_day", _count(1, 10_000_000), limits.blob_mib_per_day
        ),
    )


def parse_address(value: str) -> Address:
    """Read "HOST:PORT", "[IPv6]:PORT" or ":PORT"; ValueError says what would be right."""
    host, separator, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        separator = ""
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(
            f'{value!r} is no address; write "HOST:PORT", or ":PORT" for every interface'
        )
    if host:
        check_name(host)
    return Address(host, int(port))


def check_name(value: str) -> str:
    """Return `value` if it is a DNS name or an IP address; ValueError says what would be right."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    if not _DNS_NAME.match(value):
        raise ValueError(f"{value!r} is neither a DNS name nor an IP address")
    return value


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError('write an address as text, "HOST:PORT" or ":PORT"')  # noqa: TRY004 - told
    return parse_address(value)


def _absolute_paths(value: object) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise ValueError('write a list of paths, as in ["/srv/crl/company.crl"]')  # noqa: TRY004 - told
    return tuple(map(absolute_path, value))


def check_database_url(value: object) -> str:
    """Return the address of a database; ValueError says what would be right."""
    if isinstance(value, str) and is_postgresql(value):
        # Here, because its driver takes as long to load as a command does to run.
        from keycensus_collector.store.postgresql import check_address

        check_address(value)
    elif not isinstance(value, str) or not value.startswith("sqlite:////"):
        raise ValueError('write "sqlite:////absolute/path" or "postgresql://USER@HOST/DATABASE"')
    return value


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError('write a list of names, as in ["collector.example.com"]')
    return tuple(check_name(name) for name in value)


def _count(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return value

    return check
