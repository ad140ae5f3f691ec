"""The reader put together: one state, sweeps into it, conversations out of it.

`run --once` and the daemon both use it; only they decide when. Runs in the reader process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from keycensus_agent.config import Config
from keycensus_agent.context.other_networks import OtherNetwork
from keycensus_agent.errors import LinkError
from keycensus_agent.host_facts import HostFacts, boot_id, gather
from keycensus_agent.isolation.evidence import Enforced, facts_of
from keycensus_agent.link_start import LinkStart
from keycensus_agent.model import Coverage
from keycensus_agent.parser import PARSER_EPOCH
from keycensus_agent.reader.convert import encode_host_facts
from keycensus_agent.reader.equipment import Equipment, equipped, now_ms
from keycensus_agent.reader.ground import Ground
from keycensus_agent.reader.kept_parser import KeptParser
from keycensus_agent.reader.launcher import Launcher
from keycensus_agent.reader.link_client import Connection, LinkClient
from keycensus_agent.reader.look_around import LookAround, look_around_of
from keycensus_agent.reader.partial import PartialSweep, Parts
from keycensus_agent.reader.progress import resumable
from keycensus_agent.reader.report.blobs import collect_blobs
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.report.reconcile import suspect
from keycensus_agent.reader.report.sync import Circumstances, Conversation, Outcome
from keycensus_agent.reader.report.untaken import (
    count_refused,
    recall_long_artifacts,
    remember_long_artifacts,
)
from keycensus_agent.reader.state import State
from keycensus_agent.reader.state_file import database_errors
from keycensus_agent.reader.sweep import Sweep
from keycensus_agent.reader.watchdog import Watchdog
from keycensus_agent.text import safe_text


@dataclass(frozen=True, slots=True)
class SweepResult:
    """One sweep in numbers. Seconds are wall-clock and CPU of the reader and its children."""

    complete: bool
    coverage: Coverage
    changes: int
    seconds: float
    cpu_seconds: float
    # Who listens in network namespaces that are not the agent's, and was not asked.
    unasked: tuple[OtherNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One look at parts of the disk: directories whose listing was another one, changed rows."""

    changed: frozenset[bytes]
    changes: int
    cpu_seconds: float


# Between two conversations of which one was too short to ask all listeners.
LEAST_SECONDS = 5.0

log = structlog.get_logger()


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
    # It will report again by itself, so a service may be given time to be reloaded.
    patient: bool = False
    # Parsers of looks; whoever sets `keep_seconds` ends the one that is kept.
    parsers: KeptParser = field(default_factory=KeptParser)
    outbox: Outbox = field(init=False)
    _around: tuple[Config, LookAround] | None = field(default=None, init=False)
    # Tells where the disk does not answer, while it is looked at.
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(lambda _path, _seconds: None))
    # Whether a full sweep ended in this process: what the state says was seen, not brought back.
    _swept: bool = field(default=False, init=False)
    # A link that was started ahead of what it is to be told.
    _prepared: Connection | None = field(default=None, init=False)
    # How often parts of the disk were looked at, so that a sweep knows that it was not alone.
    looks: int = field(default=0, init=False)
    # How many such looks there are at this moment, one within the other.
    _looking: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.state, cap_bytes=self.config.state.max_outbox_mib * 1024 * 1024)
        if self.state.suspicious:
            suspect(self.state)

    @property
    def around(self) -> LookAround:
        """What looks around for who uses places, under the configuration in force."""
        if self._around is None or self._around[0] is not self.config:
            made = look_around_of(
                self.config, self.state, self.outbox, now_ms, patient=self.patient
            )
            self._around = self.config, made
        return self._around[1]

    # --- sweeping -----------------------------------------------------------------------------

    def sweep(
        self,
        pause: Callable[[], None] = lambda: None,
        *,
        go_on: bool = False,
    ) -> SweepResult:
        """Sweep the configured roots once; `pause` is called where it may wait.

        `go_on`: one that was broken off is gone on with, and this one can be.

        Raises StorageError for trouble of the state; trouble of the host is in the coverage.
        """
        started, cpu_before = time.monotonic(), cpu_seconds()
        config, state = self.config, self.state
        with (
            database_errors(),
            self.watchdog,
            equipped(
                config, state, self.outbox, self.should_stop, parsers=self.parsers
            ) as equipment,
        ):
            findings = equipment.findings
            sweep = self._new_sweep(equipment, go_on=go_on)
            looks = self.looks
            for _ in sweep.run(list(config.scan.roots)):
                self._enforce_cap()
                pause()
                if self.looks != looks:
                    looks = self.looks
                    sweep.disturbed()
            self.saw("parser", equipment.parser_enforced())
            unasked = self._unasked(sweep.coverage) if sweep.complete else ()
            with state.transaction() as connection:
                self.outbox.enforce_cap()
                if findings.changed and sweep.complete:
                    collect_blobs(connection)
                    remember_long_artifacts(state)
                if sweep.complete:
                    state.put_number("parser_epoch", PARSER_EPOCH)
                    state.put("root", os.path.realpath(config.scan.root))
                    state.put("counters", json.dumps(sweep.coverage.counters).encode())
            used = 0
            if sweep.complete:
                used = self.around.swept(equipment.ground.resolver, changes=findings.changed)
            self._swept = self._swept or sweep.complete
            return SweepResult(
                complete=sweep.complete,
                coverage=sweep.coverage,
                changes=findings.changed + used,
                seconds=time.monotonic() - started,
                cpu_seconds=cpu_seconds() - cpu_before,
                unasked=unasked,
            )

    def _unasked(self, coverage: Coverage) -> tuple[OtherNetwork, ...]:
        """Return who listens and can't be asked, counted in the coverage."""
        found = self.around.unasked()
        if found:
            coverage.count("networks-not-asked", len(found))
            coverage.count("listeners-not-asked", sum(len(each.listen) for each in found))
        return found

    def _new_sweep(self, equipment: Equipment, *, go_on: bool = False) -> Sweep:
        rules = self._rules() if go_on else ""
        return Sweep(
            self.state,
            equipment.findings,
            equipment.make_inspector,
            equipment.links,
            equipment.around,
            reread=self.state.get_number("parser_epoch") not in (0, PARSER_EPOCH),
            rules=rules,
            gone_on_with=resumable(self.state, rules, now_ms()) if rules else None,
        )

    def _rules(self) -> str:
        """Return what is searched and how, in a word: another one, and a sweep starts over."""
        scan, epoch = self.config.scan, self.state.get_number("parser_epoch")
        rules = (scan.root, scan.roots, scan.exclude, scan.network_file_systems, epoch)
        return hashlib.sha256(repr((*rules, PARSER_EPOCH)).encode()).hexdigest()

    def look(
        self,
        parts: Parts,
        *,
        entering: Callable[[bytes], None] = lambda _: None,
        expecting: Callable[[], None] = lambda: None,
        pause: Callable[[], None] = lambda: None,
    ) -> Look:
        """Look at parts of the disk again, also between two steps of a sweep.

        `entering` is called with each new directory before it is listed, `expecting` when it becomes
        likely that there will be changes. Raises as `sweep` does.
        """
        self.looks += 1
        cpu_before = self._cpu_seconds()
        config, state = self.config, self.state
        self._looking += 1
        table = f"link_{self._looking}"
        try:
            with (
                database_errors(),
                self.watchdog,
                equipped(
                    config,
                    state,
                    self.outbox,
                    self.should_stop,
                    parsers=self.parsers,
                    links_table=table,
                ) as equipment,
            ):
                partial = PartialSweep(
                    state,
                    equipment.findings,
                    equipment.make_inspector,
                    equipment.links,
                    equipment.around,
                    inside=equipment.ground.inside,
                    entering=entering,
                    expecting=expecting,
                )
                for _ in partial.run(parts):
                    self._enforce_cap()
                    pause()
                self.saw("parser", equipment.parser_enforced())
                used = self.around.heard(partial.changed, equipment.ground.resolver)
        finally:
            self._looking -= 1
        return Look(
            changed=frozenset(partial.changed),
            changes=equipment.findings.changed + used,
            cpu_seconds=self._cpu_seconds() - cpu_before,
        )

    def _cpu_seconds(self) -> float:
        """Return what `cpu_seconds` does, with that of a parser that goes on."""
        return cpu_seconds() + self.parsers.cpu_seconds()

    def _enforce_cap(self) -> None:
        if self.outbox.wants_a_look:
            with self.state.transaction():
                self.outbox.enforce_cap()

    def saw(self, process: str, enforced: Enforced | None) -> None:
        """Note what held one of the agent's processes, if it could be seen."""
        if enforced is not None:
            self.enforced[process] = enforced

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

    def prepare_link(self) -> None:
        """Have a link started for the next conversation; without one it is started then."""
        if self._prepared is None and self.enrolled:
            # What keeps it from starting is told by the conversation.
            with suppress(LinkError, OSError):
                self._prepared = self._open_link()

    def drop_link(self) -> bool:
        """End a link that was prepared, and that nothing is to be said to; whether there was one."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.close()
        return prepared is not None

    def _converse_once(self, circumstances: Circumstances) -> Outcome:
        prepared, self._prepared = self._prepared, None
        connection = prepared or self._open_link()
        try:
            conversation = Conversation(
                self.state, self.outbox, connection, circumstances, self.should_stop, self._inquire
            )
            outcome = conversation.converse()
            again_in_ms = self.around.again_in_ms
            if again_in_ms is not None:
                outcome.again_in_seconds = max(LEAST_SECONDS, again_in_ms / 1000)
            return outcome
        finally:
            self.saw("link", connection.enforced)
            connection.close()

    def _inquire(self, ask: Callable[[bytes], bytes]) -> bool:
        """Ask what this host's listeners present; whether there is something new to report."""
        try:
            changed = 0
            if self.around.is_stale:
                with Ground(self.config) as ground:
                    changed = self.around.look(ground.resolver)
            return self.around.inquire(ask, self.should_stop) + changed > 0
        except ValueError as error:
            log.warning("listeners not asked", why=safe_text(str(error)))
            return False

    def _open_link(self) -> Connection:
        config = self.config
        if config.link.socket is not None:
            return LinkClient.connect(config.link.socket)
        if self.launcher is not None:
            return self.launcher.open()
        return LinkClient.spawn(LinkStart.of(config))


def cpu_seconds() -> float:
    """Return CPU seconds of this process and of its ended children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
