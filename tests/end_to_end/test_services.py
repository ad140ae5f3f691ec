"""Real services of Debian's under a real systemd: who uses a certificate, and whether it was loaded.

nginx, Apache, PostgreSQL, Postfix and HAProxy run in a booted machine (tests/fakes/machine.py) with their
own units. The agent reads their configurations, finds their sockets without a privilege, and shakes hands.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fakes.machine import SYSTEMD, Machine
from fakes.pki import Issued, issue

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and systemd"),
]

CLUSTER = "15-live"
PACKAGING = "/opt/keycensus-test/packaging/systemd"
ROOT = issue("Example Root", is_ca=True)
AGENT = """
[scan]
roots = ["/srv/tls"]
[context]
probe_seconds = 1
"""
NGINX = """
server {
    listen 127.0.0.1:6443 ssl;
    server_name nginx.example.com unheard-of.example.com;
    ssl_certificate /srv/tls/nginx.pem;
    ssl_certificate_key /srv/tls/nginx.key;
}
"""
APACHE = """
Listen 127.0.0.1:9443
<VirtualHost 127.0.0.1:9443>
    ServerName apache.example.com
    SSLEngine on
    SSLCertificateFile /srv/tls/apache.pem
    SSLCertificateKeyFile /srv/tls/apache.key
</VirtualHost>
"""
POSTGRESQL = """
ssl = on
ssl_cert_file = '/srv/tls/postgresql.pem'
ssl_key_file = '/srv/tls/postgresql.key'
"""
# A process of smtpd's keeps its certificate for as long as it lives.
POSTFIX = """
compatibility_level = 3.6
myhostname = mail.example.com
inet_interfaces = loopback-only
inet_protocols = ipv4
max_idle = 1h
smtpd_tls_cert_file = /srv/tls/postfix.pem
smtpd_tls_key_file = /srv/tls/postfix.key
smtpd_tls_security_level = may
"""
HAPROXY = """
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend shop
    bind 127.0.0.1:7443 ssl crt /srv/tls/haproxy.pem
    http-request return status 200
"""


@dataclass(frozen=True)
class Expected:
    """What must be said of one service."""

    service: str
    unit: str
    configuration: str
    listen: str
    owner: str = "root"


SERVICES = (
    Expected("nginx", "nginx.service", "/etc/nginx/sites-enabled/live", "127.0.0.1:6443"),
    Expected("apache", "apache2.service", "/etc/apache2/sites-enabled/live.conf", "127.0.0.1:9443"),
    Expected(
        "postgresql",
        f"postgresql@{CLUSTER}.service",
        "/etc/postgresql/15/live/conf.d/live.conf",
        ":5599",
        "postgres",
    ),
    Expected("postfix", "postfix@-.service", "/etc/postfix/main.cf", ":25"),
    Expected("haproxy", "haproxy.service", "/etc/haproxy/haproxy.cfg", "127.0.0.1:7443"),
)


def put(machine: Machine, number: int) -> dict[str, Issued]:
    """Write a new certificate and key for each service; return the certificates."""
    issued = {}
    for each in SERVICES:
        name = f"{each.service}.example.com"
        leaf = issued[each.service] = issue(name, issuer=ROOT, sans=(name,), days=50 + number)
        chain, key = (leaf.pem + ROOT.pem).decode(), leaf.key_pem.decode()
        machine.write(f"/srv/tls/{each.service}.key", key, mode=0o600)
        machine.run("chown", each.owner, f"/srv/tls/{each.service}.key")
        together = chain + key if each.service == "haproxy" else chain
        machine.write(f"/srv/tls/{each.service}.pem", together)
    return issued


def configure(machine: Machine) -> None:
    machine.run("sh", "-ec", "rm -f /etc/nginx/sites-enabled/* /etc/apache2/sites-enabled/*")
    machine.write("/etc/nginx/sites-enabled/live", NGINX)
    machine.write("/etc/apache2/ports.conf", "")
    machine.write("/etc/apache2/sites-enabled/live.conf", APACHE)
    machine.run("a2enmod", "-q", "ssl")
    machine.write("/etc/postfix/main.cf", POSTFIX)
    machine.write("/etc/haproxy/haproxy.cfg", HAPROXY)
    machine.run("pg_createcluster", "15", "live", "--port", "5599", "--", "-N")
    machine.write("/etc/postgresql/15/live/conf.d/live.conf", POSTGRESQL)
    machine.run("systemctl", "daemon-reload")
    units = [each.unit for each in SERVICES]
    machine.run("systemctl", "start", *units)


def enrol(machine: Machine) -> None:
    commands = (
        f"systemd-sysusers - <{PACKAGING}/keycensus-collector.sysusers",
        f"systemd-sysusers - <{PACKAGING}/keycensus-agent.sysusers",
        f"install -Dm644 -t /etc/systemd/system {PACKAGING}/keycensus-collector.service",
        "keycensus-collector init --name localhost --deployment test --admin-token-file /root/admin",
        "systemctl daemon-reload",
        "systemctl start keycensus-collector",
    )
    machine.run("sh", "-ec", "\n".join(commands))
    until(machine.path("/var/lib/keycensus-collector/admin.sock").exists, machine.journal)
    token = machine.run("keycensus-collector", "token", "create", "-o", "json").stdout
    machine.write("/root/token", json.loads(token)["token"], mode=0o600)
    machine.write("/etc/keycensus/agent.toml", AGENT)
    machine.run(
        "keycensus-agent", "enrol", "--collector", "localhost", "--token-file", "/root/token"
    )
    machine.run(
        *("keycensus", "login", "https://localhost:8443", "--token-file", "/root/admin"),
        *("--ca-file", "/var/lib/keycensus-collector/authority/chain.pem"),
    )


def until(holds: Callable[[], bool], what: Callable[[], str], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine.booted(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def usages(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what the collector says of each certificate that a service has from this test."""
    shown = json.loads(machine.run("keycensus", "show", "keycensus-test", "-o", "json").stdout)
    return {
        usage["service"]: usage
        for usage in shown["host"]["usages"]
        if usage["directive"] == "certificate" and usage["paths"]
    }


def verdicts(machine: Machine) -> dict[str, str]:
    return {service: usage["verdict"] for service, usage in usages(machine).items()}


def not_reloaded(machine: Machine) -> set[str]:
    listed = machine.run("keycensus", "certs", "--verdict", "not-reloaded", "-o", "json").stdout
    return {each["sha256"] for each in json.loads(listed)}


def test_certificates_are_tied_to_their_services_and_a_missing_reload_is_seen(
    machine: Machine,
) -> None:
    first = put(machine, 0)
    configure(machine)
    enrol(machine)
    machine.run("keycensus-agent", "run", "--once")

    found = usages(machine)
    assert set(found) == {each.service for each in SERVICES}
    for each in SERVICES:
        usage = found[each.service]
        assert (usage["unit"], usage["configuration"]) == (each.unit, each.configuration)
        assert usage["line"] > 0
        assert usage["paths"] == [f"/srv/tls/{each.service}.pem"]
        assert any(listen.endswith(each.listen) for listen in usage["listen"])
        assert usage["verdict"] == "served", usage
        (answer, *_) = usage["handshakes"]
        assert answer["chain"][0] == first[each.service].sha256.hex()
        assert answer["tls_version"] in {"TLSv1.2", "TLSv1.3"}
    shown = machine.run("keycensus", "show", first["nginx"].sha256.hex()).stdout
    assert "/etc/nginx/sites-enabled/live:5 certificate" in shown
    assert "served (TLSv1.3); not for unheard-of.example.com" in shown

    # Renewed on the disk, and nobody reloads: both certificates are named, the one that is served too.
    second = put(machine, 1)
    machine.run("keycensus-agent", "run", "--once")
    assert verdicts(machine) == {each.service: "not-reloaded" for each in SERVICES}
    leaves = {leaf.sha256.hex() for issued in (first, second) for leaf in issued.values()}
    assert not_reloaded(machine) >= leaves

    for each in SERVICES:
        machine.run("systemctl", "reload", each.unit)

    def all_served() -> bool:
        machine.run("keycensus-agent", "run", "--once")
        return verdicts(machine) == {each.service: "served" for each in SERVICES}

    until(all_served, lambda: str(verdicts(machine)))
    assert not_reloaded(machine) == set()
