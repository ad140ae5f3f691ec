"""Everything about one thing, and where it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from keycensus_collector.imports.listing import lists_naming
from keycensus_collector.inventory import results
from keycensus_collector.inventory.certificates import certificate_of, select_certificates
from keycensus_collector.inventory.history import history_of
from keycensus_collector.inventory.hosts import host_detail
from keycensus_collector.inventory.keys import find_key
from keycensus_collector.inventory.known_keys import known_key
from keycensus_collector.inventory.labels import labels_of
from keycensus_collector.inventory.owners import ownership_of, with_owners
from keycensus_collector.inventory.places import (
    MOST_ORDERED,
    PLACES_LIMIT,
    PRIVATE_KINDS,
    count_places_of,
    places_of,
    places_on,
)
from keycensus_collector.inventory.revocation import revocation_of, with_revocation
from keycensus_collector.inventory.untaken import is_over_cap
from keycensus_collector.inventory.usages import told_of, usages_of, usages_on
from keycensus_collector.inventory.values import certificate_name, lines_of, time_text
from keycensus_collector.marks.reaching import marks_reaching_one
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.why import why_artifact
from keycensus_collector.store.schema import (
    certificate,
    host,
    issuer_edge,
    line,
    line_step,
    manifest_entry,
    public_key,
    request,
    revocation_list,
)
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY

# Longer chains of authorities are made by mistake, or to make others loop.
_CHAIN = 10
_LINKS = 100
_KEY_KINDS = (*PRIVATE_KINDS, "public-key")
_KINDS = {
    "certificate": ("certificate",),
    "key": _KEY_KINDS,
    "request": ("csr",),
    "revocation-list": ("crl",),
    "over-cap": ("certificate", "csr", "crl", "private-key", "public-key"),
}


def show(connection: Connection, match: results.Match, now_ms: int) -> results.Shown | None:
    """Return everything about what `identify` found; None if it is gone meanwhile."""
    if match.kind == "host":
        found = host_detail(connection, match.id, now_ms)
        return None if found is None else results.Shown("host", host=found)
    identity = bytes.fromhex(match.id)
    if match.kind == "certificate":
        detail = certificate_detail(connection, identity, now_ms)
        return None if detail is None else results.Shown("certificate", certificate=detail)
    if match.kind == "key":
        key = key_detail(connection, identity)
        return None if key is None else results.Shown("key", key=key)
    document = _document(connection, match.kind, identity)
    return None if document is None else results.Shown(match.kind, document=document)


def where(connection: Connection, match: results.Match, now_ms: int) -> results.Where:
    """Return every place of what `identify` found; of a host, all its places."""
    if match.kind == "host":
        number = connection.execute(
            select(host.c.host_no).where(host.c.host_id == match.id)
        ).scalar_one()
        places = places_on(connection, number, limit=PLACES_LIMIT)
        usages = usages_on(connection, number)
        return results.Where(match.kind, match.id, match.name, places, len(places), usages)
    identity, kinds = bytes.fromhex(match.id), _KINDS[match.kind]
    usages = usages_of(connection, identity, kinds)
    revocation = None
    if match.kind == "certificate":
        counts = select(certificate.c.live_places + certificate.c.retained_places)
        folded = connection.execute(counts.where(certificate.c.sha256 == identity)).scalar()
        places, total = _places(connection, identity, folded or 0)
        revocation = revocation_of(connection, identity, now_ms)
    else:
        places = places_of(connection, [identity], kinds).get(identity, [])
        total = count_places_of(connection, identity, kinds)
    return results.Where(match.kind, match.id, match.name, places, total, usages, revocation)


def certificate_detail(
    connection: Connection, sha256: bytes, now_ms: int
) -> results.CertificateDetail | None:
    """Return everything about a certificate; None if there is none of this hash."""
    row = connection.execute(
        select_certificates().where(certificate.c.sha256 == sha256)
    ).one_or_none()
    if row is None:
        return None
    kinds = ("certificate",)
    item = certificate_of(row, told_of(connection, [sha256]))
    item = with_revocation(connection, with_owners(connection, [item]), now_ms)[0]
    names = [] if item.is_ca and not item.self_signed else item.names or [item.name]
    places, total = _places(connection, sha256, row.live_places + row.retained_places)
    return results.CertificateDetail(
        certificate=item,
        chain=_chain(connection, sha256),
        places=places,
        places_total=total,
        private_key=find_key(connection, row.key_id, ("private-key",)) if row.key_id else None,
        predecessors=_steps(connection, sha256, before=True),
        successors=_steps(connection, sha256, before=False),
        line_name=_line_name(connection, row.line_no),
        history=history_of(connection, sha256, kinds),
        usages=usages_of(connection, sha256, kinds, names=names),
        marks=marks_reaching_one(connection, "certificate", sha256, row.key_id),
        ownership=ownership_of(why_artifact(connection, CERTIFICATE, sha256)),
        labels=labels_of(connection, Thing("certificate", artifact=sha256)),
        revocation=revocation_of(connection, sha256, now_ms),
        listed=lists_naming(connection, sha256),
    )


def _places(connection: Connection, sha256: bytes, folded: int) -> tuple[list[results.Place], int]:
    """Return places of a certificate, and how many there are: many as the fold counted them, `folded`."""
    kinds, are_many = ("certificate",), folded > MOST_ORDERED
    places = places_of(connection, [sha256], kinds, are_many=are_many).get(sha256, [])
    return places, folded if are_many else count_places_of(connection, sha256, kinds)


def key_detail(connection: Connection, identity: bytes) -> results.KeyDetail | None:
    """Return everything about a key, also one whose private half stands nowhere; None if unknown."""
    key = find_key(connection, identity, PRIVATE_KINDS) or _public_half(connection, identity)
    if key is None:
        return None
    rows = connection.execute(
        select(certificate)
        .where(certificate.c.key_id == identity)
        .order_by(certificate.c.not_after_ms.desc())
        .limit(_LINKS)
    )
    return results.KeyDetail(
        key=key,
        places_total=count_places_of(connection, identity, _KEY_KINDS),
        certificates=[link_of(row) for row in rows],
        history=history_of(connection, identity, _KEY_KINDS),
        usages=usages_of(connection, identity, _KEY_KINDS),
        marks=marks_reaching_one(connection, "key", identity, identity),
        ownership=ownership_of(why_artifact(connection, KEY, identity)),
    )


def _public_half(connection: Connection, identity: bytes) -> results.Key | None:
    row = connection.execute(
        select(public_key).where(public_key.c.key_id == identity)
    ).one_or_none()
    if row is None:
        return None
    places = places_of(connection, [identity], ("public-key",)).get(identity, [])
    return results.Key(
        id=identity.hex(),
        kind="public-key",
        algorithm=row.algorithm,
        bits=row.bits,
        curve=row.curve,
        live_places=0,
        retained_places=0,
        hosts=0,
        certificates=[],
        problem=row.problem,
        places=places,
        known_key=known_key(identity),
    )


def _chain(connection: Connection, sha256: bytes) -> list[results.Link]:
    """Follow verified signatures upwards; of several issuers of one key the one that lasts longest."""
    chain: list[results.Link] = []
    seen = {sha256}
    current = sha256
    while len(chain) < _CHAIN:
        row = connection.execute(
            select(certificate)
            .join(issuer_edge, issuer_edge.c.parent == certificate.c.sha256)
            .where(issuer_edge.c.child == current, certificate.c.sha256.not_in(seen))
            .order_by(certificate.c.self_signed.desc(), certificate.c.not_after_ms.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            break
        chain.append(link_of(row))
        current = row.sha256
        seen.add(current)
    return chain


def _steps(connection: Connection, sha256: bytes, *, before: bool) -> list[results.Link]:
    own, other = line_step.c.successor, line_step.c.predecessor
    if not before:
        own, other = other, own
    rows = connection.execute(
        select(certificate, line_step.c.kind.label("step"), line_step.c.at_ms.label("at_ms"))
        .join(line_step, other == certificate.c.sha256)
        .where(own == sha256)
        .order_by(line_step.c.at_ms.desc())
        .limit(_LINKS)
    )
    return [link_of(row, row.step, row.at_ms) for row in rows]


def link_of(row: Row[Any], step: str = "", at_ms: int | None = None) -> results.Link:
    """Return a certificate as others name it."""
    return results.Link(
        sha256=row.sha256.hex(),
        name=certificate_name(row.common_name, row.names_text, row.subject, row.sha256),
        subject=row.subject,
        not_before=time_text(row.not_before_ms),
        not_after=time_text(row.not_after_ms),
        live_places=row.live_places,
        step=step,
        at=time_text(at_ms),
    )


def _line_name(connection: Connection, line_no: int | None) -> str:
    if line_no is None:
        return ""
    return connection.execute(select(line.c.name).where(line.c.line_no == line_no)).scalar() or ""


def _document(connection: Connection, kind: str, sha256: bytes) -> results.DocumentDetail | None:
    if kind == "over-cap":
        return _over_cap(connection, sha256)
    table = request if kind == "request" else revocation_list
    row = connection.execute(select(table).where(table.c.sha256 == sha256)).one_or_none()
    if row is None:
        return None
    places = places_of(connection, [sha256], _KINDS[kind]).get(sha256, [])
    if kind == "request":
        return results.DocumentDetail(
            sha256=sha256.hex(),
            subject=row.subject,
            names=lines_of(row.names_text),
            key_id=row.key_id.hex(),
            this_update=None,
            next_update=None,
            revoked_count=0,
            problem=row.problem,
            places=places,
        )
    return results.DocumentDetail(
        sha256=sha256.hex(),
        subject=row.issuer,
        names=[],
        key_id="",
        this_update=time_text(row.this_update_ms),
        next_update=time_text(row.next_update_ms),
        revoked_count=row.revoked_count,
        problem=row.problem,
        places=places,
        number=row.number.lstrip("0") or row.number[:1],
        base_number=row.base_number.lstrip("0") or row.base_number[:1],
        scope=_scope(row),
        state=row.state,
        why=row.why,
        origin=row.origin,
    )


def _scope(row: Row[Any]) -> str:
    """Return what a revocation list is about, in words; empty: everything that its issuer issued."""
    parts = [
        f"{row.only_contains} certificates only" if row.only_contains else "",
        "some reasons only" if row.reasons else "",
        "one distribution point" if row.points else "",
        "other issuers' certificates too" if row.indirect else "",
    ]
    return ", ".join(filter(None, parts))


def _over_cap(connection: Connection, sha256: bytes) -> results.DocumentDetail | None:
    row = connection.execute(
        select(manifest_entry.c.kind, manifest_entry.c.size)
        .where(manifest_entry.c.artifact == sha256, is_over_cap())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return results.DocumentDetail(
        sha256=sha256.hex(),
        subject="",
        names=[],
        key_id="",
        this_update=None,
        next_update=None,
        revoked_count=0,
        problem=f"{row.kind} of {row.size} bytes: too long to be sent, so only its name is known",
        places=places_of(connection, [sha256], _KINDS["over-cap"]).get(sha256, []),
    )
