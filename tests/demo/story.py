"""What the demo does, step by step, and what must be true in the end: the demo is a test too."""

from __future__ import annotations

import secrets
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPSHandler, build_opener

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate
from demo.fleet import CLIENT, COLLECTOR, Fleet
from demo.history import DATABASE, FIRST_DAYS, VPN, set_back
from demo.issuing import SampleAuthority, make_authority
from demo.machine import can_be_machines, serving
from demo.processes import DemoError, Processes
from demo.sample_hosts import (
    LINEAGE,
    WILDCARD,
    build_sample_hosts,
    renew_lineage,
    serve_lineage_at,
)
from demo.shell import Shell, heading, say

LIVE = f"/etc/letsencrypt/live/{LINEAGE}"
WILDCARD_HOSTS = 2
# The scan of this machine with a cold cache; the sample servers take a second.
SCAN_SECONDS = 900
CHANGE_SECONDS = 120
PERSON = "demo"
# The sample server that is a machine of its own.
SERVING = "web-1"
RULES = """\
owners:
  - {rule: web-servers, of: hosts, host: ["web-*", "old-*"], owner: web}
  - {rule: databases, of: hosts, host: "db-*", owner: platform}
"""


@dataclass(slots=True)
class Story:
    """The demo. `work` is its folder, `shell` runs commands; `processes` and `servers` stay up."""

    work: Path
    shell: Shell
    processes: Processes
    servers: ExitStack
    # Whether web-1 is a machine of its own here, with a server that presents what it has loaded.
    _serves: bool = False
    _fleet: Fleet = field(init=False)
    _password: str = ""

    def tell(self) -> None:
        """Do everything; DemoError if something fails or an answer is wrong."""
        now = datetime.now(UTC).replace(microsecond=0)
        heading("1  Four sample servers")
        authority = self._build_hosts(now)
        heading("2  A collector with its own CA, on SQLite, and what it saw before today")
        self._fleet.init_collector()
        self._fleet.look_back(set_back(self._fleet.hosts, authority, now))
        self._fleet.start_collector()
        heading("3  Five agents: this machine and the sample servers")
        self._fleet.start_agents()
        self._wait_until_complete()
        heading("4  What do we have, and where")
        self._ask()
        heading("5  A certificate is renewed on web-1")
        self._renew(authority)
        heading("6  Whose it is, and who left")
        self._own()
        self._let_people_in()
        if self._serves:
            heading("7  A service that still presents the old certificate")
            self._wait_for_verdict()

    def tell_where_to_look(self) -> None:
        """Print how to go on by hand."""
        heading("The demo stays up until Ctrl-C. In a browser:")
        say(f"https://{self._fleet.addresses['web']}   name: {PERSON}   password: {self._password}")
        chain = self._fleet.relative(self.work / "collector" / "authority" / "chain.pem")
        say(f"Browsers warn of its certificate, which the demo's own authority signed ({chain}).")
        heading("In another terminal:")
        say(f"cd {self.shell.directory}")
        for name, value in self.shell.variables.items():
            say(f"export {name}={value}")
        say('export PATH="$PWD/.venv/bin:$PATH"')
        say("keycensus certs")
        say("keycensus keys")
        say("keycensus hosts")
        say(f"ls {self._fleet.relative(self.work)}/hosts     # change something: seen in seconds")
        say(f"tail -f {self._fleet.relative(self.work)}/logs/*.log")

    # --- 1, 2, 3: what there is -----------------------------------------------------------------

    def _build_hosts(self, now: datetime) -> SampleAuthority:
        authority = make_authority("Example", now)
        hosts = build_sample_hosts(self.work / "hosts", authority, now)
        say(
            "web-1   nginx; Let's Encrypt's live/ and archive/, expires in 25 days; a wildcard pair"
        )
        say("app-1   Tomcat; a Java key store that expires in 9 days, and a locked PKCS#12")
        say("db-1    PostgreSQL; a private key that everyone can read; an SSH key")
        say("old-1   Apache; expired, RSA 1024, SHA-1; a forgotten key; the same wildcard pair")
        self._serve(hosts[SERVING])
        machine = SERVING if self._serves else ""
        self._fleet = Fleet(self.work, self.shell, self.processes, hosts, machine)
        say(f"Their file systems are below {self._fleet.relative(self.work / 'hosts')}/.")
        return authority

    def _serve(self, root: Path) -> None:
        """Serve the lineage of certbot as a machine of its own would, where the kernel has such."""
        self._serves = can_be_machines(root)
        if not self._serves:
            say("This kernel gives you no namespaces: no server listens, step 7 is left out.")
            return
        live = root / LIVE.lstrip("/")
        port = self.servers.enter_context(serving(live / "fullchain.pem", live / "privkey.pem"))
        serve_lineage_at(root, f"127.0.0.1:{port}")
        say(f"{SERVING} is a machine of its own; a server listens there on port {port}.")

    def _wait_until_complete(self) -> None:
        begun, known = time.monotonic(), set[str]()

        def complete() -> bool:
            for host in self.shell.ask(CLIENT, "hosts"):
                if host["complete"] and host["name"] not in known:
                    known.add(host["name"])
                    say(f"{host['name']}: swept whole, {time.monotonic() - begun:.1f} s")
            return len(known) == len(self._fleet.agents)

        self._fleet.wait(complete, SCAN_SECONDS, "every agent's first sweep")
        self._fleet.wait_until_read()

    # --- 4, 5: what it answers ------------------------------------------------------------------

    def _ask(self) -> None:
        samples = ("--host", "*.example.com")
        self.shell.show(CLIENT, "summary")
        self.shell.show(CLIENT, "hosts")
        say("\nCertificates of the sample servers, with all their places:")
        self.shell.show(CLIENT, "certs", *samples, "--places")
        say("\nWhat expires next, and what has expired:")
        self.shell.show(CLIENT, "certs", "--expires-within", "30d", "--limit", "10")
        self.shell.show(CLIENT, "certs", *samples, "--expired")
        say("\nKeys without a certificate, and keys that everybody can read:")
        self.shell.show(CLIENT, "keys", *samples, "--without-certificate")
        self.shell.show(CLIENT, "keys", *samples, "--readable-by", "world")
        self._ask_for_wildcard()
        self._ask_for_the_past()

    def _ask_for_wildcard(self) -> None:
        pem = (self._fleet.hosts["web-1"] / "etc/nginx/tls/wildcard.pem").read_bytes()
        fingerprint = load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
        shown = self.shell.ask(CLIENT, "show", fingerprint)["certificate"]
        key = shown["private_key"]
        self._must(key is not None, f"the key of {WILDCARD}")
        hosts = {place["host"] for place in key["places"]}
        self._must(len(hosts) == WILDCARD_HOSTS, f"the key of {WILDCARD} on {WILDCARD_HOSTS} hosts")
        say(f"\nEvery place of the key of {WILDCARD}:")
        self.shell.show(CLIENT, "where", key["id"][:16])

    def _ask_for_the_past(self) -> None:
        say("\nWhat came, went and changed on the sample servers in the last seven days:")
        self.shell.show(CLIENT, "diff", "7d", "-q", "host:*.example.com")
        went = {each["name"] for each in self.shell.ask(CLIENT, "certs", "-q", "gone<7d")}
        self._must({VPN, DATABASE} <= went, f"{VPN} to have gone, and {DATABASE} from before")
        past = f"as-of:{FIRST_DAYS - 1}d"
        before = {
            each["name"] for each in self.shell.ask(CLIENT, "certs", "-q", f"{past} name:{VPN}")
        }
        self._must(before == {VPN}, f"{VPN} on a day when it was there")

    def _renew(self, authority: SampleAuthority) -> None:
        renewed = renew_lineage(self._fleet.hosts["web-1"], authority, datetime.now(UTC))
        fingerprint = renewed.fingerprint(SHA256()).hex()
        begun = time.monotonic()
        say(f"{LINEAGE}: new files in archive/, links in live/ turned, as certbot does it.")
        self._fleet.wait(
            lambda: self._is_live(fingerprint), CHANGE_SECONDS, "the renewed certificate to be live"
        )
        say(f"At the collector after {time.monotonic() - begun:.1f} s.")
        self.shell.show(CLIENT, "show", fingerprint[:16])
        self.shell.show(
            CLIENT, "certs", "--name", LINEAGE, "--host", "web-1*", "--status", "any", "--places"
        )

    # --- 6: whose it is -----------------------------------------------------------------------------

    def _own(self) -> None:
        """Two teams, rules that say what is theirs, and somebody who leaves with something in her name."""
        for name, full_name in (("ann", "Ann Olsen"), ("eve", "Eve Novak")):
            address = f"{name}@example.com"
            self.shell.quiet(
                CLIENT, "people", "add", name, "--full-name", full_name, "--email", address
            )
        for team in ("web", "platform"):
            self.shell.quiet(CLIENT, "owners", "create", team, "--contact", f"{team}@example.com")
            self.shell.quiet(CLIENT, "owners", "join", team, "ann")
        rules = self.work / "rules.yaml"
        rules.write_text(RULES)
        self.shell.show(CLIENT, "rules", "apply", self._fleet.relative(rules))
        self._fleet.wait(
            lambda: bool(self.shell.ask(CLIENT, "certs", "-q", "owner:web host:web-1*")),
            CHANGE_SECONDS,
            "the certificates of web-1 to be the team web's",
        )
        given = (
            "owners",
            "set",
            "eve",
            "-q",
            "host:app-1*",
            "--reason",
            "she set Tomcat up",
            "--yes",
        )
        self.shell.quiet(CLIENT, *given)
        self.shell.show(CLIENT, "people", "leave", "eve", "--to", "platform")
        self.shell.show(CLIENT, "owners", "teams")

    def _let_people_in(self) -> None:
        """Make a user who can sign in at the pages, and see as that one that they answer."""
        settings = self._fleet.configured
        self._password = secrets.token_urlsafe(12)
        self.shell.quiet(COLLECTOR, "user", "add", PERSON, "--role", "admin", *settings)
        self.shell.quiet(
            COLLECTOR, "user", "passwd", PERSON, *settings, given=self._password + "\n"
        )
        anchor = str(self.work / "collector" / "authority" / "chain.pem")
        https = HTTPSHandler(context=ssl.create_default_context(cafile=anchor))
        browser = build_opener(https, HTTPCookieProcessor())
        form = urlencode({"user": PERSON, "password": self._password, "to": "/"}).encode()
        with browser.open(
            f"https://{self._fleet.addresses['web']}/sign-in", form, timeout=60
        ) as page:
            text = page.read().decode()
        self._must("What will bite" in text, "the overview after signing in")
        say(f"\nThe pages answer at https://{self._fleet.addresses['web']} (sign in as {PERSON}).")

    # --- 7: what is presented -----------------------------------------------------------------------

    def _wait_for_verdict(self) -> None:
        """Wait until the agent of web-1 has asked: it gives a service half a minute to be reloaded."""
        query = "verdict:not-reloaded ca:no"
        self._fleet.wait(
            lambda: bool(self.shell.ask(CLIENT, "certs", "-q", query)),
            CHANGE_SECONDS,
            "the agent to see that the server was not reloaded",
        )
        say(f"{LINEAGE} was renewed on the disk, but its server was not reloaded:")
        self.shell.show(CLIENT, "certs", "-q", query, "--places")

    def _is_live(self, fingerprint: str) -> bool:
        """Tell whether both names in live/ that hold the certificate are known to."""
        named = self.shell.ask(CLIENT, "certs", "--name", LINEAGE, "--status", "any", "--places")
        places = [
            place["path"]
            for certificate in named
            if certificate["sha256"] == fingerprint
            for place in certificate["places"]
        ]
        return {f"{LIVE}/cert.pem", f"{LIVE}/fullchain.pem"} <= set(places)

    def _must(self, truth: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not truth:
            raise DemoError(f"an answer is wrong: expected {what}")
