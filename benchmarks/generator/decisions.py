"""What people decided about a fleet: teams with a leaver, rules, gifts, labels, marks; by the functions that do it for them."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, insert, select, update

from benchmarks.generator.population import NOW_MS, ROUNDS_MS
from keycensus_collector.imports.host_files import read_hosts
from keycensus_collector.imports.known_hosts import take_known_hosts
from keycensus_collector.marks.stored import set_mark
from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.labels import set_label
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.settings import FALLBACK, change_setting
from keycensus_collector.ownership.teams import add_member, create_team, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import certificate, host, host_state, public_key

RULES = """\
owners:
  - {rule: web-servers, of: hosts, host: "web*", owner: web}
  - {rule: applications, of: hosts, host: "app*", owner: java}
  - {rule: databases, of: hosts, host: "db*", owner: db}
  - {rule: containers, of: places, path: /var/lib/kubelet/**, owner: platform}
  - {rule: pilots, of: certificates, name: "www.site00000*.example.com", owner: pilots}
labels:
  - {rule: production, of: hosts, set: tier=gold, label: env=prod}
importance:
  - {rule: production, of: certificates, points: 50, label: env=prod}
"""
_TEAMS = ("web", "java", "db", "platform", "pilots", "pki")
_DECIDED_MS, _LEFT_MS = NOW_MS - 4 * 86_400_000, NOW_MS - 86_400_000
_BY = "user:generator"
_GIVEN, _MARKED, _LABELLED = 97, 499, 40


def decide(connection: Connection) -> None:
    """Decide, and work out what follows."""
    _people(connection)
    apply_rules(connection, RULES, actor=_BY, now_ms=_DECIDED_MS)
    _gifts(connection)
    _silent(connection)
    settle(connection, _DECIDED_MS)
    leave(connection, "leaver", actor=_BY, now_ms=_LEFT_MS)
    settle(connection, _LEFT_MS)


def _people(connection: Connection) -> None:
    for name in _TEAMS:
        create_team(connection, name, contact=f"{name}@example.com", actor=_BY, now_ms=_DECIDED_MS)
        for each in (f"{name}-one", f"{name}-two"):
            add_person(
                connection, Person(each, email=f"{each}@example.com"), actor=_BY, now_ms=_DECIDED_MS
            )
            add_member(connection, name, each, actor=_BY, now_ms=_DECIDED_MS)
    add_person(connection, Person("leaver", "Who Leaves"), actor=_BY, now_ms=_DECIDED_MS)
    number = str(team_no(connection, "pki"))
    change_setting(connection, FALLBACK, number, actor=_BY, now_ms=_DECIDED_MS)


def _gifts(connection: Connection) -> None:
    """Give some certificates by hand, label some hosts, mark some keys, and name hosts without an agent."""
    hashes = connection.execute(
        select(certificate.c.sha256)
        .where(certificate.c.in_use > 0, certificate.c.is_ca.is_(False))
        .order_by(certificate.c.sha256)
        .limit(_GIVEN * 2_000)
    ).scalars()
    given = [Thing("certificate", artifact=sha256) for sha256 in list(hashes)[::_GIVEN]]
    for owner, things in (("leaver", given[::10]), ("pki", given)):
        chosen = (
            things if owner == "leaver" else [each for each in things if each not in given[::10]]
        )
        assign(connection, chosen, owner, reason="by hand", actor=_BY, now_ms=_DECIDED_MS)
    numbers = connection.execute(
        select(host.c.host_no).where(host.c.host_no % _LABELLED == 1).order_by(host.c.host_no)
    ).scalars()
    things = [Thing("host", number=number) for number in list(numbers)[:1_000]]
    set_label(connection, things, "site", "north", actor=_BY, now_ms=_DECIDED_MS)
    keys = connection.execute(
        select(public_key.c.key_id)
        .where(public_key.c.live_places > 0)
        .order_by(public_key.c.key_id)
        .limit(_MARKED * 20)
    ).scalars()
    for key in list(keys)[::_MARKED]:
        set_mark(
            connection,
            kind="key",
            subject=key,
            word="compromised",
            reason="published",
            actor=_BY,
            now_ms=_DECIDED_MS,
        )
    names = "name\n" + "".join(f"bare{number:04d}.example.com\n" for number in range(200))
    take_known_hosts(
        connection,
        read_hosts(names.encode(), "csv"),
        source="cmdb",
        sha256=hashlib.sha256(names.encode()).digest(),
        size=len(names),
        actor=_BY,
        now_ms=_DECIDED_MS,
    )


def _silent(connection: Connection) -> None:
    numbers = list(
        connection.execute(
            select(host.c.host_no).where(host.c.host_no % 50 == 0, host.c.state == "active")
        ).scalars()
    )
    if not numbers:
        return
    seen = ROUNDS_MS[1]
    for number in numbers:
        connection.execute(
            update(host).where(host.c.host_no == number).values(state="silent", last_seen_ms=seen)
        )
        connection.execute(
            update(host_state)
            .where(host_state.c.host_no == number, host_state.c.to_ms.is_(None))
            .values(to_ms=_DECIDED_MS)
        )
        connection.execute(
            insert(host_state).values(
                host_no=number, from_ms=_DECIDED_MS, state="silent", cause="silence"
            )
        )
