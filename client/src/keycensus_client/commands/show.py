"""`keycensus show ID`: everything about one thing."""

from __future__ import annotations

from datetime import datetime

import click

from keycensus_client.commands.certs import print_certificates
from keycensus_client.commands.session import connect, now, text_or_json_option
from keycensus_client.commands.where import print_places
from keycensus_client.identity import resolve
from keycensus_client.model import (
    CertificateDetail,
    DocumentDetail,
    Host,
    HostDetail,
    Interval,
    KeyDetail,
    Link,
    ListedAs,
    MarkedBy,
    Place,
)
from keycensus_client.output.cells import (
    SHORT,
    ago,
    day,
    expires_in,
    key_type,
    private_key,
    urgency,
)
from keycensus_client.output.files import print_json
from keycensus_client.output.owners import labels_text, owners_text
from keycensus_client.output.revocation import revocation_cell
from keycensus_client.output.table import Cell, Column, print_facts, print_table
from keycensus_client.output.usages import notes_of, print_usages

_HISTORY = (
    Column("SINCE"),
    Column("UNTIL"),
    Column("HOST"),
    Column("PATH", fold=True),
    Column("CAUSE"),
)


@click.command("show")
@click.argument("id")
@text_or_json_option
def command(*, id: str, output: str) -> None:  # noqa: A002 - the argument's name, as in the usage
    """Show everything about what ID names: facts, chain, key, places, history.

    ID is a SHA-256 or SHA-1 fingerprint in any spelling (or its first 8 digits), a serial, a key's id,
    a host's name or UUID, a PEM or DER file, or host:port of a TLS server.
    """
    identity = resolve(id)
    with connect() as client:
        shown = client.show(identity.id, identity.kind)
    if output == "json":
        print_json(shown)
    elif shown.certificate:
        _certificate(shown.certificate, now())
    elif shown.key:
        _key(shown.key, now())
    elif shown.host:
        _host(shown.host, now())
    elif shown.document:
        _document(shown.document, shown.kind)


def _certificate(detail: CertificateDetail, moment: datetime) -> None:
    item = detail.certificate
    expiry = f"{item.not_after or 'unknown'} ({expires_in(item.not_after, moment)})"
    facts: list[tuple[str, Cell | str]] = [
        ("subject", item.subject or "(empty)"),
        ("names", "\n".join(item.names) or "none"),
        ("issuer", item.issuer or "(empty)"),
        ("serial", item.serial),
        ("not before", item.not_before or "unknown"),
        ("not after", Cell(expiry, urgency(item.not_after, moment) or "green")),
        ("key", f"{key_type(item.algorithm, item.bits, item.curve)}  {item.key_id}"),
        ("signature", item.signature_algorithm),
        ("use", " ".join(item.extended_key_usage) or "any"),
        ("authority", _authority(detail)),
        ("sha-256", item.sha256),
        ("sha-1", item.sha1),
        ("places", f"{item.live_places} live, {item.retained_places} retained"),
        ("private key", _private_key(detail)),
        ("chain", "\n".join(_link(link, moment) for link in detail.chain) or "no issuer known"),
    ]
    facts.insert(3, ("owner", owners_text(detail.ownership)))
    if detail.labels:
        facts.insert(4, ("labels", labels_text(detail.labels)))
    if item.importance:
        facts.append(("importance", str(item.importance)))
    if detail.line_name:
        facts.append(("line", f"{detail.line_name} ({item.line})"))
    for title, links in (("follows", detail.predecessors), ("followed by", detail.successors)):
        if links:
            facts.append((title, "\n".join(_link(link, moment) for link in links)))
    facts += _marks(detail.marks)
    if detail.revocation is not None:
        facts.append(("revoked", revocation_cell(detail.revocation)))
    if detail.listed:
        facts.append(("imported", "\n".join(map(_listed, detail.listed))))
    if (notes := notes_of(item)).text:
        facts.append(("notes", notes))
    if item.problem:
        facts.append(("problem", Cell(item.problem, "yellow")))
    print_facts(facts, f"certificate {item.name}")
    _places(detail.places, detail.places_total)
    print_usages(detail.usages)
    _history(detail.history)


def _marks(marks: list[MarkedBy]) -> list[tuple[str, Cell | str]]:
    lines = [
        f"{each.mark} since {day(each.since)} by {each.by}: {each.reason} (mark {each.number}"
        + ("" if each.on == "this" else f", on {each.on}, {each.name}")
        + (f"; came back {each.reappeared} times)" if each.reappeared else ")")
        for each in marks
    ]
    return [("marked", Cell("\n".join(lines), "red"))] if lines else []


def _listed(each: ListedAs) -> str:
    """Return what an import says: a list names it, from one file to another, and nothing between."""
    what = "on the list of its authority" if each.kind == "ca-list" else "in a file of certificates"
    until = f" until {day(each.until)}" if each.until else ""
    state = f" as {each.state}" if each.state else ""
    return f"{what}, {each.name},{state} from {day(each.since)}{until} (by {each.by or 'others'})"


def _authority(detail: CertificateDetail) -> str:
    item = detail.certificate
    return ("yes" if item.is_ca else "no") + (", self-signed" if item.self_signed else "")


def _private_key(detail: CertificateDetail) -> str:
    key = detail.private_key
    if key is None:
        return "found nowhere"
    lines = [
        f"{place.host}:{place.path}  {place.mode} {place.owner}"
        + ("  encrypted" if place.encrypted else "")
        + ("  retained" if place.use == "retained" else "")
        for place in key.places
    ]
    more = key.live_places + key.retained_places - len(lines)
    return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)


def _link(link: Link, moment: datetime) -> str:
    step = f"{link.step} on {day(link.at)}: " if link.step else ""
    return f"{step}{link.name}  {link.sha256[:SHORT]}  {expires_in(link.not_after, moment)}"


def _places(places: list[Place], total: int) -> None:
    if places:
        click.echo("")
        print_places(places)
        if total > len(places):
            click.echo(f"{len(places):,} of {total:,} places shown", err=True)


def _history(history: list[Interval]) -> None:
    if history:
        click.echo("")
        rows = [
            (part.since or "-", part.until or "now", part.host, part.path, part.cause)
            for part in history
        ]
        print_table(_HISTORY, rows)


def _key(detail: KeyDetail, moment: datetime) -> None:
    key = detail.key
    certificates = "\n".join(_link(link, moment) for link in detail.certificates)
    facts: list[tuple[str, Cell | str]] = [
        ("type", private_key(key) + (f", {key.curve}" if key.curve else "")),
        ("kind", key.kind),
        ("id", key.id),
        ("places", f"{key.live_places} live, {key.retained_places} retained"),
        ("certificates", certificates or "none known"),
    ]
    facts += _marks(detail.marks)
    facts.append(("owner", owners_text(detail.ownership)))
    if key.known_key:
        facts.append(("published", Cell(f"{key.known_key}: a test key that everybody has", "red")))
    if key.problem:
        facts.append(("problem", Cell(key.problem, "yellow")))
    print_facts(facts, f"key {key.id[:SHORT]}")
    _places(key.places, detail.places_total)
    print_usages(detail.usages)
    _history(detail.history)


def _host(detail: HostDetail, moment: datetime) -> None:
    host = detail.host
    facts: list[tuple[str, Cell | str]] = [
        ("id", host.id),
        ("state", host.state),
        ("last seen", f"{host.last_seen or '-'} ({ago(host.last_seen, moment)})"),
        *_imported(host),
        ("system", f"{host.operating_system}, kernel {host.kernel}"),
        ("machine", f"{detail.kind or 'unknown'} {detail.architecture}".strip()),
        ("addresses", "\n".join(detail.addresses) or "none said"),
        ("agent", host.agent_version),
        ("first sweep", "complete" if host.complete else "not finished yet"),
        ("places", f"{host.live_places} live, {host.retained_places} retained"),
        ("holds", f"{host.certificates} certificates, {host.keys} private keys"),
        ("labels", labels_text(detail.labels) or "none"),
        ("gaps", "\n".join(f"{g.prefix}  {g.reason} {g.detail}" for g in detail.gaps) or "none"),
    ]
    facts.insert(3, ("owner", owners_text(detail.ownership)))
    if detail.unread:
        lines = [f"{p.path}  {p.status} {p.reason}".rstrip() for p in detail.unread]
        facts.append(("not read", "\n".join(lines)))
    for title, lines in (("refused", _refused(detail)), ("too long", _long(detail))):
        if lines:
            facts.append((title, Cell("\n".join(lines), "yellow")))
    if detail.counters:
        counters = "\n".join(f"{name}: {count:,}" for name, count in detail.counters.items())
        facts.append(("counters", counters))
    print_facts(facts, f"host {host.name}")
    print_usages(detail.usages)
    if detail.expiring:
        click.echo("")
        print_certificates(detail.expiring, moment, with_places=False)


def _imported(host: Host) -> list[tuple[str, Cell | str]]:
    if host.imported is None:
        return []
    text = f"{host.imported} by {host.imported_by}: true as of then, it reports nothing by itself"
    return [("imported", Cell(text, "yellow"))]


def _refused(detail: HostDetail) -> list[str]:
    lines = [
        f"{each.path or '(unreadable)'}  {each.what}, {each.reason}, {each.times} times since"
        f" {day(each.since)}"
        for each in detail.refused
    ]
    more = detail.host.refused - len(lines)
    return [*lines, f"and {more} more"] if more > 0 else lines


def _long(detail: HostDetail) -> list[str]:
    return [
        f"{each.path}  {each.kind} of {each.size:,} bytes, never sent: {each.sha256[:SHORT]}"
        for each in detail.long
    ]


def _document(detail: DocumentDetail, kind: str) -> None:
    facts: list[tuple[str, Cell | str]] = [("sha-256", detail.sha256)]
    if kind != "over-cap":
        title = "subject" if kind == "request" else "issuer"
        facts.insert(0, (title, detail.subject or "(empty)"))
    if kind == "request":
        facts += [("names", "\n".join(detail.names) or "none"), ("key", detail.key_id)]
    elif kind == "revocation-list":
        facts += [
            ("this update", detail.this_update or "unknown"),
            ("next update", detail.next_update or "unknown"),
            ("revoked", f"{detail.revoked_count:,}"),
        ]
        facts += [
            (title, text)
            for title, text in (
                ("number", detail.number),
                ("delta upon", detail.base_number),
                ("about", detail.scope),
                ("state", f"{detail.state} {detail.why and f'({detail.why})'}".strip()),
                ("brought by", detail.origin),
            )
            if text
        ]
    if detail.problem:
        facts.append(("problem", Cell(detail.problem, "yellow")))
    print_facts(facts, kind.replace("-", " "))
    if detail.places:
        click.echo("")
        print_places(detail.places)
