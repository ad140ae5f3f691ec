"""What there is to declare, in a census of one host: a line of two certificates, and all kinds of settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from fakes.census import Census, certificate
from fakes.pki import NOW, issue, new_key

from keycensus_collector.declared.current import declared_now
from keycensus_collector.declared.making import make_so
from keycensus_collector.declared.model import (
    Declared,
    DeclaredPerson,
    DeclaredTeam,
    DeclaredView,
    Kind,
    Made,
    Wanted,
)

BY: dict[str, Any] = {"actor": "ann", "now_ms": 1_000}
KEY = new_key()
FIRST, SECOND = (
    issue("shop.example.com", key=KEY, now=NOW + timedelta(days=days)) for days in (0, 9)
)
SHA256 = certificate(FIRST).artifact.hex()

RULES = """\
# whose is what
owners:
  - {rule: web, of: hosts, host: "web*", owner: "web"}  # theirs
  - rule: anns
    of: places
    path: /home/ann
    owner: ann
labels:
  - {rule: web, of: hosts, host: "web*", set: web=yes}
trust: [site]
"""

WANTED = Declared(
    views={"silent": DeclaredView("hosts", "state:silent", "odd: \\u202e \\\\", ["name"])},
    teams={
        "ops": DeclaredTeam("", "call us", ["ann", "bob"], "active"),
        "web": DeclaredTeam("", "", ["bob"], "active"),
        "zed": DeclaredTeam("", "", [], "dissolved"),
    },
    people={
        "ann": DeclaredPerson("Ann", "ann@example.com", "", "", "", "active"),
        "bob": DeclaredPerson("", "", "", "", "", "active"),
        "cid": DeclaredPerson("Cid", "", "", "", "", "left"),
    },
    fallback="ops",
    rules=RULES.splitlines(),
    hosts={"web1": {"env": "prod", "site": "b"}},
    certificates={SHA256: {"app": "shop"}},
    names={SHA256: "shop.example.com"},
)
ALL: frozenset[Kind] = frozenset({"views", "teams", "people", "rules", "labels"})


def a_census(directory: Path) -> Census:
    census = Census.create(directory)
    host = census.host("web1")
    census.report(host, "/etc/shop.pem", certificate(FIRST))
    census.fold()
    census.clock.advance(1_000)
    census.report(host, "/etc/shop.pem", certificate(SECOND))
    census.fold()
    return census


def make(
    census: Census, declared: Declared, *, kinds: frozenset[Kind] = ALL, prune: bool = False
) -> Made:
    wanted = Wanted(kinds, declared, declared.fallback or None, prune)
    with census.store.write() as connection:
        return make_so(connection, wanted, over_admins=False, **BY)


def now(census: Census) -> Declared:
    with census.store.read() as connection:
        return declared_now(connection)
