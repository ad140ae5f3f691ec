"""What each table is for somebody who sees the things of some teams only.

Each table of the inventory stands here once, as a statement that gives the rows in scope, with the same
columns under the same names; `access.scope` puts them in the place of the tables. What was folded over
everything (counts, owners, names of lines) is worked out again from the rows in scope.

- A place is seen if one of the teams owns it, itself or by its host. A host is seen if it, or a place
  on it, is. What is about a host as such (gaps, refusals, counters) is its owner's.
- A certificate, key, request or list is seen if a place that is seen holds or held it, or a listener
  that is seen presents it, or one of the teams owns it.
- Who owns a thing now decides about its past, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    TableClause,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
    true,
    union,
    union_all,
)

from keycensus_collector.ownership.scope import artifact_owned_by, host_owned_by, place_owned_by
from keycensus_collector.store import schema
from keycensus_collector.store.tables import (
    figures,
    imports,
    known_hosts,
    listed,
    marks,
    ownership,
    recertification,
    revocation,
)
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY

Statement = Any  # a select, or several joined by union: what a common table expression holds
Teams = Collection[int]

# Tables without anything of the inventory in them; what a statement names beside these and the
# scoped ones is refused.
OPEN_TABLES = frozenset(
    {
        "api_token",
        "audit",
        "audit_chain",
        "audit_sent",
        "certificate_list",
        "certificate_list_issuer",
        "deployment",
        "first_use",
        "login_address",
        "login_failure",
        "oidc_account",
        "oidc_code",
        "oidc_state",
        "preference",
        "user",
        "user_session",
        "view",
    }
)


def _as_scoped(original: Table) -> TableClause:
    """Return the name of a table as a statement has it: what is in scope of it."""
    return table(original.name, *(column(each.name, each.type) for each in original.columns))


_place = _as_scoped(schema.place)
_host = _as_scoped(schema.host)
_usage = _as_scoped(schema.usage)
_entry = _as_scoped(schema.manifest_entry)
_part = _as_scoped(schema.manifest_part)
_certificate = _as_scoped(schema.certificate)
_key = _as_scoped(schema.public_key)
_owner = _as_scoped(ownership.artifact_owner)
_mark = _as_scoped(marks.mark)
_revocation = _as_scoped(revocation.certificate_revocation)

_ZERO: ColumnElement[Any] = literal_column("0")

# Sets that the statements below are made of.
_manifests = table("scoped_manifest", column("hash"))
_artifacts = table("scoped_artifact", column("artifact"), column("kind", Text()))
_held = table(
    "scoped_held", column("artifact"), column("kind", Text()), column("manifest"), column("names")
)
_counts = table(
    "scoped_count",
    column("artifact"),
    column("kind", Text()),
    column("live"),
    column("retained"),
    column("in_use"),
    column("open"),
    column("hosts"),
)


def _all(original: Table, **replaced: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return the columns of a table, some of them by what stands for them here."""
    return [
        replaced[each.name].label(each.name) if each.name in replaced else each
        for each in original.columns
    ]


def _in(value: ColumnElement[Any], of: ColumnElement[Any]) -> ColumnElement[bool]:
    return value.in_(select(of))


def _places(teams: Teams) -> Statement:
    return select(schema.place).where(place_owned_by(schema.place, teams))


def _of_places(original: Table) -> Callable[[Teams], Statement]:
    return lambda _: select(original).where(_in(original.c.place_no, _place.c.place_no))


def _hosts(teams: Teams) -> Statement:
    owned = host_owned_by(schema.host, teams)
    counters = case((owned, schema.host.c.counters), else_=literal_column("'{}'"))
    return select(*_all(schema.host, counters=counters)).where(
        or_(owned, _in(schema.host.c.host_no, _place.c.host_no))
    )


def _of_hosts(original: Table) -> Callable[[Teams], Statement]:
    return lambda _: select(original).where(_in(original.c.host_no, _host.c.host_no))


def _of_own_hosts(original: Table) -> Callable[[Teams], Statement]:
    return lambda teams: select(original).where(host_owned_by(original, teams))


def _usages(teams: Teams) -> Statement:
    """Return usages that name a place that is seen, and those of own hosts that name no place at all."""
    usage, named = schema.usage, schema.usage_place

    def names(places: FromClause) -> ColumnElement[bool]:
        return exists().where(
            named.c.usage_no == usage.c.usage_no,
            places.c.host_no == usage.c.host_no,
            places.c.path_hash == named.c.path_hash,
        )

    return select(usage).where(
        or_(names(_place), and_(host_owned_by(usage, teams), ~names(schema.place)))
    )


def _scoped_manifests(_: Teams) -> Statement:
    version = schema.place_version
    whole = union(
        select(_place.c.manifest.label("hash")),
        select(version.c.manifest).where(_in(version.c.place_no, _place.c.place_no)),
        select(_usage.c.manifest),
    ).subquery("whole")
    part = schema.manifest_part
    return union(
        select(whole.c.hash),
        select(part.c.part).join(whole, whole.c.hash == part.c.manifest),
    )


def _entries(_: Teams) -> Statement:
    return select(schema.manifest_entry).where(
        _in(schema.manifest_entry.c.manifest, _manifests.c.hash)
    )


def _parts(_: Teams) -> Statement:
    return select(schema.manifest_part).where(
        _in(schema.manifest_part.c.manifest, _manifests.c.hash)
    )


def _manifest_rows(_: Teams) -> Statement:
    return select(schema.manifest).where(_in(schema.manifest.c.hash, _manifests.c.hash))


def _scoped_artifacts(teams: Teams) -> Statement:
    certificate, key = schema.certificate.c.sha256, schema.public_key.c.key_id
    return union(
        select(_entry.c.artifact, _entry.c.kind),
        select(certificate, literal_column("'certificate'")).where(
            artifact_owned_by(certificate, CERTIFICATE, teams)
        ),
        select(key, literal_column("'public-key'")).where(artifact_owned_by(key, KEY, teams)),
    )


def _artifact(value: ColumnElement[Any], *kinds: str) -> ColumnElement[bool]:
    of = select(_artifacts.c.artifact)
    words: list[ColumnElement[Any]] = [literal(kind) for kind in kinds]
    return value.in_(of.where(_artifacts.c.kind.in_(words)))


def _scoped_held(_: Teams) -> Statement:
    """Which manifest holds an artifact, and under how many names of a tree: as `fold.counts` has it."""
    one: ColumnElement[Any] = literal_column("1")
    names = func.count(_part.c.name.distinct())
    direct = select(_entry.c.artifact, _entry.c.kind, _entry.c.manifest, one.label("names"))
    in_parts = (
        select(_entry.c.artifact, _entry.c.kind, _part.c.manifest, names.label("names"))
        .join(_part, _part.c.part == _entry.c.manifest)
        .group_by(_entry.c.artifact, _entry.c.kind, _part.c.manifest)
    )
    both = union_all(direct, in_parts).subquery("both")
    most = func.max(case((both.c.names > one, both.c.names), else_=one))
    return select(both.c.artifact, both.c.kind, both.c.manifest, most.label("names")).group_by(
        both.c.artifact, both.c.kind, both.c.manifest
    )


def _scoped_counts(_: Teams) -> Statement:
    kept = case((_place.c.use == literal_column("'retained'"), _held.c.names), else_=_ZERO)
    live = case((_place.c.use != literal_column("'retained'"), _held.c.names), else_=_ZERO)
    elsewhere = and_(
        _place.c.use != literal_column("'retained'"),
        _place.c.role != literal_column("'trust-store'"),
    )
    in_use = case((elsewhere, literal_column("1")), else_=_ZERO)
    readers, mode = _place.c.readable_by, _place.c.mode
    by_mode = and_(readers == literal_column("''"), mode.op("&")(literal_column("4")) != _ZERO)
    world = or_(readers == literal_column("'world'"), by_mode)
    is_open = case((and_(elsewhere, world), literal_column("1")), else_=_ZERO)
    return (
        select(
            _held.c.artifact,
            _held.c.kind,
            cast(func.sum(live), BigInteger).label("live"),
            cast(func.sum(kept), BigInteger).label("retained"),
            cast(func.sum(in_use), BigInteger).label("in_use"),
            func.max(is_open).label("open"),
            func.count(_place.c.host_no.distinct()).label("hosts"),
        )
        .join(_place, _place.c.manifest == _held.c.manifest)
        .where(_place.c.gone_ms.is_(None))
        .group_by(_held.c.artifact, _held.c.kind)
    )


_COUNTED = _counts.alias("counted")
# A second look, at the other half of a pair; what is counted stands somewhere.
_COUNTERPART = _counts.alias("counterpart")
_IN_USE: ColumnElement[Any] = func.coalesce(_COUNTED.c.in_use, _ZERO)
_FOLDED: dict[str, ColumnElement[Any]] = {
    "live_places": func.coalesce(_COUNTED.c.live, _ZERO),
    "retained_places": func.coalesce(_COUNTED.c.retained, _ZERO),
    "hosts": func.coalesce(_COUNTED.c.hosts, _ZERO),
}


def _owns(identity: ColumnElement[Any], kind: int) -> ColumnElement[Any]:
    owned = exists().where(
        _owner.c.artifact == identity,
        _owner.c.kind == literal(kind),
        _owner.c.owns.is_(True),
        _owner.c.to_ms.is_(None),
    )
    return cast(owned, Boolean)


def _certificates(_: Teams) -> Statement:
    row = schema.certificate
    owned = _owns(row.c.sha256, CERTIFICATE)
    edges = _as_scoped(schema.issuer_edge)
    issued = _in(row.c.sha256, edges.c.child)
    columns = _all(
        row,
        **_FOLDED,
        in_use=_IN_USE,
        owned=owned,
        rank=_ZERO,
        key_found=cast(_COUNTERPART.c.artifact.is_not(None), Boolean),
        issuer_found=cast(or_(row.c.self_signed, issued), Boolean),
    )
    same = and_(
        _COUNTED.c.artifact == row.c.sha256, _COUNTED.c.kind == literal_column("'certificate'")
    )
    its_key = and_(
        _COUNTERPART.c.artifact == row.c.key_id,
        _COUNTERPART.c.kind == literal_column("'private-key'"),
    )
    return (
        select(*columns)
        .select_from(row.outerjoin(_COUNTED, same).outerjoin(_COUNTERPART, its_key))
        .where(_artifact(row.c.sha256, "certificate"))
    )


def _keys(_: Teams) -> Statement:
    row = schema.public_key
    is_open = cast(func.coalesce(_COUNTED.c.open, _ZERO) > _ZERO, Boolean)
    own = schema.certificate.alias("its_certificate")
    certificates = (
        select(own.c.key_id)
        .join(_COUNTERPART, _COUNTERPART.c.artifact == own.c.sha256)
        .where(_COUNTERPART.c.kind == literal_column("'certificate'"))
    )
    columns = _all(
        row,
        **_FOLDED,
        in_use=_IN_USE,
        owned=_owns(row.c.key_id, KEY),
        certified=cast(row.c.key_id.in_(certificates), Boolean),
        world_readable=is_open,
    )
    same = and_(
        _COUNTED.c.artifact == row.c.key_id, _COUNTED.c.kind == literal_column("'private-key'")
    )
    return (
        select(*columns)
        .select_from(row.outerjoin(_COUNTED, same))
        .where(_artifact(row.c.key_id, "private-key", "public-key"))
    )


def _holding(_: Teams) -> Statement:
    """Return what hosts hold outside trust stores, counted at the places in scope."""
    at, holding = _place.c, schema.holding
    retained = at.use == literal_column("'retained'")
    roles = [
        func.max(case((at.role == literal(role), literal(bit)), else_=_ZERO))
        for role, bit in (("server", 1), ("client", 2), ("ca", 4))
    ]
    known: list[ColumnElement[Any]] = [literal(role) for role in ("server", "client", "ca")]
    other = func.max(case((at.role.not_in(known), literal_column("8")), else_=_ZERO))
    found = {
        "artifact": _held.c.artifact,
        "host_no": at.host_no,
        "kind": _held.c.kind,
        # As the table's: sums of what PostgreSQL makes of a sum would be no integers any more.
        "live": cast(func.sum(case((retained, _ZERO), else_=literal_column("1"))), Integer),
        "retained": cast(func.sum(case((retained, literal_column("1")), else_=_ZERO)), Integer),
        "roles": roles[0] + roles[1] + roles[2] + other,
    }
    return (
        select(*(found[each.name].label(each.name) for each in holding.columns))
        .select_from(_held.join(_place, at.manifest == _held.c.manifest))
        .where(
            at.gone_ms.is_(None),
            at.role != literal_column("'trust-store'"),
            func.length(_held.c.artifact) > _ZERO,
        )
        .group_by(_held.c.artifact, at.host_no, _held.c.kind)
    )


def _names(_: Teams) -> Statement:
    row = schema.certificate_name
    return select(row).where(_artifact(row.c.sha256, "certificate"))


def _edges(_: Teams) -> Statement:
    row = schema.issuer_edge
    return select(row).where(
        _artifact(row.c.child, "certificate"), _artifact(row.c.parent, "certificate")
    )


def _steps(_: Teams) -> Statement:
    row = schema.line_step
    return select(row).where(
        _artifact(row.c.successor, "certificate"),
        _artifact(row.c.predecessor, "certificate"),
        _in(row.c.place_no, _place.c.place_no),
    )


def _lines(_: Teams) -> Statement:
    """Return lines; each has the name of the newest of its certificates that are seen."""
    row, of, names = schema.line, schema.certificate, schema.certificate_name
    first = (
        select(names.c.value)
        .where(names.c.sha256 == of.c.sha256, names.c.value != literal_column("''"))
        .order_by(names.c.position)
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    name = (
        select(
            case(
                (of.c.common_name != literal_column("''"), of.c.common_name),
                else_=func.coalesce(first, of.c.subject),
            )
        )
        .where(of.c.line_no == row.c.line_no, _artifact(of.c.sha256, "certificate"))
        .order_by(of.c.not_before_ms.desc(), of.c.sha256.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    return select(*_all(row, name=name)).where(
        exists().where(of.c.line_no == row.c.line_no, _artifact(of.c.sha256, "certificate"))
    )


def _blobs(_: Teams) -> Statement:
    row = schema.blob
    return select(row).where(
        or_(_in(row.c.hash, _artifacts.c.artifact), _in(row.c.hash, _manifests.c.hash))
    )


def _documents(original: Table, kind: str) -> Callable[[Teams], Statement]:
    return lambda _: select(original).where(_artifact(original.c.sha256, kind))


def _revocations(_: Teams) -> Statement:
    row = revocation.certificate_revocation
    return select(row).where(_artifact(row.c.certificate, "certificate"))


def _listed(_: Teams) -> Statement:
    row = listed.listed_certificate
    return select(row).where(_artifact(row.c.certificate, "certificate"))


def _lists_in_force(_: Teams) -> Statement:
    row = revocation.list_in_force
    return select(row).where(
        or_(_in(row.c.series_no, _revocation.c.series_no), _artifact(row.c.sha256, "crl"))
    )


def _revocation_lists(_: Teams) -> Statement:
    """Return lists that places in scope hold, or that tell of certificates in scope."""
    row, told = schema.revocation_list, _as_scoped(revocation.list_in_force)
    origin: ColumnElement[Any] = literal_column("''")
    return select(*_all(row, origin=origin)).where(
        or_(_artifact(row.c.sha256, "crl"), _in(row.c.sha256, told.c.sha256))
    )


def _marks(_: Teams) -> Statement:
    row = marks.mark
    return select(row).where(_artifact(row.c.subject, "certificate", "private-key", "public-key"))


def _reappearances(_: Teams) -> Statement:
    row = marks.reappearance
    return select(row).where(
        _in(row.c.place_no, _place.c.place_no), _in(row.c.mark_no, _mark.c.mark_no)
    )


def _of_teams(original: Table) -> Callable[[Teams], Statement]:
    def statement(teams: Teams) -> Select[Any]:
        numbers: list[ColumnElement[Any]] = [literal(int(number)) for number in sorted(teams)]
        return select(original).where(original.c.team_no.in_(numbers) if numbers else false())

    return statement


def _labels(_: Teams) -> Statement:
    """Return labels of what is seen; what a rule said of a certificate may rest on others' places."""
    row, line = ownership.label, _as_scoped(schema.line)
    manual: ColumnElement[Any] = literal_column("'manual'")
    host: ColumnElement[Any] = literal_column("'host'")
    return select(row).where(
        or_(
            and_(row.c.kind == host, _in(row.c.number, _host.c.host_no)),
            and_(row.c.source == manual, _artifact(row.c.artifact, "certificate")),
            and_(row.c.kind == literal_column("'line'"), _in(row.c.number, line.c.line_no)),
        )
    )


def _artifact_owners(teams: Teams) -> Statement:
    """Return what these teams own; what they share with others only is theirs alone here."""
    row = ownership.artifact_owner
    other = row.alias("other")
    numbers: list[ColumnElement[Any]] = [literal(int(number)) for number in sorted(teams)]
    if not numbers:
        return select(row).where(false())
    shared: ColumnElement[Any] = literal_column("'shared'")
    with_another = exists().where(
        other.c.artifact == row.c.artifact,
        other.c.kind == row.c.kind,
        other.c.how == shared,
        other.c.to_ms.is_(None),
        other.c.team_no != row.c.team_no,
        other.c.team_no.in_(numbers),
    )
    how = case(
        (and_(row.c.how == shared, ~with_another), literal_column("'places'")), else_=row.c.how
    )
    return select(*_all(row, how=how)).where(row.c.team_no.in_(numbers))


def _people(_: Teams) -> Statement:
    row, member = ownership.person, _as_scoped(ownership.membership)
    of_one = _as_scoped(ownership.team)
    return select(row).where(
        or_(_in(row.c.person_no, member.c.person_no), _in(row.c.person_no, of_one.c.person_no))
    )


def _campaigns(_: Teams) -> Statement:
    """Return campaigns that ask these teams; the query may name what others have."""
    row, asked = recertification.campaign, _as_scoped(recertification.campaign_line)
    return select(*_all(row, query=literal_column("''"))).where(
        _in(row.c.campaign_no, asked.c.campaign_no)
    )


def _odd_trust_stores(_: Teams) -> Statement:
    row = figures.odd_trust_store
    return select(row).where(_in(row.c.manifest, _manifests.c.hash))


def _nothing(original: Table) -> Callable[[Teams], Statement]:
    return lambda _: select(original).where(~true())


# By name: the statement, and whether it is a set that is worked out once for a statement.
SCOPED: dict[str, tuple[Callable[[Teams], Statement], bool]] = {
    "place": (_places, False),
    "place_version": (_of_places(schema.place_version), False),
    "place_past": (_of_places(schema.place_past), False),
    "host": (_hosts, False),
    "host_state": (_of_hosts(schema.host_state), False),
    "agent": (_of_hosts(schema.agent), False),
    "gap": (_of_own_hosts(schema.gap), False),
    "refusal": (_of_own_hosts(schema.refusal), False),
    "usage": (_usages, False),
    "usage_place": (
        lambda _: select(schema.usage_place).where(
            _in(schema.usage_place.c.usage_no, _usage.c.usage_no)
        ),
        False,
    ),
    "scoped_manifest": (_scoped_manifests, True),
    "manifest": (_manifest_rows, False),
    "manifest_entry": (_entries, False),
    "manifest_part": (_parts, False),
    "scoped_artifact": (_scoped_artifacts, True),
    "scoped_held": (_scoped_held, True),
    "scoped_count": (_scoped_counts, True),
    "artifact_owner": (_artifact_owners, False),
    "certificate": (_certificates, False),
    "public_key": (_keys, False),
    "holding": (_holding, True),
    "certificate_name": (_names, False),
    "issuer_edge": (_edges, False),
    "line_step": (_steps, False),
    "line": (_lines, False),
    "blob": (_blobs, False),
    "request": (_documents(schema.request, "csr"), False),
    "certificate_revocation": (_revocations, False),
    "listed_certificate": (_listed, False),
    "list_in_force": (_lists_in_force, False),
    "revocation_list": (_revocation_lists, False),
    "revocation_series": (_nothing(revocation.revocation_series), False),
    "revocation_issuer": (_nothing(revocation.revocation_issuer), False),
    "revocation_entry": (_nothing(revocation.revocation_entry), False),
    "revocation_work": (_nothing(revocation.revocation_work), False),
    "mark": (_marks, False),
    "reappearance": (_reappearances, False),
    "team": (_of_teams(ownership.team), False),
    "membership": (_of_teams(ownership.membership), False),
    "person": (_people, False),
    "host_owner": (_of_teams(ownership.host_owner), False),
    "place_owner": (_of_teams(ownership.place_owner), False),
    "owner_assignment": (_of_teams(ownership.owner_assignment), False),
    "owner_rule": (_of_teams(ownership.owner_rule), False),
    "owner_setting": (_nothing(ownership.owner_setting), False),
    "owner_work": (_nothing(ownership.owner_work), False),
    "owner_sweep": (_nothing(ownership.owner_sweep), False),
    "campaign": (_campaigns, False),
    "campaign_line": (_of_teams(recertification.campaign_line), False),
    # Counted over everything: whoever sees less is counted for when they ask.
    "figure": (_nothing(figures.figure), False),
    "odd_trust_store": (_odd_trust_stores, False),
    "label": (_labels, False),
    "fact_rule": (_nothing(ownership.fact_rule), False),
    "rule_file": (_nothing(ownership.rule_file), False),
    "import_record": (_of_hosts(imports.import_record), False),
    "known_host": (_nothing(known_hosts.known_host), False),
    "work": (_nothing(schema.work), False),
}
