from __future__ import annotations

import pytest

from keycensus_agent.model import (
    CertificateDetail,
    Entry,
    EntryKind,
    Package,
    Parsed,
    Role,
    Status,
    Use,
)
from keycensus_agent.reader.purpose import role_by_path, role_of, role_with, use_of

SERVER, CLIENT, CODE = (f"1.3.6.1.5.5.7.3.{number}" for number in (1, 2, 3))
ANY = "2.5.29.37.0"


def holding(
    *,
    authorities: int = 0,
    leaves: int = 0,
    keys: int = 0,
    details: bool = True,
    usage: tuple[str, ...] = (),
) -> Parsed:
    hashes = [bytes([number]) * 32 for number in range(authorities + leaves)]
    entries = [Entry(EntryKind.CERTIFICATE, sha256) for sha256 in hashes]
    entries += [Entry(EntryKind.PRIVATE_KEY, b"k" * 32)] * keys
    return Parsed(
        "pem",
        Status.READ,
        entries=tuple(entries),
        details=tuple(
            CertificateDetail(sha256, is_ca=number < authorities, extended_key_usage=usage)
            for number, sha256 in enumerate(hashes)
        )
        if details
        else (),
    )


@pytest.mark.parametrize(
    ("path", "role"),
    [
        (b"/etc/ssl/certs/ISRG_Root_X1.pem", Role.TRUST_STORE),
        (b"/usr/share/ca-certificates/mozilla/x.crt", Role.TRUST_STORE),
        (b"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", Role.TRUST_STORE),
        (b"/usr/lib/jvm/java-17/lib/security/cacerts", Role.TRUST_STORE),
        (b"/opt/x/site-packages/certifi/cacert.pem", Role.TRUST_STORE),
        (b"/etc/letsencrypt/live/a/privkey.pem", Role.SERVER),
        (b"/etc/nginx/ssl/a.pem", Role.SERVER),
        (b"/opt/tomcat9/conf/keystore.jks", Role.SERVER),
        (b"/etc/ssh/ssh_host_ed25519_key", Role.SERVER),
        (b"/home/x/.postgresql/postgresql.key", Role.CLIENT),
        (b"/etc/kubernetes/pki/ca.key", Role.CA),
        (b"/srv/demoCA/private/cakey.pem", Role.CA),
        (b"/home/x/notes.pem", Role.UNKNOWN),
        (b"/etc/ssl/private/a.key", Role.UNKNOWN),
    ],
)
def test_the_path_tells_the_role(path: bytes, role: Role) -> None:
    assert role_by_path(path) is role


@pytest.mark.parametrize(
    ("path", "parsed", "role"),
    [
        (b"/opt/bundle.pem", holding(authorities=140), Role.TRUST_STORE),
        (b"/opt/bundle.pem", holding(authorities=140, keys=1), Role.CA),
        (b"/opt/bundle.pem", holding(authorities=5), Role.UNKNOWN),
        (b"/opt/leaves.pem", holding(leaves=30), Role.UNKNOWN),
        (b"/opt/bundle.pem", holding(authorities=140, details=False), Role.TRUST_STORE),
        (b"/etc/ssl/certs/root.pem", holding(authorities=1), Role.TRUST_STORE),
        (b"/etc/ssl/certs/root.pem", holding(authorities=1, details=False), Role.TRUST_STORE),
        (b"/etc/ssl/certs/www.pem", holding(leaves=1), Role.UNKNOWN),
        (b"/etc/ssl/certs/www.pem", holding(leaves=1, keys=1), Role.SERVER),
        (b"/home/x/both.pem", holding(leaves=1, keys=1), Role.SERVER),
        (b"/home/x/both.pem", holding(authorities=1, keys=1), Role.CA),
        (b"/home/x/both.pem", holding(leaves=1, keys=1, details=False), Role.SERVER),
        (b"/home/x/key.pem", holding(keys=1), Role.UNKNOWN),
        (b"/srv/a.pem", holding(leaves=1, usage=(SERVER,)), Role.SERVER),
        (b"/srv/a.pem", holding(leaves=1, usage=(CLIENT,)), Role.CLIENT),
        (b"/srv/a.pem", holding(leaves=1, usage=(CLIENT, SERVER)), Role.SERVER),
        (b"/srv/a.pem", holding(leaves=1, keys=1, usage=(CLIENT,)), Role.CLIENT),
        (b"/srv/a.pem", holding(leaves=1, keys=1, usage=(CODE,)), Role.UNKNOWN),
        (b"/srv/a.pem", holding(leaves=1, keys=1, usage=(CODE, ANY)), Role.SERVER),
        (b"/srv/a.pem", holding(leaves=1, usage=(ANY,)), Role.UNKNOWN),
        (b"/srv/a.pem", holding(leaves=1, authorities=2, usage=(SERVER,)), Role.SERVER),
        # What an authority may issue for is not what it is for.
        (b"/srv/a.pem", holding(authorities=1, keys=1, usage=(SERVER,)), Role.CA),
        (b"/srv/a.pem", holding(authorities=1, usage=(SERVER,)), Role.UNKNOWN),
        (b"/home/x/.kube/a.pem", holding(leaves=1, keys=1, usage=(SERVER,)), Role.CLIENT),
        (b"/srv/a.pem", holding(leaves=1, details=False, usage=(SERVER,)), Role.UNKNOWN),
    ],
)
def test_content_decides_where_the_path_is_silent_or_wrong(
    path: bytes, parsed: Parsed, role: Role
) -> None:
    assert role_of(path, parsed) is role


@pytest.mark.parametrize(
    ("path", "current", "use"),
    [
        (b"/etc/letsencrypt/archive/a/privkey12.pem", b"", Use.RETAINED),
        (b"/etc/letsencrypt/live/a/privkey.pem", b"", Use.LIVE),
        (b"/srv/archive/privkey.pem", b"", Use.LIVE),
        (b"/etc/nginx/a.pem.bak", b"", Use.RETAINED),
        (b"/etc/nginx/a.pem~", b"", Use.RETAINED),
        (b"/etc/nginx/a.pem.dpkg-dist", b"", Use.RETAINED),
        (b"/etc/nginx/a.pem.rpmsave", b"", Use.RETAINED),
        (b"/etc/nginx/a.old-2", b"", Use.RETAINED),
        (b"/etc/nginx/golden.pem", b"", Use.LIVE),
        (b"/v/..2024_05_01_10_00_00.1/tls.key", b"..2024_05_02_10_00_00.2", Use.RETAINED),
        (b"/v/..2024_05_01_10_00_00.1/tls.key", b"..2024_05_01_10_00_00.1", Use.LIVE),
        (b"/v/..2024_05_01_10_00_00.1/tls.key", b"", Use.LIVE),
    ],
)
def test_what_nothing_reaches_is_retained(path: bytes, current: bytes, use: Use) -> None:
    assert use_of(path, current) is use


@pytest.mark.parametrize(
    ("package", "role", "expected"),
    [
        ("ca-certificates", Role.UNKNOWN, Role.TRUST_STORE),
        ("ca-certificates-java", Role.UNKNOWN, Role.TRUST_STORE),
        ("python3-certifi", Role.UNKNOWN, Role.TRUST_STORE),
        ("ca-certificates", Role.SERVER, Role.SERVER),
        ("nginx", Role.UNKNOWN, Role.UNKNOWN),
        ("", Role.UNKNOWN, Role.UNKNOWN),
    ],
)
def test_a_package_of_roots_tells_where_nothing_else_does(
    package: str, role: Role, expected: Role
) -> None:
    assert role_with(role, Package("dpkg", package) if package else None) is expected
