"""Who uses what was found: configurations read, listeners asked, both stored as usages.

Runs in the reader, which reads files and asks nobody itself: it hands questions to the link while that
is up for a report. The order is

    1  `look`: configurations and renewal records of the root become usages, with the answers that are known
    2  `inquire`: who listens; which usages are due; one question each, up to a number and a time
    3  what was presented is held against what the last sweep found at the places that are named
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keycensus_agent.config import Config
from keycensus_agent.context.control_groups import read_groups
from keycensus_agent.context.open_files import Holder, holders
from keycensus_agent.context.other_networks import OtherNetwork, other_networks
from keycensus_agent.context.plan import (
    PRESENTING,
    Endpoint,
    endpoints,
    questions,
    unbound,
)
from keycensus_agent.context.usages import Bound, merge, open_in, renewals
from keycensus_agent.inquiry import decode_listeners, encode_question
from keycensus_agent.model import Blob
from keycensus_agent.reader.asked import Asked
from keycensus_agent.reader.bound_places import BoundPlaces
from keycensus_agent.reader.context_mark import ContextMark
from keycensus_agent.reader.discovery.links import Resolver
from keycensus_agent.reader.discovery.mounts import parent_of
from keycensus_agent.reader.inquiring import (
    LISTENER,
    QUESTIONS,
    SECONDS,
    Ask,
    Inquiry,
    Plan,
)
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.presented_chains import PresentedChains
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.state import State
from keycensus_agent.reader.usages import Usages
from keycensus_agent.usage import Usage, Verdict, usage_key

_ALL_LISTENERS = "listeners"
# Where configurations and records of renewal are, found before or not.
_CONFIGURATIONS = (
    *(b"/etc/", b"/usr/local/etc/", b"/usr/lib/systemd/system/", b"/lib/systemd/system/"),
    *(b"/var/lib/acme/", b"/var/lib/caddy/", b"/var/lib/certmonger/", b"/var/lib/dehydrated/"),
    *(b"/root/", b"/opt/"),
)
# Configurations are not read again sooner than after so many times what that took: 2 % of a core.
_COST_FACTOR = 50
_WORRYING = frozenset({Verdict.NOT_RELOADED, Verdict.NOT_ON_DISK})


@dataclass(slots=True)
class LookAround:
    """Remembers between looks what configurations said. `asked` None: nobody is ever asked."""

    usages: Usages
    places: Callable[[], BoundPlaces]
    mark: ContextMark
    chains: PresentedChains
    asked: Asked | None
    every: bool
    now_ms: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    # Says which processes have files open; None: nobody looks.
    processes: Callable[[Collection[bytes]], Iterable[Holder]] | None = None
    # Says who listens where the link can ask nobody; None: nobody is asked anywhere.
    others: Callable[[], Iterable[OtherNetwork]] | None = None
    # After how long it would be good to ask again; None: at any time.
    again_in_ms: int | None = None
    _bound: list[Bound] | None = field(default=None, init=False)
    _others: list[Usage] = field(default_factory=list, init=False)
    # A configuration has changed since it was read.
    is_stale: bool = field(default=False, init=False)
    # Where configurations were found.
    _directories: set[bytes] = field(default_factory=set, init=False)
    _next_at: float = field(default=0.0, init=False)

    def look(self, resolver: Resolver) -> int:
        """Read the configurations of a root and store what they say; how many usages changed."""
        # Late: most sweeps find no configuration changed, and need none of its readers.
        from keycensus_agent.context.gather import gather

        begun = self.clock()
        places = self.places()
        context = gather(resolver, self.now_ms(), places.paths())
        self._bound = merge(context.bindings, places.keys)
        self._others = renewals(context.renewers, places.keys)
        if self.processes is not None:
            files = places.files()
            self._others += open_in(self.processes(files), files)
        self._directories = {
            *(parent_of(binding.configuration) for binding in context.bindings),
            *(parent_of(renewer.configuration) for renewer in context.renewers),
        }
        changed = self._store({}, None, ())
        self.is_stale = False
        self.mark.keep(self.now_ms())
        self._next_at = self.clock() + (self.clock() - begun) * _COST_FACTOR
        return changed

    def swept(self, resolver: Resolver, *, changes: int) -> int:
        """Look after a complete sweep that made so many changes; how many usages changed.

        Configurations are not read again if no directory of theirs is another one.
        """
        if changes or self.processes is not None or not self.mark.stands(self.now_ms()):
            return self.look(resolver)
        # Whoever wants to ask has to read them first.
        self.is_stale = self._bound is None
        return 0

    def unasked(self) -> tuple[OtherNetwork, ...]:
        """Return the other network namespaces in which something listens that is not asked."""
        return tuple(self.others()) if self.others is not None else ()

    def heard(self, changed: Iterable[bytes], resolver: Resolver) -> int:
        """Look again if a directory that changed may hold a configuration; how many usages changed.

        One that changes all the time is read now and then: `is_stale` says that it is not yet.
        """
        if self._bound is None:
            return 0  # the first sweep reads it all
        if not self.is_stale:
            self.is_stale = any(
                each in self._directories or (each + b"/").startswith(_CONFIGURATIONS)
                for each in changed
            )
        return self.look(resolver) if self.is_stale and self.clock() >= self._next_at else 0

    def _store(
        self,
        answered: Mapping[bytes, Usage],
        listening: Iterable[Usage] | None,
        blobs: Iterable[Blob],
    ) -> int:
        """Store all usages: those just answered, the others with their last answers."""
        known = self.usages.known()
        current = [
            answered.get(bound.usage.binding)
            or self._as_before(bound.usage, known.get(bound.usage.binding))
            for bound in self._bound or ()
        ]
        if listening is None and self.asked is not None:
            listening = [usage for usage in known.values() if usage.service == LISTENER]
        return self.usages.settle([*current, *self._others, *(listening or ())], blobs)

    def _as_before(self, usage: Usage, before: Usage | None) -> Usage:
        if before is None or self.asked is None:
            return usage
        return replace(
            usage,
            unit=before.unit or usage.unit,
            handshakes=before.handshakes,
            manifest=before.manifest,
        )

    # --- asking -------------------------------------------------------------------------------

    def inquire(self, ask: Ask, should_stop: Callable[[], bool] = lambda: False) -> int:
        """Ask what is due, by `ask`, which takes a question and returns the answer, encoded.

        Returns how many usages changed. ValueError if the answers are not fit to be used.
        """
        try:
            return self._inquire(ask, should_stop)
        finally:
            self.chains.close()

    def _inquire(self, ask: Ask, should_stop: Callable[[], bool]) -> int:
        self.again_in_ms = None
        if self._bound is None or self.asked is None:
            return 0
        places, now_ms = self.places(), self.now_ms()
        presenting = [bound for bound in self._bound if _presents(bound)]
        marks = {_key(bound.usage): places.fingerprint(bound.paths) for bound in presenting}
        waits = {key: self.asked.due_in_ms(key, mark, now_ms) for key, mark in marks.items()}
        waits[_ALL_LISTENERS] = self.asked.due_in_ms(_ALL_LISTENERS, "", now_ms)
        if all(waits.values()):
            self.again_in_ms = min(waits.values())
            return 0
        by_port = endpoints(decode_listeners(ask(encode_question(None))))
        plans = {
            _key(bound.usage): questions(bound.binding, by_port, several=len(bound.paths) > 1)
            for bound in presenting
        }
        inquiry = Inquiry(
            ask=ask,
            places=places,
            chains=self.chains,
            beside=_at_endpoints(presenting, plans, places),
            groups=read_groups(
                {endpoint.listener.cgroup for plan in plans.values() for _, endpoint in plan}
            ),
            now_ms=now_ms,
            until=self.clock() + SECONDS,
            clock=self.clock,
            should_stop=should_stop,
        )
        due = [bound for bound in presenting if not waits[_key(bound.usage)]]
        due.sort(key=lambda bound: self.asked.age(_key(bound.usage)) if self.asked else 0)
        answered: dict[bytes, Usage] = {}
        before = self.usages.known()
        for bound in due:
            key = _key(bound.usage)
            plan = plans[key]
            if not inquiry.affords(plan):
                self.again_in_ms = 0
                break
            usage = inquiry.usage(bound, plan, before.get(bound.usage.binding))
            answered[usage.binding] = usage
            fine = not any(each.verdict in _WORRYING for each in usage.handshakes)
            self.asked.note(key, marks[key], now_ms, fine=fine)
        listening = self._listening(inquiry, by_port, plans, before, due=not waits[_ALL_LISTENERS])
        self.asked.save({*marks, _ALL_LISTENERS})
        if self.again_in_ms is None:
            soon = [self.asked.due_in_ms(key, mark, now_ms) for key, mark in marks.items()]
            self.again_in_ms = min(soon, default=None)
        return self._store(answered, listening, inquiry.blobs)

    def _listening(
        self,
        inquiry: Inquiry,
        by_port: Mapping[int, Sequence[Endpoint]],
        plans: Mapping[str, Plan],
        before: Mapping[bytes, Usage],
        *,
        due: bool,
    ) -> list[Usage] | None:
        """Ask the listeners that no configuration was found for; None: not now."""
        if not due or self.asked is None:
            return None
        bound = [question for plan in plans.values() for question, _ in plan]
        plan = unbound(by_port, bound, every=self.every)
        if not inquiry.affords(plan[:QUESTIONS]):
            self.again_in_ms = 0
            return None
        inquiry.groups.update(read_groups({endpoint.listener.cgroup for _, endpoint in plan}))
        found = [inquiry.listener(*each, before) for each in plan[:QUESTIONS]]
        self.asked.note(_ALL_LISTENERS, "", inquiry.now_ms, fine=True)
        return [usage for usage in found if usage is not None]


def look_around_of(
    config: Config, state: State, outbox: Outbox, now_ms: Callable[[], int], *, patient: bool
) -> LookAround:
    """Return what looks around under a configuration.

    `patient`: after a change, a service is given the time to be reloaded before it is asked.
    """
    settings = config.context
    # What listens here has nothing to do with another machine's disk.
    probing = settings.probe and config.scan.root == b"/"
    asked = Asked(state, settings.probe_seconds * 1000, patient) if probing else None
    return LookAround(
        usages=Usages(state, outbox, now_ms),
        places=lambda: BoundPlaces(state),
        mark=ContextMark(state, _CONFIGURATIONS, repr(settings)),
        chains=PresentedChains(lambda: ParserClient(details=True)),
        asked=asked,
        every=settings.probe_all,
        now_ms=now_ms,
        others=other_networks if probing else None,
        processes=holders if settings.processes and config.scan.root == b"/" else None,
    )


def _presents(bound: Bound) -> bool:
    return bound.usage.directive in PRESENTING and bool(bound.binding.protocol)


def _key(usage: Usage) -> str:
    return usage_key(usage.binding).hex()[:32]


def _at_endpoints(
    presenting: Iterable[Bound], plans: Mapping[str, Plan], places: BoundPlaces
) -> dict[tuple[str, int], set[bytes]]:
    found: dict[tuple[str, int], set[bytes]] = {}
    for bound in presenting:
        plan = plans[_key(bound.usage)]
        if not plan:
            continue
        artifacts = {
            artifact
            for manifest in places.manifests(bound.paths)
            for artifact in places.artifacts(manifest)
        }
        for question, _ in plan:
            found.setdefault((question.address, question.port), set()).update(artifacts)
    return found
