"""A fleet by bulk: the rows that intake, catalogue and fold would leave, without their work.

Raw blobs are left out: they are a gigabyte for a million certificates, and no question reads them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from benchmarks.generator.certificates import Leaf, authority_facts
from benchmarks.generator.hosts import deploy, enrol
from benchmarks.generator.population import ROOT, ROUNDS_MS, Change, File, Host, Population
from benchmarks.generator.writing import Writer
from keycensus_collector.catalogue.facts import CATALOGUE_VERSION
from keycensus_collector.catalogue.names import NameFact, reversed_labels
from keycensus_collector.catalogue.parse import parse_public_key
from keycensus_collector.copying.tables import continue_numbers
from keycensus_collector.fold.counterparts import note_counterparts, note_found
from keycensus_collector.intake.model import Batch, Limits, RowClass
from keycensus_collector.intake.model import Change as Reported
from keycensus_collector.intake.rows import PlaceChange, prepare
from keycensus_collector.store import schema

_LIMITS = Limits()
_PLACE = [column.name for column in schema.place.columns]
_STATE = {name: at for at, name in enumerate(_PLACE[2:21])}
_PAST = [
    column.name
    for column in schema.place_past.columns
    if column.name not in {"past_no", "place_no", "host_no", "from_ms", "to_ms"}
]
_ROLES = {"server": 1, "client": 2, "ca": 4, "unknown": 8}


def fill(connection: Connection, fleet: Population) -> int:
    """Write a fleet; return how many rows."""
    deploy(connection)
    writing = _Writing(Writer(connection))
    for made in fleet.each():
        writing.host(made)
        writing.writer.flush_if_full()
    writing.authorities(fleet.authorities())
    writing.writer.flush()
    certificates = connection.execute(select(schema.certificate.c.sha256)).scalars().all()
    note_found(connection, certificates)
    note_counterparts(connection, certificates, ())
    if connection.dialect.name == "postgresql":
        continue_numbers(connection)
    return writing.writer.written


def _mask_of(file: File) -> int:
    """Return `place.holds` of a place with this file."""
    return sum({schema.HOLDS.get(kind, 0) for kind, artifact, *_ in file.entries if artifact})


@dataclass(slots=True)
class _Place:
    number: int
    columns: tuple[Any, ...]
    first_ms: int
    changed_ms: int
    gone_ms: int | None
    file: File | None
    version: tuple[Any, ...]  # the open one, but for its end


@dataclass(slots=True)
class _Counts:
    live: int = 0
    in_use: int = 0
    retained: int = 0
    roles: int = 0
    is_open: bool = False


@dataclass(slots=True)
class _Shared:
    """An artifact that stands on many hosts, as far as was counted."""

    live: int = 0
    in_use: int = 0
    retained: int = 0
    hosts: int = 0


@dataclass(slots=True)
class _Writing:
    writer: Writer
    places: int = 0
    batches: int = 0
    lines: int = 0
    shared_files: set[bytes] = field(default_factory=set)
    counted: dict[bytes, _Shared] = field(default_factory=lambda: defaultdict(_Shared))

    def host(self, made: Host) -> None:
        """Write one host with all that is its own."""
        enrol(self.writer, made)
        places: dict[bytes, _Place] = {}
        files: dict[bytes, File] = {}
        for at_ms, changes in zip(ROUNDS_MS, made.rounds, strict=True):
            files |= {each.file.hash: each.file for each in changes if each.file is not None}
            self._report(made.number, places, at_ms, changes)
        for place in places.values():
            self._close(place, None)
            gone = place.gone_ms
            row = (
                place.number,
                made.number,
                *place.columns,
                place.first_ms,
                place.changed_ms,
                gone,
                0 if place.file is None else _mask_of(place.file),
            )
            self.writer.put_tuple(schema.place, row)
        self._files(files.values())
        self._artifacts(made, places.values())

    def _report(
        self, host_no: int, places: dict[bytes, _Place], at_ms: int, changes: list[Change]
    ) -> None:
        if not changes:
            return
        self.batches += 1
        number = RowClass.PLACE.value
        reported = [
            Reported(position, number, each.key, each.row, "content", at_ms, 0)
            for position, each in enumerate(changes)
        ]
        prepared = prepare(Batch(1, reported, {}, complete=True), _LIMITS)
        assert not prepared.refused
        by_key = {each.key: each.file for each in changes}
        for change in prepared.places:
            self._change(host_no, places, at_ms, change, by_key[change.key])

    def _change(
        self,
        host_no: int,
        places: dict[bytes, _Place],
        at_ms: int,
        change: PlaceChange,
        file: File | None,
    ) -> None:
        known = places.get(change.key)
        version = (at_ms, change.manifest, change.row, change.cause, change.observed_ms)
        if known is None:
            self.places += 1
            columns = tuple(change.columns)
            places[change.key] = _Place(
                self.places, columns, at_ms, at_ms, None, file, (*version, self.batches)
            )
            return
        self._keep_past(host_no, known, at_ms)
        self._close(known, at_ms)
        known.version = (*version, self.batches)
        known.changed_ms = at_ms
        known.gone_ms = at_ms if not change.row else None
        if change.row:
            known.columns, known.file = tuple(change.columns), file

    def _keep_past(self, host_no: int, known: _Place, at_ms: int) -> None:
        state = {name: known.columns[_STATE[name]] for name in _PAST}
        self.writer.put(
            schema.place_past,
            place_no=known.number,
            host_no=host_no,
            from_ms=known.changed_ms,
            to_ms=at_ms,
            **state,
        )

    def _close(self, place: _Place, at_ms: int | None) -> None:
        from_ms, manifest, row, cause, observed_ms, batch = place.version
        self.writer.put_tuple(
            schema.place_version,
            (place.number, from_ms, at_ms, manifest, row, cause, observed_ms, 0, batch),
        )

    def _files(self, files: Iterable[File]) -> None:
        for file in files:
            # What other hosts may have, too: bundles, which hold authorities alone.
            if file.is_shared:
                if file.hash in self.shared_files:
                    continue
                self.shared_files.add(file.hash)
            self.writer.put(
                schema.manifest,
                hash=file.hash,
                format=file.format,
                entry_count=len(file.entries),
            )
            for position, (kind, artifact, algorithm, bits, sealed, size) in enumerate(
                file.entries
            ):
                self.writer.put(
                    schema.manifest_entry,
                    manifest=file.hash,
                    position=position,
                    kind=kind,
                    artifact=artifact,
                    algorithm=algorithm,
                    bits=bits,
                    encrypted=sealed,
                    size=size,
                )

    def _artifacts(self, made: Host, places: Iterable[_Place]) -> None:
        """Count what the host holds; write its own certificates and keys, lines and holdings."""
        counts = _counted(places)
        own = {leaf.sha256 for leaf, _ in made.leaves}
        for (artifact, kind), count in counts.items():
            if count.roles:
                self.writer.put(
                    schema.holding,
                    artifact=artifact,
                    host_no=made.number,
                    kind=kind,
                    live=count.in_use,
                    retained=count.retained,
                    roles=count.roles,
                )
            if kind == "certificate" and artifact not in own:
                shared = self.counted[artifact]
                shared.live += count.live
                shared.in_use += count.in_use
                shared.retained += count.retained
                shared.hosts += 1
        files = [each.file for changes in made.rounds for each in changes if each.file is not None]
        blobs = (blob for file in files for blob in file.blobs)
        self._own(made, counts, {hash_: data for kind, hash_, data in blobs if kind == "spki"})

    def _own(
        self, made: Host, counts: dict[tuple[bytes, str], _Counts], spkis: dict[bytes, bytes]
    ) -> None:
        numbers: dict[bytes, int] = {}
        for members, kind in made.lines:
            self.lines += 1
            numbers |= dict.fromkeys(members, self.lines)
            leaf = next(leaf for leaf, _ in made.leaves if leaf.sha256 == members[-1])
            self.writer.put(
                schema.line,
                line_no=self.lines,
                created_ms=ROUNDS_MS[0],
                name=leaf.facts.common_name,
            )
            self.writer.put(
                schema.line_step,
                successor=members[1],
                predecessor=members[0],
                line_no=self.lines,
                kind=kind,
                at_ms=ROUNDS_MS[1],
            )
        for at, (leaf, issuer) in enumerate(made.leaves):
            count = counts[leaf.sha256, "certificate"]
            held = 1 if count.live + count.retained else 0
            shared = _Shared(count.live, count.in_use, count.retained, held)
            self.certificate(leaf, shared, ROUNDS_MS[at % 2], numbers[leaf.sha256])
            if issuer:
                self.edge(leaf, issuer)
        for key, data in spkis.items():
            self.key(key, data, counts[key, "private-key"])

    def certificate(self, leaf: Leaf, count: _Shared, first_ms: int, line: int | None) -> None:
        """Write a certificate with its names."""
        facts = leaf.facts
        names = (NameFact("common-name", facts.common_name), *facts.names)
        self.writer.put(
            schema.certificate,
            sha256=leaf.sha256,
            sha1=hashlib.sha1(leaf.der, usedforsecurity=False).digest(),
            key_id=facts.key.key_id,
            subject=facts.subject,
            subject_der_hash=facts.subject_der_hash,
            common_name=facts.common_name,
            issuer=facts.issuer,
            issuer_der_hash=facts.issuer_der_hash,
            serial=facts.serial,
            not_before_ms=facts.not_before_ms,
            not_after_ms=facts.not_after_ms,
            names_text="\n".join(each.value for each in facts.names),
            is_ca=facts.is_ca,
            # As it is found by verifying: who issues itself has signed itself.
            self_signed=facts.subject_der_hash == facts.issuer_der_hash,
            signature_algorithm=facts.signature_algorithm,
            algorithm=facts.key.algorithm,
            bits=facts.key.bits,
            curve=facts.key.curve,
            subject_key_identifier=facts.subject_key_identifier,
            authority_key_identifier=facts.authority_key_identifier,
            extended_key_usage=facts.extended_key_usage,
            problem=facts.problem,
            catalogue_version=CATALOGUE_VERSION,
            first_seen_ms=first_ms,
            line_no=line,
            live_places=count.live,
            in_use=count.in_use,
            retained_places=count.retained,
            hosts=count.hosts,
            folded_ms=ROUNDS_MS[-1],
        )
        for position, name in enumerate(names):
            self.writer.put(
                schema.certificate_name,
                sha256=leaf.sha256,
                position=position,
                kind=name.kind,
                value=name.value.lower(),
                reversed_labels=reversed_labels(name),
            )

    def edge(self, leaf: Leaf, issuer: str) -> None:
        """Write that a certificate was issued by an authority of the fleet."""
        above = authority_facts(issuer, "" if issuer == ROOT else ROOT)
        self.writer.put(
            schema.issuer_edge, child=leaf.sha256, parent=above.sha256, verified_ms=ROUNDS_MS[0]
        )

    def key(self, identity: bytes, spki: bytes, count: _Counts) -> None:
        """Write a key."""
        facts = parse_public_key(spki)
        held = 1 if count.live + count.retained else 0
        self.writer.put(
            schema.public_key,
            key_id=identity,
            algorithm=facts.algorithm,
            bits=facts.bits,
            curve=facts.curve,
            problem=facts.problem,
            catalogue_version=CATALOGUE_VERSION,
            first_seen_ms=ROUNDS_MS[0],
            live_places=count.live,
            retained_places=count.retained,
            hosts=held,
            in_use=count.in_use,
            world_readable=count.is_open,
            folded_ms=ROUNDS_MS[-1],
        )

    def authorities(self, authorities: Iterable[tuple[Leaf, Leaf]]) -> None:
        """Write the authorities, with what the hosts hold of them."""
        for leaf, above in authorities:
            self.certificate(leaf, self.counted[leaf.sha256], ROUNDS_MS[0], None)
            if above.sha256 != leaf.sha256:
                self.edge(leaf, ROOT)
            key = leaf.facts.key
            self.writer.put(
                schema.public_key,
                key_id=key.key_id,
                algorithm=key.algorithm,
                bits=key.bits,
                curve=key.curve,
                catalogue_version=CATALOGUE_VERSION,
                first_seen_ms=ROUNDS_MS[0],
            )


def _counted(places: Iterable[_Place]) -> dict[tuple[bytes, str], _Counts]:
    """Return how often a host's places hold each artifact."""
    counts: dict[tuple[bytes, str], _Counts] = defaultdict(_Counts)
    for place in places:
        if place.file is None or place.gone_ms is not None:
            continue
        use, role = place.columns[_STATE["use"]], place.columns[_STATE["role"]]
        for kind, artifact in {(each[0], each[1]) for each in place.file.entries}:
            count = counts[artifact, kind]
            if use == "retained":
                count.retained += 1
            else:
                count.live += 1
                count.in_use += role != "trust-store"
                is_open = place.columns[_STATE["readable_by"]] == "world"
                count.is_open = count.is_open or (is_open and role != "trust-store")
            count.roles |= _ROLES.get(role, 0)
    return counts
