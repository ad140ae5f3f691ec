"""A small random inventory, as plain objects and as the rows that a collector would hold of it.

Everything is drawn from few values, so that conditions meet often. The objects are what a naive
evaluation walks; the rows are what queries are compiled for.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fakes.databases import new_store
from sqlalchemy import Connection, Table, insert

from keycensus_collector.fold.counterparts import note_counterparts, note_found
from keycensus_collector.store import schema
from keycensus_collector.store.engine import Store

DAY = 86_400_000
NOW = 1_790_000_000_000
THEN = NOW - 10 * DAY

NAMES = ("www.example.com", "api.example.com", "a_b.test", "10.0.0.1", "x%y", "straße.de")
ISSUERS = ("CN=R11,O=Let's Encrypt", "CN=Root [1]", "CN=100%_sure")
PATHS = (
    "/etc/nginx/a.pem",
    "/etc/nginx/sites/b.pem",
    "/etc/nginx-old/c.pem",
    "/etc/Nginx/d[1].pem",
    "/opt/app_1/key.pem",
    "/opt/appX1/key.pem",
    "/srv/100%/x?.jks",
)
TREE_NAMES = ("b.pem", "key.pem", "x?.jks")
PACKAGES = ("", "nginx")


@dataclass(frozen=True)
class Certificate:
    sha256: bytes
    key_id: bytes
    common_name: str
    names: tuple[str, ...]
    issuer: str
    not_after_ms: int | None
    is_ca: bool
    algorithm: str
    bits: int
    eku: str
    first_seen_ms: int
    parents: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Key:
    key_id: bytes
    algorithm: str | None
    bits: int | None
    kind: str = "private-key"


@dataclass(frozen=True)
class Entry:
    kind: str
    artifact: bytes
    member: str
    encrypted: bool
    name: str = ""  # of its file, in a tree


@dataclass(frozen=True)
class State:
    """A place from one moment to another; `to_ms` None: still."""

    from_ms: int
    to_ms: int | None
    entries: tuple[Entry, ...]
    manifest: bytes
    status: str
    role: str
    use: str
    mode: int
    readable_by: str
    package: str


@dataclass(frozen=True)
class Host:
    number: int
    name: str
    state: str
    labels: dict[str, dict[str, str]]
    gaps: tuple[str, ...]
    created_ms: int
    last_seen_ms: int


@dataclass(frozen=True)
class Place:
    number: int
    host: Host
    path: str
    states: tuple[State, ...]

    def at(self, moment: int | None) -> State | None:
        for state in self.states:
            if moment is None and state.to_ms is None:
                return state
            if moment is not None and state.from_ms <= moment < (state.to_ms or moment + 1):
                return state
        return None


@dataclass
class Inventory:
    certificates: dict[bytes, Certificate] = field(default_factory=dict)
    keys: dict[bytes, Key] = field(default_factory=dict)
    hosts: list[Host] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    manifests: dict[bytes, tuple[Entry, ...]] = field(default_factory=dict)
    parts: list[tuple[bytes, bytes, str]] = field(default_factory=list)  # with a name in a tree

    def placements(self, moment: int | None) -> Iterator[tuple[Entry, State, Place]]:
        for place in self.places:
            state = place.at(moment)
            for entry in state.entries if state else ():
                assert state is not None
                yield entry, state, place


def hash_of(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def random_inventory(seed: int) -> Inventory:
    rng, made = random.Random(seed), Inventory()  # noqa: S311 - a fixed seed
    pick = rng.choice
    for number in range(5):
        key_id = hash_of("key", seed, number)
        made.keys[key_id] = Key(key_id, *pick([("rsa", 1024), ("rsa", 4096), ("ec", 256)]))
    sealed = hash_of("sealed", seed)
    made.keys[sealed] = Key(sealed, None, None, "sealed-key")
    for number in range(8):
        key = made.keys[pick([k for k in made.keys if k != sealed])]
        common_name = pick([*NAMES[:3], ""])
        certificate = Certificate(
            hash_of("certificate", seed, number),
            key.key_id,
            common_name,
            tuple(rng.sample(NAMES, rng.randint(0, 2))),
            pick(ISSUERS),
            pick([None, NOW - 5 * DAY, NOW + 5 * DAY, NOW + 50 * DAY]),
            rng.random() < 0.4,
            key.algorithm or "",
            key.bits or 0,
            pick(["", "serverAuth", "serverAuth clientAuth"]),
            pick([NOW - 30 * DAY, NOW - DAY]),
            tuple(
                rng.sample(list(made.certificates), min(len(made.certificates), pick([0, 1, 1])))
            ),
        )
        made.certificates[certificate.sha256] = certificate
    for number in range(1, 4):
        made.hosts.append(
            Host(
                number,
                pick(["web1", "web2", "DB_1"]),
                pick(["active", "silent"]),
                {
                    "token": {"env": pick(["prod", "test"])} if rng.random() < 0.5 else {},
                    "host": {"env": "dev"} if rng.random() < 0.5 else {},
                },
                tuple(rng.sample(["/srv", "/srv/data", "/mnt"], rng.randint(0, 2))),
                pick([NOW - 30 * DAY, NOW - 2 * DAY]),
                pick([NOW, NOW - 3 * DAY]),
            )
        )
    manifests = [_manifest(made, rng) for _ in range(6)] + [b""]
    whole = hash_of("whole", seed)
    made.parts += [(whole, part, "") for part in manifests[:2]]
    made.manifests[whole] = tuple(e for part in manifests[:2] for e in made.manifests[part])
    tree = hash_of("tree", seed)
    named = list(zip(TREE_NAMES, (manifests[1], manifests[1], manifests[2]), strict=True))
    made.parts += [(tree, part, name) for name, part in named]
    made.manifests[tree] = tuple(
        replace(entry, name=name) for name, part in named for entry in made.manifests[part]
    )
    manifests += [whole, tree, tree]
    for host in made.hosts:
        for path in rng.sample(PATHS, rng.randint(1, 5)):
            states = _states(made, rng, manifests)
            made.places.append(Place(len(made.places) + 1, host, path, states))
    return made


def _manifest(made: Inventory, rng: random.Random) -> bytes:
    artifacts = [("certificate", sha256) for sha256 in made.certificates]
    artifacts += [(key.kind, key.key_id) for key in made.keys.values()]
    chosen = rng.sample(artifacts, rng.randint(1, 3))
    entries = tuple(
        Entry(kind, artifact, rng.choice(["", "tomcat"]), rng.random() < 0.3)
        for kind, artifact in chosen
    )
    made.manifests[hash_of(entries)] = entries
    return hash_of(entries)


def _states(made: Inventory, rng: random.Random, manifests: list[bytes]) -> tuple[State, ...]:
    borders = sorted(rng.sample([THEN - DAY, THEN + DAY, NOW - DAY], rng.randint(1, 3)))
    ends: list[int | None] = [*borders[1:], None]
    states = []
    for from_ms, to_ms in zip(borders, ends, strict=True):
        if rng.random() < 0.2 and len(borders) > 1:
            continue  # the place was gone in this time
        manifest = rng.choice(manifests)
        states.append(
            State(
                from_ms,
                to_ms,
                made.manifests.get(manifest, ()),
                manifest,
                rng.choice(["read", "locked"]),
                rng.choice(["server", "trust-store", "unknown"]),
                rng.choice(["live", "live", "retained"]),
                rng.choice([0o600, 0o640, 0o644]),
                rng.choice(["", "world", "owner", "group"]),
                rng.choice(PACKAGES),
            )
        )
    return tuple(states)


def write(made: Inventory, directory: Path) -> Store:
    """Return a new store that holds the inventory."""
    store = new_store(directory, "small.db")
    with store.write() as connection:
        _write_content(made, connection)
        _write_hosts(made, connection)
        for place in made.places:
            _write_place(place, connection)
        _write_counts(made, connection)
    return store


def put(connection: Connection, table: Table, **values: Any) -> None:  # noqa: ANN401 - any column
    """Insert a row; a column that nobody asks for is empty."""
    empty: dict[str, Any] = {"str": "", "int": 0, "bytes": b"", "bool": False}
    row = {
        column.name: empty[column.type.python_type.__name__]
        for column in table.columns
        if not column.nullable
        and column.name not in values
        and column is not table.autoincrement_column
    }
    connection.execute(insert(table).values(row | values))


def _write_content(made: Inventory, connection: Connection) -> None:
    for item in made.certificates.values():
        put(
            connection,
            schema.certificate,
            sha256=item.sha256,
            sha1=item.sha256[:20],
            key_id=item.key_id,
            common_name=item.common_name,
            subject=f"CN={item.common_name}" if item.common_name else "",
            issuer=item.issuer,
            names_text="\n".join(item.names),
            not_after_ms=item.not_after_ms,
            is_ca=item.is_ca,
            algorithm=item.algorithm,
            bits=item.bits,
            extended_key_usage=item.eku,
            first_seen_ms=item.first_seen_ms,
            serial=item.sha256.hex()[:16],
            subject_der_hash=bytes(32),
            issuer_der_hash=bytes(32),
        )
        for position, name in enumerate((item.common_name, *item.names)):
            if name:
                put(
                    connection,
                    schema.certificate_name,
                    sha256=item.sha256,
                    position=position,
                    kind="dns" if position else "common-name",
                    value=name,
                )
        for parent in item.parents:
            put(connection, schema.issuer_edge, child=item.sha256, parent=parent)
    for key in made.keys.values():
        if key.kind == "private-key":
            put(
                connection,
                schema.public_key,
                key_id=key.key_id,
                algorithm=key.algorithm,
                bits=key.bits,
                first_seen_ms=NOW - 30 * DAY,
            )
    composed = {manifest for manifest, _, _ in made.parts}
    for hash_, entries in made.manifests.items():
        put(connection, schema.manifest, hash=hash_)
        for position, entry in enumerate(() if hash_ in composed else entries):
            put(
                connection,
                schema.manifest_entry,
                manifest=hash_,
                position=position,
                kind=entry.kind,
                artifact=entry.artifact,
                member=entry.member,
                encrypted=entry.encrypted,
            )
    for position, (manifest, part, name) in enumerate(made.parts):
        values = {"manifest": manifest, "position": position, "part": part, "name": name or None}
        put(connection, schema.manifest_part, **values)


def _write_hosts(made: Inventory, connection: Connection) -> None:
    for host in made.hosts:
        put(
            connection,
            schema.host,
            host_no=host.number,
            host_id=str(host.number),
            name=host.name,
            state=host.state,
            labels=json.dumps(host.labels),
            created_ms=host.created_ms,
            last_seen_ms=host.last_seen_ms,
        )
        put(
            connection,
            schema.host_state,
            host_no=host.number,
            from_ms=host.created_ms,
            state=host.state,
        )
        for gap in host.gaps:
            key = hash_of(gap)
            put(
                connection,
                schema.gap,
                host_no=host.number,
                key=key,
                prefix=gap,
                reason="unreadable",
                from_ms=0,
            )


def _write_place(place: Place, connection: Connection) -> None:
    now = place.at(None)
    past = [state for state in place.states if state.to_ms is not None]
    last = now or (past[-1] if past else None)
    columns = _columns(last) if last else {"use": "live", "role": "server"}
    put(
        connection,
        schema.place,
        place_no=place.number,
        host_no=place.host.number,
        path=place.path,
        path_hash=hash_of(place.path),
        scope_kind="host",
        first_seen_ms=place.states[0].from_ms if place.states else 0,
        changed_ms=now.from_ms if now else NOW - DAY,
        gone_ms=None if now else NOW - DAY,
        holds=mask_of(entry.kind for entry in last.entries) if last else 0,
        **columns,
    )
    for state in past:
        put(
            connection,
            schema.place_past,
            place_no=place.number,
            host_no=place.host.number,
            from_ms=state.from_ms,
            to_ms=state.to_ms,
            **_columns(state),
        )


def mask_of(kinds: Iterable[str]) -> int:
    """Return `place.holds` of entries of these kinds."""
    return sum({schema.HOLDS.get(kind, 0) for kind in kinds})


def _columns(state: State) -> dict[str, Any]:
    names = ("manifest", "status", "role", "use", "mode", "readable_by", "package")
    is_tree = any(entry.name for entry in state.entries)
    return {name: getattr(state, name) for name in names} | {"format": "tree" if is_tree else "pem"}


def _write_counts(made: Inventory, connection: Connection) -> None:
    """Write what intake and fold count: holdings outside trust stores, and the folded columns."""
    held: dict[tuple[bytes, int, str], list[int]] = {}
    folded: dict[tuple[bytes, str], tuple[set[object], set[object], set[object]]] = {}
    open_keys: set[bytes] = set()
    for entry, state, place in made.placements(None):
        retained = state.use == "retained"
        if state.role != "trust-store":
            by_mode = not state.readable_by and state.mode & 4
            if not retained and (state.readable_by == "world" or by_mode):
                open_keys.add(entry.artifact)
            counts = held.setdefault((entry.artifact, place.host.number, entry.kind), [0, 0])
            counts[retained] += 1
        sets = folded.setdefault((entry.artifact, entry.kind), (set(), set(), set()))
        sets[retained].add((place.number, entry.name))
        sets[2].add(place.host.number)
    for (artifact, host_no, kind), (live, kept) in held.items():
        put(
            connection,
            schema.holding,
            artifact=artifact,
            host_no=host_no,
            kind=kind,
            live=live,
            retained=kept,
        )
    in_use = Counter[bytes]()
    for (artifact, _, kind), (live, _) in held.items():
        in_use[artifact] += live * (kind in {"certificate", "private-key"})
    for (artifact, kind), (lives, keeps, hosts) in folded.items():
        table = schema.certificate if kind == "certificate" else schema.public_key
        connection.execute(
            table.update()
            .where(table.primary_key.columns[0] == artifact)
            .values(live_places=len(lives), retained_places=len(keeps), hosts=len(hosts))
        )
    connection.execute(
        schema.public_key.update()
        .where(schema.public_key.c.key_id.in_(open_keys))
        .values(world_readable=True)
    )
    for artifact, number in in_use.items():
        for table in (schema.certificate, schema.public_key):
            key = table.primary_key.columns[0]
            connection.execute(table.update().where(key == artifact).values(in_use=number))
    note_found(connection, list(made.certificates))
    note_counterparts(connection, made.certificates, made.keys)
