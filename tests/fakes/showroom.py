"""A company to look at: a dozen hosts, what goes wrong on them, and teams who own it, one of which lost somebody.

For pages that are driven in a browser and shown in README. Facts are reported as agents report them; owners,
labels and marks come through REST.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes.census import Census, Item, certificate, private_key, sealed_key
from fakes.identities import add_agent
from fakes.pki import NOW, Issued, issue
from fakes.served import api_token
from sqlalchemy import update

from keycensus_collector.ownership.worker import settle
from keycensus_collector.store import schema
from keycensus_collector.web.site import create_front
from keycensus_proto.v1.inventory_pb2 import Handshake, Renewal, Usage

_DAY_MS = 86_400_000
_BEFORE_DAYS = 70
_HOSTS = {
    "web1.example.com": ("production", "Debian GNU/Linux 12"),
    "web2.example.com": ("production", "Debian GNU/Linux 12"),
    "shop1.example.com": ("production", "Ubuntu 24.04 LTS"),
    "shop2.example.com": ("production", "Ubuntu 24.04 LTS"),
    "mail.example.com": ("production", "Debian GNU/Linux 12"),
    "db1.example.com": ("production", "Red Hat Enterprise Linux 9.4"),
    "db2.example.com": ("staging", "Red Hat Enterprise Linux 9.4"),
    "ldap.example.com": ("production", "Debian GNU/Linux 11"),
    "ci.example.com": ("development", "Ubuntu 22.04 LTS"),
    "old-intranet.example.com": ("production", "CentOS Linux 7"),
}
_TEAMS = {
    "web": ("The shop and its pages", "web@example.com"),
    "platform": ("Mail, directory, databases", "platform@example.com"),
    "security": ("Who asks the others", "security@example.com"),
}
_RULES = """owners:
  - rule: shop
    of: hosts
    host: ["shop*", "web*"]
    owner: web
  - rule: databases
    of: hosts
    host: ["db*", "ldap*"]
    owner: platform
"""
_ISSUED = "serial,subject\n{:x},CN=ldap.example.com\n1f2e3d,CN=lost.example.com\n"
_PEOPLE = {
    "ann": ("Ann Olsen", ("web",)),
    "ben": ("Ben Okafor", ("web", "platform")),
    "cleo": ("Cleo Martin", ("platform",)),
    "dara": ("Dara Singh", ("security",)),
    "eve": ("Eve Novak", ()),
}


@dataclass
class Showroom:
    """The census, and what pages of it are worth opening."""

    census: Census
    hosts: dict[str, int] = field(default_factory=dict)
    known: dict[str, Issued] = field(default_factory=dict)

    @classmethod
    def create(cls, directory: Path) -> Showroom:
        """Build it; a second's work."""
        room = cls(Census.create(directory))
        room._past()
        room.census.clock.advance(_BEFORE_DAYS * 86_400)
        room._present()
        return room

    async def own(self) -> None:
        """Let teams own what is there, and somebody leave, all through REST."""
        token = api_token(self.census, role="admin")
        transport = httpx.ASGITransport(create_front(self.census.store, self.census.clock))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="https://census/api/v1/", headers=headers
        ) as client:

            async def do(method: str, path: str, body: Mapping[str, Any]) -> None:
                response = await client.request(method, path, json=body)
                assert response.is_success, (path, response.text)

            for name, (full_name, _) in _PEOPLE.items():
                body = {"full_name": full_name, "email": f"{name}@example.com"}
                await do("PUT", f"people/{name}", body)
            for name, (description, contact) in _TEAMS.items():
                await do("PUT", f"teams/{name}", {"description": description, "contact": contact})
            for name, (_, teams) in _PEOPLE.items():
                for team in teams:
                    await do("PUT", f"teams/{team}/members/{name}", {})
            await do("PUT", "rules", {"text": _RULES})
            await self._settle()
            given = {
                "q": "name:mail.example.com",
                "what": "certificates",
                "owner": "eve",
                "reason": "she set the mail servers up",
            }
            await do("POST", "owners", given)
            await do("POST", "people/eve/leave", {"to": "platform"})
            await do("POST", "campaigns", {"by": "45d", "name": "q4"})
            theirs = {"answer": "confirmed", "what": "hosts", "q": "host:web*", "team": "web"}
            await do("POST", "campaigns/q4/answers", theirs)
            listed = await client.post(
                "imports/ca-list",
                params={
                    "name": "issuing-ca",
                    "serials": "hex",
                    "issuer": self.known["inner"].sha256.hex(),
                },
                content=_ISSUED.format(self.known["ldap.example.com"].certificate.serial_number),
            )
            assert listed.is_success, listed.text
            stolen = {
                "id": hashlib.sha256(self.known["*.example.com"].spki).hexdigest(),
                "kind": "key",
                "mark": "compromised",
                "reason": "copied to three hosts, one of which was broken into",
            }
            await do("POST", "marks", stolen)
        await self._settle()

    async def _settle(self) -> None:
        """Let owners follow from rules."""
        await self.census.work()
        with self.census.store.write() as connection:
            settle(connection, self.census.clock.now_ms())

    # --- what was there ten weeks ago -------------------------------------------------------------

    def _past(self) -> None:
        root = issue("Example Root CA", is_ca=True, days=4000)
        inner = issue("Example Issuing CA 2", issuer=root, is_ca=True, days=1500)
        public_root = issue("Public Trust Root X1", is_ca=True, days=5000)
        public = issue("Public Trust R11", issuer=public_root, is_ca=True, days=900)
        self.known |= {"root": root, "inner": inner, "public-root": public_root, "public": public}
        for name, (environment, system) in _HOSTS.items():
            number = self.hosts[name] = self.census.host(
                name,
                operating_system=system,
                labels=json.dumps({"token": {"environment": environment}, "host": {}}),
            )
            add_agent(self.census, number, days=_BEFORE_DAYS + 20, machines=(name,))
        shop = issue(
            "shop.example.com", issuer=public, sans=("shop.example.com", "www.example.com"), days=90
        )
        self.known["shop-before"] = shop
        self._pair("shop1.example.com", "/etc/letsencrypt/live/shop.example.com", shop)
        self.census.fold()

    # --- and today ----------------------------------------------------------------------------------

    def _present(self) -> None:
        now = NOW + timedelta(days=_BEFORE_DAYS)
        inner, public = self.known["inner"], self.known["public"]

        def leaf(name: str, issuer: Issued, days: float, *more: str, key: Any = None) -> Issued:  # noqa: ANN401 - a key of any kind
            # They last a year, but for those of the public authority.
            age = (90 if issuer is public else 365) - max(days, 0)
            sans = (name, *more)
            made = issue(name, issuer=issuer, sans=sans, days=days, key=key, now=now, age_days=age)
            self.known[name] = made
            return made

        shop = leaf("shop.example.com", public, 88, "www.example.com")
        wild = leaf("*.example.com", inner, 21)
        mail = leaf("mail.example.com", public, 6, "smtp.example.com", "imap.example.com")
        ldap = leaf("ldap.example.com", inner, 340)
        base = leaf("db.example.com", inner, 190, "db1.example.com", "db2.example.com")
        weak = leaf("intranet.example.com", inner, -4, key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - what pages warn of
        ci = leaf("ci.example.com", inner, 58)
        live = "/etc/letsencrypt/live/shop.example.com"
        self._pair("shop1.example.com", live, shop)
        old = self.known["shop-before"]
        self.census.report(
            self.hosts["shop1.example.com"],
            "/etc/letsencrypt/archive/shop.example.com/cert1.pem",
            certificate(old),
            use="retained",
        )
        for host in ("web1.example.com", "web2.example.com", "shop2.example.com"):
            self._pair(host, "/etc/nginx/tls/wildcard", wild)
        self._pair("mail.example.com", "/etc/postfix/tls", mail)
        self._pair("ldap.example.com", "/etc/ldap/tls", ldap)
        self._pair("db1.example.com", "/var/lib/pgsql/data", base, mode=0o644, readable_by="world")
        self._pair("db2.example.com", "/var/lib/pgsql/data", base)
        self._pair("old-intranet.example.com", "/etc/httpd/conf/ssl", weak)
        self._pair("ci.example.com", "/srv/ci/tls", ci)
        self.census.report(
            self.hosts["ci.example.com"],
            "/srv/ci/release.p12",
            sealed_key(b"release"),
            status="locked",
            format_="pkcs12",
        )
        for name in _HOSTS:
            self.census.report(
                self.hosts[name],
                "/etc/ssl/certs/ca-certificates.crt",
                certificate(self.known["root"]),
                certificate(self.known["public-root"]),
                role="trust",
                package="ca-certificates",
            )
        self._used(live, old)
        with self.census.store.write() as connection:
            connection.execute(update(schema.host).values(last_seen_ms=self.census.clock.now_ms()))
        self.census.gap(self.hosts["db2.example.com"], "/srv/backup")
        copies = self.census.host("golden-image", clock_skew_ms=95_000)
        add_agent(self.census, copies, state="cloned", machines=("vm-17", "vm-18"))
        self.census.fold()

    def _pair(
        self, host: str, directory: str, issued: Issued, mode: int = 0o600, readable_by: str = ""
    ) -> None:
        number, inner = self.hosts[host], self.known["inner"]
        items: tuple[Item, ...] = (certificate(issued), certificate(inner))
        self.census.report(number, f"{directory}/fullchain.pem", *items)
        self.census.report(
            number,
            f"{directory}/privkey.pem",
            private_key(issued.key),
            mode=mode,
            readable_by=readable_by,
        )

    def _used(self, live: str, old: Issued) -> None:
        """Tell that nginx on shop1 was not reloaded since certbot renewed."""
        at = self.census.clock.now_ms()
        stale = Usage(
            binding=b"nginx:443",
            service="nginx",
            unit="nginx.service",
            configuration=b"/etc/nginx/sites-enabled/shop",
            line=12,
            directive="certificate",
            server_names=["shop.example.com", "www.example.com"],
            listen=["*:443"],
            handshake=Handshake(
                at_unix_ms=at,
                address="127.0.0.1:443",
                tls_version="TLSv1.3",
                verdict="not-reloaded",
            ),
        )
        self.census.usage(
            self.hosts["shop1.example.com"],
            stale,
            f"{live}/fullchain.pem",
            presented=(certificate(old), certificate(self.known["public"])),
        )
        renewal = Renewal(
            tool="certbot", last_success_unix_ms=at - 2 * _DAY_MS, schedule="certbot.timer"
        )
        self.census.usage(
            self.hosts["shop1.example.com"],
            Usage(binding=b"certbot:shop", service="renewer", renewal=renewal),
            f"{live}/fullchain.pem",
        )
