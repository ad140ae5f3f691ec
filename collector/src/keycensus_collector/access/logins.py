"""Who may try a password now: slows down guessing, and locks nobody out for good.

1. An attempt counts as failed before the password is looked at, in one transaction, so that many at
   once are no way around; one that succeeds is taken back.
2. It counts thrice: for the account from this address, for the address, and for the account. Each
   gives some attempts for nothing, and then a waiting time that doubles up to a most. While one has to
   wait nothing is looked at, and nothing counts.
3. From an address where this user signed in before, only the first counts: who guesses from elsewhere
   can't lock the user out. All of it is forgotten after an hour without an attempt.
4. A name that nobody has counts, waits and is answered as one that somebody has.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, update

from keycensus_collector.access import audit
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.access import login_address, login_failure

_FORGET_MS = 3_600_000
_FIRST_WAIT_MS = 1_000
# An address is remembered as long as a browser would remember a device.
_KNOWN_MS = 90 * 86_400_000
# A provider gives a customer this much of an IPv6 address.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What is counted together: attempts for nothing, and the longest wait after them."""

    key: bytes
    free: int
    most_wait_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: either it has to wait, or its password is to be compared with the hash."""

    name: str
    user_no: int | None
    address: bytes
    familiar: bool = False
    wait_ms: int = 0
    password_hash: str = field(default="", repr=False)


def begin(connection: Connection, *, name: str, address: str, now_ms: int) -> Attempt:
    """Count an attempt, or say how long to wait before the next, by the rules above."""
    row = connection.execute(
        select(user.c.user_no, user.c.password_hash).where(
            user.c.name == name, user.c.disabled_ms.is_(None)
        )
    ).one_or_none()
    where = _hash("address", _network(address))
    number = None if row is None else int(row.user_no)
    familiar = _is_familiar(connection, number, where, now_ms)
    buckets = _buckets(name, where, familiar=familiar)
    wait_ms = _wait(connection, buckets, now_ms)
    if wait_ms > 0:
        return Attempt(name, number, where, familiar, wait_ms)
    _forget(connection, now_ms)
    for bucket in buckets:
        _count(connection, bucket, now_ms)
    stored = "" if row is None else str(row.password_hash)
    return Attempt(name, number, where, familiar, password_hash=stored)


def succeeded(connection: Connection, attempt: Attempt, now_ms: int) -> None:
    """Take back what an attempt counted, and remember its address for this user."""
    pair, *others = _buckets(attempt.name, attempt.address, familiar=attempt.familiar)
    connection.execute(delete(login_failure).where(login_failure.c.subject == pair.key))
    for bucket in others:
        _take_back(connection, bucket)
    old = login_address.c.last_ms < now_ms - _KNOWN_MS
    connection.execute(delete(login_address).where(old))
    values = {"user_no": attempt.user_no, "address": attempt.address, "last_ms": now_ms}
    statement = upsert(connection, login_address).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["user_no", "address"], set_={"last_ms": now_ms}
        )
    )


def begin_elsewhere(connection: Connection, *, address: str, now_ms: int) -> Attempt:
    """Count an attempt that shows no name, as one that comes back from a provider; or say how long to wait.

    It counts for the address alone. `succeeded_elsewhere` takes it back.
    """
    where = _hash("address", _network(address))
    bucket = _by_address(where)
    wait_ms = _wait(connection, [bucket], now_ms)
    if wait_ms <= 0:
        _forget(connection, now_ms)
        _count(connection, bucket, now_ms)
    return Attempt("", None, where, wait_ms=max(wait_ms, 0))


def succeeded_elsewhere(connection: Connection, attempt: Attempt) -> None:
    """Take back what such an attempt counted."""
    _take_back(connection, _by_address(attempt.address))


def failed(connection: Connection, attempt: Attempt, *, address: str, now_ms: int) -> None:
    """Write the failure to the audit log. A name that nobody has is not kept: it may be a password."""
    audit.record(
        connection,
        at_ms=now_ms,
        actor="nobody",
        action="session.refused",
        subject="" if attempt.user_no is None else attempt.name,
        detail={"address": address},
    )


def _buckets(name: str, address: bytes, *, familiar: bool) -> list[_Bucket]:
    account = _hash("account", name)
    pair = _Bucket(hashlib.sha256(account + address).digest(), 5, 15 * 60_000)
    if familiar:
        return [pair]
    return [pair, _by_address(address), _Bucket(account, 20, 5 * 60_000)]


def _by_address(address: bytes) -> _Bucket:
    return _Bucket(address, 20, 15 * 60_000)


def _is_familiar(connection: Connection, user_no: int | None, address: bytes, now_ms: int) -> bool:
    known = login_address.c
    return (
        connection.execute(
            select(known.last_ms).where(
                known.user_no == (-1 if user_no is None else user_no),
                known.address == address,
                known.last_ms >= now_ms - _KNOWN_MS,
            )
        ).first()
        is not None
    )


def _wait(connection: Connection, buckets: list[_Bucket], now_ms: int) -> int:
    until = connection.execute(
        select(login_failure.c.blocked_until_ms).where(
            login_failure.c.subject.in_([bucket.key for bucket in buckets])
        )
    ).scalars()
    return max((int(moment) - now_ms for moment in until), default=0)


def _forget(connection: Connection, now_ms: int) -> None:
    connection.execute(delete(login_failure).where(login_failure.c.last_ms < now_ms - _FORGET_MS))


def _take_back(connection: Connection, bucket: _Bucket) -> None:
    connection.execute(
        update(login_failure)
        .where(login_failure.c.subject == bucket.key)
        .values(failures=login_failure.c.failures - 1, blocked_until_ms=0)
    )


def _count(connection: Connection, bucket: _Bucket, now_ms: int) -> None:
    """Add a failure. The row is locked by the write before it is read back."""
    failure = login_failure.c
    start = {"subject": bucket.key, "failures": 1, "last_ms": now_ms, "blocked_until_ms": 0}
    statement = upsert(connection, login_failure).values(start)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["subject"],
            set_={"failures": failure.failures + 1, "last_ms": now_ms},
        )
    )
    failures = connection.execute(
        select(failure.failures).where(failure.subject == bucket.key)
    ).scalar_one()
    beyond = failures - bucket.free
    if beyond >= 0:
        wait_ms = min(_FIRST_WAIT_MS << min(beyond, 20), bucket.most_wait_ms)
        connection.execute(
            update(login_failure)
            .where(failure.subject == bucket.key)
            .values(blocked_until_ms=now_ms + wait_ms)
        )


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
    return str(found)


def _hash(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}:{text}".encode("utf-8", "surrogatepass")).digest()
