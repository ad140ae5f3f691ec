"""What a fleet holds and what happened to it, from a seed: hosts, their files over time. Pure.

A host is a web server, an application with JVM, a database, a node of Kubernetes or an old box; each has
sites, whose certificates are renewed once, half of them with a new key. Some keys can be read by
everybody, some are copied to another host, some files are sealed, some things go.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.generator.certificates import (
    KeyPair,
    Leaf,
    authority_facts,
    issue,
    rsa_key,
    seeded,
    signing_key,
    site_name,
)
from keycensus_collector.intake.rows import place_key
from keycensus_proto.v1 import inventory_pb2, manifest_pb2

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
SITES_A_HOST = 10
# Of each site a certificate and the one before it.
CERTIFICATES_A_HOST = 2 * SITES_A_HOST
# Reports come at these times: what is there first, after the renewals, and of late.
ROUNDS_MS = tuple(NOW_MS - days * DAY_MS for days in (200, 60, 5))
AUTHORITIES = 20
BUNDLES = 30
ROOT = "Example Root"

Blob = Literal["certificate", "spki"]
_MIX = ("web", "web", "web", "app", "app", "db", "k8s", "old")
_OF_KIND = {
    "web": ("/etc/nginx/ssl/{}", "Debian GNU/Linux 12", "nginx"),
    "app": ("/opt/app/conf/{}", "Red Hat Enterprise Linux 9", "tomcat"),
    "db": ("/var/lib/postgresql/tls/{}", "Debian GNU/Linux 12", "postgres"),
    "k8s": ("/var/lib/kubelet/tls/{}", "Ubuntu 24.04", "root"),
    "old": ("/etc/httpd/tls/{}", "CentOS Linux 7", "apache"),
}


@dataclass(frozen=True, slots=True)
class File:
    """What the bytes of a file say, encoded as agents do, with the blobs behind it."""

    hash: bytes
    data: bytes
    entries: tuple[tuple[str, bytes, str, int, bool, int], ...]
    blobs: tuple[tuple[Blob, bytes, bytes], ...]
    format: str
    is_shared: bool = False  # other hosts have it, too


@dataclass(frozen=True, slots=True)
class Change:
    """A state of one place from a report on; `row` None: it is gone."""

    key: bytes
    row: bytes | None
    file: File | None


@dataclass(slots=True)
class Host:
    """One host: its reports in the order of ROUNDS_MS, and the certificates that it came with."""

    number: int
    name: str
    kind: str
    operating_system: str
    environment: str
    silent: bool
    rounds: list[list[Change]] = field(default_factory=lambda: [[], [], []])
    leaves: list[tuple[Leaf, str]] = field(default_factory=list)  # with the issuer's name
    # Of each site the certificates in their order, and how they follow.
    lines: list[tuple[list[bytes], str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Population:
    """A fleet of so many certificates of sites. The same seed and size is the same fleet."""

    certificates: int
    seed: int = 7

    @property
    def hosts(self) -> int:
        """How many hosts it has."""
        return max(1, self.certificates // CERTIFICATES_A_HOST)

    def each(self) -> Iterator[Host]:
        """Yield the hosts, made one by one."""
        for number in range(1, self.hosts + 1):
            yield _host(self, number)

    def authorities(self) -> list[tuple[Leaf, Leaf]]:
        """Return the authorities' certificates, the root's first, each with its issuer's."""
        root = authority_facts(ROOT)
        return [(root, root), *((authority_facts(f"R{n}", ROOT), root) for n in range(AUTHORITIES))]


def _host(fleet: Population, number: int) -> Host:
    rng = random.Random(f"{fleet.seed}/{number}")
    kind = rng.choice(_MIX)
    made = Host(
        number=number,
        name=f"{kind}{number:05d}.example.com",
        kind=kind,
        operating_system=_OF_KIND[kind][1],
        environment=rng.choice(("prod", "prod", "test")),
        silent=number % 50 == 0,
    )
    for slot in range(SITES_A_HOST):
        _site(fleet, rng, made, (number - 1) * SITES_A_HOST + slot)
    _others(rng, made)
    _trust(made)
    return made


def _site(fleet: Population, rng: random.Random, made: Host, site: int) -> None:
    """Add a site: live pair with links, copies in the archive, and its renewal."""
    key, issuer = _key(fleet, rng, made.kind, site)
    rekeyed = issuer != "" and rng.random() < 0.5
    next_key = rsa_key(key.bits, fleet.seed, site, "next") if rekeyed else key
    end_ms = NOW_MS + rng.randrange(-60, 338) * DAY_MS
    old = _issued(fleet, site, 0, issuer, key, end_ms - 140 * DAY_MS)
    new = _issued(fleet, site, 1, issuer, next_key, end_ms)
    made.leaves += [(old, issuer), (new, issuer)]
    made.lines.append(([old.sha256, new.sha256], "rekey" if rekeyed else "renewal"))
    base = _OF_KIND[made.kind][0].format(site_name(site))
    scope = ("container", f"shop-{site % 7}") if made.kind == "k8s" and rng.random() < 0.5 else None
    archive = f"/etc/letsencrypt/archive/{site_name(site)}"
    first, second, last = made.rounds
    loose = rng.random() < 0.02
    owner = _OF_KIND[made.kind][2]
    for leaf, pair, when, at in ((old, key, first, 1), (new, next_key, second, 2)):
        chain, private = _chain(leaf, issuer), _private(pair)
        for name in ("fullchain.pem", "server.pem"):
            when.append(_place(f"{base}/{name}", chain, scope=scope))
        when.append(_place(f"{base}/current.pem", chain, scope=scope, target=f"{base}/server.pem"))
        if at == 1 or rekeyed:
            mode = 0o644 if loose else 0o600
            when.append(_place(f"{base}/privkey.pem", private, scope=scope, mode=mode, owner=owner))
        when.append(_place(f"{archive}/fullchain{at}.pem", chain, use="retained"))
        when.append(_place(f"{archive}/privkey{at}.pem", private, use="retained", mode=0o600))
    if rng.random() < 0.02:
        last.append(_gone(f"{base}/fullchain.pem", scope))
    if rng.random() < 0.01:
        last.append(_place(f"{base}/privkey.pem", _private(next_key), scope=scope, mode=0o666))


def _key(fleet: Population, rng: random.Random, kind: str, site: int) -> tuple[KeyPair, str]:
    """Return the first key of a site and who issues for it."""
    if rng.random() < (0.2 if kind == "old" else 0.03):
        return signing_key(fleet.seed, site), ""
    weak = kind == "old" and rng.random() < 0.15
    bits = 1024 if weak else rng.choice((2048, 2048, 2048, 3072))
    return rsa_key(bits, fleet.seed, site), f"R{rng.randrange(AUTHORITIES)}"


def _issued(  # noqa: PLR0917 - what differs between a site's certificates
    fleet: Population, site: int, turn: int, issuer: str, key: KeyPair, end_ms: int
) -> Leaf:
    return issue(
        site_name(site),
        issuer=issuer,
        key=key,
        serial=seeded("serial", fleet.seed, site, turn),
        begin_ms=end_ms - 398 * DAY_MS,
        end_ms=end_ms,
    )


def _others(rng: random.Random, made: Host) -> None:
    """Add key stores that are locked, and the keys of the machine itself."""
    first = made.rounds[0]
    for slot in range(2):
        box = seeded("box", made.number, slot, made.name)
        entries = (("sealed-container", box, "", 0, True, 4_000),)
        sealed = _file("pkcs12", entries, ())
        path = f"/opt/app/keystore{slot}.p12"
        first.append(
            _place(
                path,
                sealed,
                mode=0o640,
                status="locked",
                reason="password-needed",
                format_="pkcs12",
            )
        )
    host_key = rsa_key(3072, "host", made.number, made.name)
    mode = 0o640 if rng.random() < 0.1 else 0o600
    first.append(_place("/etc/ssl/private/host.key", _private(host_key), mode=mode, role="unknown"))


def _trust(made: Host) -> None:
    """Add the trust stores that every host has: few contents, many places."""
    for number in range(BUNDLES):
        made.rounds[0].append(
            _place(
                f"/usr/share/ca-certificates/example/bundle{number:02d}.crt",
                _bundle(number),
                role="trust-store",
                package="ca-certificates",
            )
        )


_FILES: dict[object, File] = {}


def _bundle(number: int) -> File:
    if number not in _FILES:
        names = [
            f"R{each}" for each in range(AUTHORITIES) if each % BUNDLES == number or number > 25
        ]
        leaves = [authority_facts(ROOT), *(authority_facts(each, ROOT) for each in names)]
        _FILES[number] = _file(
            "pem",
            tuple(("certificate", each.sha256, "", 0, False, len(each.der)) for each in leaves),
            tuple(("certificate", each.sha256, each.der) for each in leaves),
            is_shared=True,
        )
    return _FILES[number]


def _chain(leaf: Leaf, issuer: str) -> File:
    leaves = [leaf, *([authority_facts(issuer, ROOT)] if issuer else [])]
    return _file(
        "pem",
        tuple(("certificate", each.sha256, "", 0, False, len(each.der)) for each in leaves),
        tuple(("certificate", each.sha256, each.der) for each in leaves),
    )


def _private(key: KeyPair) -> File:
    public = key.spki
    key_id = hashlib.sha256(public).digest()
    algorithm = "rsa" if key.bits else "ed25519"
    return _file(
        "pem",
        (("private-key", key_id, algorithm, key.bits or 256, False, 1_700),),
        (("spki", key_id, public),),
    )


def _file(
    format_: str,
    entries: tuple[tuple[str, bytes, str, int, bool, int], ...],
    blobs: tuple[tuple[Blob, bytes, bytes], ...],
    *,
    is_shared: bool = False,
) -> File:
    data = manifest_pb2.Manifest(
        format=format_,
        entries=[
            manifest_pb2.Entry(
                kind=kind,
                artifact=artifact,
                algorithm=algorithm,
                bits=bits,
                encrypted=sealed,
                size=size,
            )
            for kind, artifact, algorithm, bits, sealed, size in entries
        ],
    ).SerializeToString()
    return File(hashlib.sha256(data).digest(), data, entries, blobs, format_, is_shared)


def _place(
    path: str,
    file: File,
    *,
    scope: tuple[str, str] | None = None,
    mode: int = 0o644,
    owner: str = "root",
    use: str = "live",
    role: str = "server",
    status: str = "read",
    reason: str = "",
    format_: str = "pem",
    target: str = "",
    package: str = "",
) -> Change:
    row = inventory_pb2.Place(
        path=path.encode(),
        manifest=file.hash,
        status=status,
        reason=reason,
        format=format_,
        mode=mode,
        owner=owner,
        group="root",
        size=3_600,
        target=target.encode(),
        role=role,
        use=use,
        readable_by="world" if mode & 0o004 else "group" if mode & 0o040 else "owner",
    )
    if package:
        row.package.name = package
        row.package.version = "20260101"
    if scope is not None:
        row.scope.kind, row.scope.name = scope[0], scope[1].encode()
    return Change(_key_of(path, scope), row.SerializeToString(), file)


def _gone(path: str, scope: tuple[str, str] | None) -> Change:
    return Change(_key_of(path, scope), None, None)


def _key_of(path: str, scope: tuple[str, str] | None) -> bytes:
    kind, name = scope or ("", "")
    return place_key(kind, name.encode(), path.encode())
