"""One round of questions to this host's listeners, and what the answers come to.

Runs in the reader. An answer is a claim of the link's and of whatever listens: certificates in it go to
the parser, hashes of them are held against the state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keycensus_agent.context.control_groups import name_of
from keycensus_agent.context.plan import Endpoint
from keycensus_agent.context.usages import Bound
from keycensus_agent.context.verdicts import judge
from keycensus_agent.inquiry import Presented, Question, decode_presented, encode_question
from keycensus_agent.model import Blob
from keycensus_agent.reader.bound_places import BoundPlaces
from keycensus_agent.reader.presented_chains import PresentedChains
from keycensus_agent.reader.usages import with_answers
from keycensus_agent.usage import Handshake, Usage, Verdict, binding_of

# Of one conversation: the stream to the collector stays open meanwhile, and services are not hurried.
QUESTIONS = 64
SECONDS = 40.0
LISTENER = "listener"

Ask = Callable[[bytes], bytes]
Plan = Sequence[tuple[Question, Endpoint]]


@dataclass(slots=True)
class Inquiry:
    """One round of questions, and what its answers come to."""

    ask: Ask
    places: BoundPlaces
    chains: PresentedChains
    # Certificates that any configuration names for an endpoint.
    beside: Mapping[tuple[str, int], set[bytes]]
    groups: dict[int, bytes]
    now_ms: int
    until: float
    clock: Callable[[], float]
    should_stop: Callable[[], bool]
    blobs: list[Blob] = field(default_factory=list)
    _answers: dict[Question, Presented] = field(default_factory=dict)

    def affords(self, plan: Plan) -> bool:
        """Whether the questions of a plan may still be asked in this conversation."""
        if self.should_stop():
            return False
        new = sum(question not in self._answers for question, _ in plan)
        return not new or (len(self._answers) + new <= QUESTIONS and self.clock() < self.until)

    def usage(self, bound: Bound, plan: Plan, before: Usage | None) -> Usage:
        """Return a usage with what its listeners present now."""
        named = self.places.certificates(self.places.manifests(bound.paths))
        answers: dict[tuple[object, ...], Handshake] = {}
        ders: dict[bytes, bytes] = {}
        unit = ""
        for question, endpoint in plan:
            presented = self._presented(question)
            if question.family and not presented.chain:
                continue  # it has none of this kind
            unit = unit or self._unit(endpoint)
            ders |= _by_hash(presented.chain)
            verdict = self._judge(question, presented.chain[0], named) if presented.chain else ""
            handshake = self._handshake(question, presented, Verdict(verdict))
            answers[handshake.says] = handshake
        usage = replace(bound.usage, unit=unit or bound.usage.unit)
        return self._with_manifest(with_answers(usage, answers.values(), before), ders, before)

    def _judge(self, question: Question, leaf: bytes, named: Mapping[bytes, bytes]) -> Verdict:
        sha256 = hashlib.sha256(leaf).digest()
        if sha256 in named:
            # Nearly always; names and keys need not be read then.
            return Verdict.SERVED
        presented, *standing = self.chains.known([leaf, *named.values()])
        return judge(
            presented,
            standing,
            beside=self.beside.get((question.address, question.port), set()),
            on_disk=bool(self.places.holders(sha256)),
        )

    def listener(
        self, question: Question, endpoint: Endpoint, before: Mapping[bytes, Usage]
    ) -> Usage | None:
        """Return the usage of a listener without a configuration; None if it presents nothing."""
        presented = self._presented(question)
        if not presented.chain:
            return None
        leaf = hashlib.sha256(presented.chain[0]).digest()
        holders = self.places.holders(leaf)
        verdict = Verdict.SERVED if holders else Verdict.NOT_ON_DISK
        unit = self._unit(endpoint)
        listen = (_listen(endpoint),)
        usage = Usage(
            binding=binding_of(LISTENER, unit, b"", "handshake", listen=listen),
            service=LISTENER,
            unit=unit,
            configuration=b"",
            line=0,
            directive="handshake",
            places=tuple(sorted(holders)[:16]),
            listen=listen,
        )
        known = before.get(usage.binding)
        answers = [self._handshake(question, presented, verdict)]
        return self._with_manifest(
            with_answers(usage, answers, known), _by_hash(presented.chain), known
        )

    def _presented(self, question: Question) -> Presented:
        if question not in self._answers:
            self._answers[question] = decode_presented(self.ask(encode_question(question)))
        return self._answers[question]

    def _handshake(self, question: Question, presented: Presented, verdict: Verdict) -> Handshake:
        return Handshake(
            at_ms=self.now_ms,
            address=question.endpoint,
            server_name=question.server_name,
            chain=tuple(_by_hash(presented.chain)),
            tls_version=presented.tls_version,
            cipher=presented.cipher,
            error=presented.error,
            verdict=verdict,
        )

    def _with_manifest(
        self, usage: Usage, ders: Mapping[bytes, bytes], before: Usage | None
    ) -> Usage:
        if not ders:
            return usage
        if before is not None and before.manifest:
            listed = set(self.places.artifacts(before.manifest))
            if listed == ders.keys():
                return replace(usage, manifest=before.manifest)
        manifest, blobs = self.chains.manifest([ders[sha256] for sha256 in sorted(ders)])
        self.blobs += blobs
        return replace(usage, manifest=manifest)

    def _unit(self, endpoint: Endpoint) -> str:
        return name_of(self.groups.get(endpoint.listener.cgroup, b""))


def _by_hash(ders: Iterable[bytes]) -> dict[bytes, bytes]:
    return {hashlib.sha256(der).digest(): der for der in ders}


def _listen(endpoint: Endpoint) -> str:
    address = endpoint.listener.address
    return f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"
