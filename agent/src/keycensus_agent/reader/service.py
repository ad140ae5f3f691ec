"""The reader put together: one state, sweeps into it, conversations out of it.

`run --once` and the daemon both use it; only they decide when. Runs in the reader process.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from keycensus_agent.config import Config
from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.errors import ConfigurationError, LinkError
from keycensus_agent.host_facts import HostFacts, boot_id, gather
from keycensus_agent.isolation.evidence import Enforced, facts_of
from keycensus_agent.link_start import LinkStart
from keycensus_agent.model import Coverage, Gap
from keycensus_agent.reader.convert import encode_host_facts
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.links import Resolver
from keycensus_agent.reader.discovery.mounts import (
    MountTable,
    Territory,
    parent_of,
    territory,
)
from keycensus_agent.reader.discovery.walk import walk
from keycensus_agent.reader.division import recall_division
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.inspect import Inspector
from keycensus_agent.reader.launcher import Launcher
from keycensus_agent.reader.link_client import Connection, LinkClient
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.passwords import candidate_passwords
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.report.blobs import collect_blobs
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.reconcile import suspect
from keycensus_agent.reader.report.sync import Circumstances, Conversation, Outcome
from keycensus_agent.reader.report.untaken import (
    count_refused,
    recall_long_artifacts,
    remember_long_artifacts,
)
from keycensus_agent.reader.same_bytes import SameBytes
from keycensus_agent.reader.scout import Scout, Task
from keycensus_agent.reader.state import State
from keycensus_agent.reader.state_file import database_errors
from keycensus_agent.reader.surroundings import Surroundings
from keycensus_agent.reader.sweep import Sweep
from keycensus_agent.text import safe_path

# Grows when formats learn to see more: everything is then read once more, as cause "parser".
PARSER_EPOCH = 2


@dataclass(frozen=True, slots=True)
class SweepResult:
    """One sweep in numbers. Seconds are wall-clock and CPU of the reader and its children."""

    complete: bool
    coverage: Coverage
    changes: int
    seconds: float
    cpu_seconds: float


def now_ms() -> int:
    """Return milliseconds since the epoch by this host's clock."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class ReaderService:
    """Sweeps into a state and conversations out of it."""

    config: Config
    state: State
    should_stop: Callable[[], bool] = lambda: False
    # Starts links for a process that has given up the network; None for one that has not.
    launcher: Launcher | None = None
    # What holds each of the agent's processes, as last seen while it ran.
    enforced: dict[str, Enforced] = field(default_factory=dict)
    outbox: Outbox = field(init=False)
    # Whether a full sweep ended in this process: what the state says was seen, not brought back.
    _swept: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.state, cap_bytes=self.config.state.max_outbox_mib * 1024 * 1024)
        if self.state.suspicious:
            suspect(self.state)

    # --- sweeping -----------------------------------------------------------------------------

    def sweep(
        self, pause: Callable[[], None] = lambda: None, *, parallel: bool = False
    ) -> SweepResult:
        """Sweep the configured roots once; `pause` is called where it may wait.

        `parallel` lists on a second core, where the disk was seen whole before.

        Raises StorageError for trouble of the state; trouble of the host is in the coverage.
        """
        started, cpu_before = time.monotonic(), cpu_seconds()
        with database_errors(), self._sweep() as (sweep, findings):
            scout = self._scout() if parallel else None
            try:
                for _ in sweep.run(list(self.config.scan.roots), scout):
                    if self.outbox.wants_a_look:
                        with self.state.transaction():
                            self.outbox.enforce_cap()
                    pause()
            finally:
                if scout is not None:
                    scout.close()
            with self.state.transaction() as connection:
                self.outbox.enforce_cap()
                if findings.changed and sweep.complete:
                    collect_blobs(connection)
                    remember_long_artifacts(self.state)
                if sweep.complete:
                    self.state.put_number("parser_epoch", PARSER_EPOCH)
                    self.state.put("root", os.path.realpath(self.config.scan.root))
                    self.state.put("counters", json.dumps(sweep.coverage.counters).encode())
            self._swept = self._swept or sweep.complete
            return SweepResult(
                complete=sweep.complete,
                coverage=sweep.coverage,
                changes=findings.changed,
                seconds=time.monotonic() - started,
                cpu_seconds=cpu_seconds() - cpu_before,
            )

    def _scout(self) -> Scout | None:
        """Start a scout if there is a core for it and a division of the disk to go by."""
        scan = self.config.scan
        if scan.root != b"/" or (os.cpu_count() or 1) < 2:
            return None
        mounts = MountTable.read()
        stored_epoch = self.state.get_number("parser_epoch")
        if not self.state.complete or mounts.has_remote or stored_epoch != PARSER_EPOCH:
            return None
        exclude = self._exclude()
        above = tuple(root.rstrip(b"/") + b"/" for root in scan.roots)
        roots = tuple(
            root
            for root in recall_division(self.state)
            if root.startswith(above) and _is_entered(root, mounts, exclude)
        )
        if not roots:
            return None
        return Scout(
            Task(
                roots=roots,
                exclude=tuple(os.fsdecode(pattern) for pattern in scan.exclude),
                own=tuple(self._own_directories()),
                network=scan.network_file_systems,
            )
        )

    @contextmanager
    def _sweep(self) -> Iterator[tuple[Sweep, Findings]]:
        scan = self.config.scan
        mounts = MountTable.read(os.path.realpath(scan.root))
        exclude = self._exclude()

        def walk_from(roots: list[bytes]) -> Iterator[Directory | Gap]:
            return walk(
                roots,
                root=scan.root,
                exclude=exclude,
                mounts=mounts,
                network=scan.network_file_systems,
            )

        findings = Findings(self.state, self.outbox, now_ms)
        passwords = candidate_passwords(scan.password_file, try_defaults=scan.try_default_passwords)
        root_fd = _open_root(scan.root)
        builder = PlaceBuilder(root=scan.root, salt=self._salt())
        try:
            # With details: what a place is for is judged by its certificates, as `scan` does.
            with ParserClient(passwords=passwords, details=True) as parser:
                resolver = Resolver(root_fd, mounts, network=scan.network_file_systems)
                links = LinkPlaces(
                    self.state,
                    findings,
                    resolver,
                    builder,
                    plain_stat=scan.root == b"/" and not mounts.has_remote,
                )
                stored_epoch = self.state.get_number("parser_epoch")
                sweep = Sweep(
                    self.state,
                    findings,
                    lambda sink, coverage: Inspector(
                        SameBytes(parser, passwords),
                        sink,
                        coverage,
                        is_known=lambda path: findings.at(path) is not None,
                    ),
                    links,
                    Surroundings(
                        walk_from=walk_from,
                        reread_mounts=lambda: MountTable.read(os.path.realpath(scan.root)),
                        root=os.path.realpath(scan.root),
                        builder=builder,
                        databases=PackageDatabases(resolver),
                        now_ns=time.time_ns,
                        sleep=time.sleep,
                        should_stop=self.should_stop,
                    ),
                    reread=stored_epoch not in (0, PARSER_EPOCH),
                )
                yield sweep, findings
                self.saw("parser", parser.enforced)
        finally:
            os.close(root_fd)

    def saw(self, process: str, enforced: Enforced | None) -> None:
        """Note what held one of the agent's processes, if it could be seen."""
        if enforced is not None:
            self.enforced[process] = enforced

    def _exclude(self) -> Exclude:
        patterns = tuple(os.fsdecode(pattern) for pattern in self.config.scan.exclude)
        return Exclude(patterns, own=self._own_directories())

    def _own_directories(self) -> frozenset[bytes]:
        """Return state and identity as paths within the scanned root; the walk stays out of them."""
        root = os.path.realpath(self.config.scan.root).rstrip(b"/")
        directories = (self.config.state.directory, self.config.identity_directory)
        own = [os.fsencode(os.path.realpath(directory)) for directory in directories]
        return frozenset(path[len(root) :] for path in own if path.startswith(root + b"/"))

    def _salt(self) -> bytes:
        """Return what device and inode are hashed with; random, so that it says nothing outside."""
        salt = self.state.get("salt")
        if not salt:
            salt = os.urandom(16)
            self.state.put("salt", salt)
        return salt

    # --- reporting ----------------------------------------------------------------------------

    def host_facts(self) -> HostFacts:
        """Gather what the host says of itself now."""
        return gather(
            self.config.scan.root,
            self.config.labels,
            self.config.scan.roots,
            isolation=facts_of(self.enforced.get("reader")),
        )

    def counters(self) -> dict[str, int]:
        """Numbers of the last whole sweep and of the outbox."""
        numbers: dict[str, int] = json.loads(self.state.get("counters") or b"{}")
        numbers["outbox"] = self.outbox.count()
        numbers["outbox-dropped"] = self.state.get_number("outbox_dropped")
        numbers["outbox-unlisted"] = self.state.get_number("outbox_unlisted")
        numbers["not-supplied"] = self.state.get_number("not_supplied")
        numbers["refused"] = count_refused(self.state)
        numbers["too-long"] = recall_long_artifacts(self.state)["count"]
        return numbers

    @property
    def enrolled(self) -> bool:
        """Whether there may be an identity to speak with."""
        if self.config.link.socket is not None:
            # The identity is the link's alone then, and it says itself if there is none.
            return True
        return (self.config.identity_directory / "identity.json").exists()

    def converse(self) -> Outcome:
        """Report what there is to report; the outcome says how it went, it does not raise for it."""
        if not self.enrolled and self.config.collector.token_file is None:
            return Outcome(
                "not-enrolled",
                "this host is not enrolled: run 'keycensus-agent enrol --collector HOST:PORT "
                "--token-file FILE'. What was found waits until then.",
            )
        with database_errors():
            circumstances = Circumstances(
                host_facts=encode_host_facts(self.host_facts()),
                boot_id=boot_id(),
                counters=self.counters(),
                now_ms=now_ms,
                swept=self._swept,
                fraction=random.random(),  # noqa: S311 - spreads a fleet, hides nothing
            )
            try:
                outcome = self._converse_once(circumstances)
                if outcome.start_over:
                    outcome = self._converse_once(circumstances)
            except (LinkError, OSError) as error:
                return Outcome("unreachable", f"the link can't be started: {error}")
        return outcome

    def _converse_once(self, circumstances: Circumstances) -> Outcome:
        connection = self._open_link()
        try:
            return Conversation(
                self.state, self.outbox, connection, circumstances, self.should_stop
            ).converse()
        finally:
            self.saw("link", connection.enforced)
            connection.close()

    def _open_link(self) -> Connection:
        config = self.config
        if config.link.socket is not None:
            return LinkClient.connect(config.link.socket)
        if self.launcher is not None:
            return self.launcher.open()
        return LinkClient.spawn(LinkStart.of(config))


def _open_root(root: bytes) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(
            f"the directory to scan, {safe_path(root)}, can't be opened: {error.strerror}. "
            "Correct [scan] root in the configuration."
        ) from error


def _is_entered(root: bytes, mounts: MountTable, exclude: Exclude) -> bool:
    """Whether the walk reaches a directory from directory to directory.

    Not what lies under a pseudo file system, which is walked apart, nor under an exclude.
    """
    path = root
    while path != b"/":
        if territory(mounts.at(path).type) is not Territory.LOCAL or path in exclude.own:
            return False
        if exclude.reason(path, path.rpartition(b"/")[2]):
            return False
        path = parent_of(path)
    return True


def cpu_seconds() -> float:
    """Return CPU seconds of this process and of its ended children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
