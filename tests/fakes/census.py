"""A collector's database as intake leaves it: places, manifests, blobs, holdings, queued work.

Writes the same rows as `keycensus_collector.intake`, without agents: a test says what stands where.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fakes.databases import new_store
from fakes.pki import NOW_MS, Issued, spki_of
from fakes.pki import Key as PrivateKey
from sqlalchemy import Connection, Executable, Row, delete, insert, literal, select, update

from keycensus_collector.catalogue.key_id import canonical_spki, key_id
from keycensus_collector.catalogue.worker import Worker
from keycensus_collector.clock import FixedClock
from keycensus_collector.intake.model import Change
from keycensus_collector.intake.usage_rows import usage_change, usage_key
from keycensus_collector.intake.usages import write_usages
from keycensus_collector.revocation.worker import Worker as RevocationWorker
from keycensus_collector.store.engine import Store, upsert
from keycensus_collector.store.schema import (
    HOLDS,
    blob,
    gap,
    holding,
    host,
    manifest,
    manifest_entry,
    manifest_part,
    place,
    place_past,
    place_version,
    work,
)
from keycensus_proto.v1.inventory_pb2 import Place, Usage

CERTIFICATE, SPKI, CSR, CRL = 2, 3, 4, 5


def in_thread(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a coroutine to its end in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(work())).result()


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a file, with the blob that an agent sends for it."""

    kind: str
    artifact: bytes
    data: bytes = b""
    blob_kind: int = 0
    member: str = ""
    algorithm: str = ""
    bits: int = 0
    encrypted: bool = False


def _mask_of(items: Iterable[Item]) -> int:
    """Return `place.holds` of a file that lists these."""
    return sum({HOLDS.get(item.kind, 0) for item in items if item.artifact})


def certificate(issued: Issued | bytes, member: str = "") -> Item:
    der = issued if isinstance(issued, bytes) else issued.der
    return Item("certificate", hashlib.sha256(der).digest(), der, CERTIFICATE, member)


def private_key(key: PrivateKey, *, encrypted: bool = False) -> Item:
    spki = spki_of(key)
    return Item(
        "private-key", key_id(spki), canonical_spki(spki), SPKI, encrypted=encrypted, algorithm="ec"
    )


def sealed_key(content: bytes) -> Item:
    return Item("sealed-key", hashlib.sha256(content).digest(), encrypted=True)


def blob_item(kind: str, data: bytes) -> Item:
    kinds = {"csr": CSR, "crl": CRL, "public-key": SPKI, "certificate": CERTIFICATE}
    return Item(kind, hashlib.sha256(data).digest(), data, kinds[kind])


@dataclass(slots=True)
class Census:
    """A store that tests report into; `fold` does the catalogue's work."""

    store: Store
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_MS))
    batches: int = 0

    @classmethod
    def create(cls, directory: Path) -> Self:
        return cls(new_store(directory))

    def host(self, name: str, **columns: str | int | bool | bytes) -> int:
        """Add a host; return its number."""
        values: dict[str, Any] = {
            "host_id": str(uuid.uuid4()),
            "name": name,
            "state": "active",
            "created_ms": self.clock.now_ms(),
            "last_seen_ms": self.clock.now_ms(),
            "complete": True,
            "facts": b"",
            "operating_system": "Debian GNU/Linux 12",
            "kernel": "6.1",
            "agent_version": "0.1.0",
            "labels": json.dumps({"token": {}, "host": {}}),
            "counters": "{}",
            "clock_skew_ms": 0,
        }
        with self.store.write() as connection:
            statement = insert(host).values(values | columns).returning(host.c.host_no)
            return int(connection.execute(statement).scalar_one())

    def report(
        self,
        host_no: int,
        path: str,
        *items: Item,
        cause: str = "content",
        mode: int = 0o644,
        use: str = "live",
        role: str = "server",
        status: str = "read",
        format_: str = "pem",
        owner: str = "root",
        target: str = "",
        readable_by: str = "",
        package: str = "",
        tree: Mapping[str, Item] | None = None,
    ) -> None:
        """Let the host report one place, in a batch of its own; with `tree`, names of files in it."""
        row = Place(
            path=path.encode(),
            use=use,
            role=role,
            mode=mode,
            status=status,
            format=format_,
            owner=owner,
            target=target.encode(),
        )
        with self.store.write() as connection:
            row.manifest = self._manifest(connection, format_, items) if items else b""
            if tree is not None:
                row.manifest = self._tree(connection, tree)
            columns = {
                "row_hash": hashlib.sha256(row.SerializeToString()).digest(),
                "scope_kind": "host",
                "scope_name": "",
                "path": path,
                "manifest": row.manifest,
                "status": status,
                "reason": "" if status == "read" else "password-needed",
                "format": format_,
                "mode": mode,
                "owner": owner,
                "group": "root",
                "target": target,
                "file_id": b"",
                "role": role,
                "use": use,
                "readable_by": readable_by,
                "package": package,
                "package_version": "1.2-3" if package else "",
                "changed_ms": self.clock.now_ms(),
                "gone_ms": None,
                "holds": _mask_of((*items, *(tree or {}).values())),
            }
            self._keep_past(connection, host_no, path)
            place_no = self._place(connection, host_no, path, columns)
            self._version(connection, place_no, row.manifest, row.SerializeToString(), cause)
            self._hold(connection, host_no)

    def gone(self, host_no: int, path: str, cause: str = "content") -> None:
        """Let the host report that a place is gone."""
        with self.store.write() as connection:
            self._keep_past(connection, host_no, path)
            key = hashlib.sha256(path.encode()).digest()
            place_no = connection.execute(
                update(place)
                .where(place.c.host_no == host_no, place.c.path_hash == key)
                .values(gone_ms=self.clock.now_ms(), changed_ms=self.clock.now_ms())
                .returning(place.c.place_no)
            ).scalar_one()
            self._version(connection, place_no, b"", b"", cause)
            self._hold(connection, host_no)

    def gap(self, host_no: int, prefix: str, reason: str = "unreadable") -> None:
        """Let the host report a gap."""
        with self.store.write() as connection:
            connection.execute(
                insert(gap).values(
                    host_no=host_no,
                    key=hashlib.sha256(prefix.encode()).digest(),
                    row_hash=bytes(32),
                    prefix=prefix,
                    prefix_raw=prefix.encode(),
                    reason=reason,
                    detail="EACCES",
                    from_ms=self.clock.now_ms(),
                )
            )

    def usage(
        self, host_no: int, message: Usage, *paths: str, presented: Sequence[Item] = ()
    ) -> None:
        """Let the host report a usage of the places at `paths`; `presented` by its listener."""
        message.places.extend(hashlib.sha256(path.encode()).digest() for path in paths)
        with self.store.write() as connection:
            if presented:
                message.manifest = self._manifest(connection, "pem", tuple(presented))
                message.handshake.chain.extend(item.artifact for item in presented)
            row = message.SerializeToString()
            key = usage_key(message.binding)
            change = usage_change(Change(0, 2, key, row, "content", 0, 0))
            write_usages(connection, {key: change}, host_no=host_no, at_ms=self.clock.now_ms())

    async def work(self) -> int:
        """Do all that is queued; return how many rows of work of the catalogue that were."""
        worker, done = Worker(self.store, self.clock), 0
        revocation = RevocationWorker(self.store, self.clock)
        try:
            while count := await worker.run_once():
                done += count
            while await revocation.run_once():
                pass
        finally:
            worker.close()
            revocation.close()
        return done

    def fold(self) -> None:
        """Do all that is queued, in an event loop of another thread: this one may have one already."""
        in_thread(self.work)

    def row(self, statement: Executable) -> Row[Any]:
        with self.store.read() as connection:
            return connection.execute(statement).one()

    def rows(self, statement: Executable) -> list[Row[Any]]:
        with self.store.read() as connection:
            return list(connection.execute(statement))

    def _manifest(self, connection: Connection, format_: str, items: tuple[Item, ...]) -> bytes:
        text = repr((format_, [(i.kind, i.artifact, i.member, i.encrypted) for i in items]))
        hash_ = hashlib.sha256(text.encode()).digest()
        now_ms = self.clock.now_ms()
        known = select(manifest.c.hash).where(manifest.c.hash == hash_)
        if connection.execute(known).scalar_one_or_none() is not None:
            return hash_
        for item in items:
            self._blob(connection, item, now_ms)
        connection.execute(
            insert(manifest).values(
                hash=hash_, format=format_, entry_count=len(items), part_count=0
            )
        )
        rows = [
            {
                "manifest": hash_,
                "position": position,
                "kind": item.kind,
                "artifact": item.artifact,
                "member": item.member,
                "algorithm": item.algorithm,
                "bits": item.bits,
                "curve": "",
                "encrypted": item.encrypted,
                "size": len(item.data),
                "reason": "",
                "location": "",
            }
            for position, item in enumerate(items)
        ]
        connection.execute(insert(manifest_entry), rows)
        return hash_

    def _tree(self, connection: Connection, tree: Mapping[str, Item]) -> bytes:
        parts = {name: self._manifest(connection, "pem", (item,)) for name, item in tree.items()}
        hash_ = hashlib.sha256(repr(sorted(parts.items())).encode()).digest()
        if connection.execute(select(manifest).where(manifest.c.hash == hash_)).first() is None:
            whole = {"hash": hash_, "format": "tree", "entry_count": 0, "part_count": len(parts)}
            connection.execute(insert(manifest).values(whole))
            rows = [
                {"manifest": hash_, "position": position, "part": part, "name": name}
                for position, (name, part) in enumerate(sorted(parts.items()))
            ]
            connection.execute(insert(manifest_part), rows)
        return hash_

    def _blob(self, connection: Connection, item: Item, now_ms: int) -> None:
        if not item.data:
            return
        values = {
            "hash": item.artifact,
            "kind": item.blob_kind,
            "data": item.data,
            "received_ms": now_ms,
        }
        statement = upsert(connection, blob).values(values).on_conflict_do_nothing()
        if connection.execute(statement).rowcount:
            connection.execute(
                insert(work).values(
                    kind="blob", subject=item.artifact, number=item.blob_kind, queued_ms=now_ms
                )
            )

    def _place(
        self, connection: Connection, host_no: int, path: str, columns: dict[str, Any]
    ) -> int:
        key = hashlib.sha256(path.encode()).digest()
        known = connection.execute(
            update(place)
            .where(place.c.host_no == host_no, place.c.path_hash == key)
            .values(columns)
            .returning(place.c.place_no)
        ).scalar_one_or_none()
        if known is not None:
            return int(known)
        columns = columns | {
            "host_no": host_no,
            "path_hash": key,
            "first_seen_ms": self.clock.now_ms(),
        }
        statement = insert(place).values(columns).returning(place.c.place_no)
        return int(connection.execute(statement).scalar_one())

    def _keep_past(self, connection: Connection, host_no: int, path: str) -> None:
        """Write down what the place was until now."""
        names = [c.name for c in place_past.columns if c.name in place.columns]
        now_ms = self.clock.now_ms()
        before = select(*(place.c[name] for name in names), place.c.changed_ms, literal(now_ms))
        key = hashlib.sha256(path.encode()).digest()
        connection.execute(
            insert(place_past).from_select(
                [*names, "from_ms", "to_ms"],
                before.where(
                    place.c.host_no == host_no,
                    place.c.path_hash == key,
                    place.c.gone_ms.is_(None),
                    place.c.changed_ms < now_ms,
                ),
            )
        )

    def _version(
        self, connection: Connection, place_no: int, content: bytes, row: bytes, cause: str
    ) -> None:
        now_ms = self.clock.now_ms()
        self.batches += 1
        connection.execute(
            update(place_version)
            .where(place_version.c.place_no == place_no, place_version.c.to_ms.is_(None))
            .values(to_ms=now_ms)
        )
        connection.execute(
            insert(place_version).values(
                place_no=place_no,
                from_ms=now_ms,
                manifest=content,
                row=row,
                cause=cause,
                observed_ms=now_ms,
                skipped=0,
                batch_no=self.batches,
            )
        )
        connection.execute(
            insert(work).values(kind="batch", subject=b"", number=self.batches, queued_ms=now_ms)
        )

    def _hold(self, connection: Connection, host_no: int) -> None:
        """Count the host's holdings anew."""
        connection.execute(delete(holding).where(holding.c.host_no == host_no))
        counts: dict[tuple[bytes, str], list[int]] = {}
        rows = connection.execute(
            select(place.c.use, manifest_entry.c.artifact, manifest_entry.c.kind)
            .join(manifest_entry, manifest_entry.c.manifest == place.c.manifest)
            .where(
                place.c.host_no == host_no,
                place.c.gone_ms.is_(None),
                place.c.role != "trust-store",
                manifest_entry.c.artifact != b"",
            )
        )
        for use, artifact, kind in rows:
            counts.setdefault((artifact, kind), [0, 0])[use == "retained"] += 1
        for (artifact, kind), (live, retained) in counts.items():
            connection.execute(
                insert(holding).values(
                    artifact=artifact,
                    host_no=host_no,
                    kind=kind,
                    live=live,
                    retained=retained,
                    roles=1,
                )
            )
