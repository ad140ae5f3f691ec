"""Configurations and listeners become usages: by a real nginx configuration, with answers of a test's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.pki import Issued, issue

from keycensus_agent.config import Config, ContextSettings, ScanSettings, StateSettings
from keycensus_agent.context import gather as gather_module
from keycensus_agent.context.bindings import Context
from keycensus_agent.context.other_networks import OtherNetwork
from keycensus_agent.inquiry import (
    Listener,
    Presented,
    Question,
    decode_question,
    encode_listeners,
    encode_presented,
)
from keycensus_agent.model import HOST_SCOPE, place_key
from keycensus_agent.reader import equipment, look_around
from keycensus_agent.reader.asked import SETTLE_MS, Asked
from keycensus_agent.reader.discovery.links import Resolver
from keycensus_agent.reader.ground import Ground
from keycensus_agent.reader.report.blobs import collect_blobs
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.usage import Usage, Verdict

ROOT = issue("Example Root", is_ca=True)
OLD = issue("www.example.com", issuer=ROOT, sans=("www.example.com",))
NEW = issue("www.example.com", issuer=ROOT, sans=("www.example.com", "shop.example.com"))
OTHER = issue("mail.example.com", issuer=ROOT, sans=("mail.example.com",))
HTTPS = Listener("0.0.0.0", 443, 33, 0)  # noqa: S104 - as the kernel lists it
NGINX = """
events {}
http {
    server {
        listen 443 ssl;
        server_name www.example.com *.example.com _;
        ssl_certificate tls/www.pem;
        ssl_certificate_key tls/www.key;
    }
}
"""
CERTBOT = """
version = 2.1.0
archive_dir = /etc/letsencrypt/archive/www
cert = /etc/letsencrypt/live/www/cert.pem
privkey = /etc/letsencrypt/live/www/privkey.pem
chain = /etc/letsencrypt/live/www/chain.pem
fullchain = /etc/letsencrypt/live/www/fullchain.pem
"""


@dataclass
class Host:
    root: Path
    service: ReaderService
    now_ms: int = 1_700_000_000_000
    listeners: list[Listener] = field(default_factory=lambda: [HTTPS])
    presents: Callable[[Question], Presented] = lambda _: Presented(error="Connection refused")
    questions: list[Question] = field(default_factory=list)

    def write(self, path: str, text: str | bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def sweep(self) -> int:
        changes = self.service.sweep().changes
        self.around.now_ms = lambda: self.now_ms
        return changes

    @property
    def around(self) -> look_around.LookAround:
        around = self.service.around
        if around.asked is None and self.service.config.context.probe:
            # The configuration's root is another one, whose listeners would be another machine's.
            seconds = self.service.config.context.probe_seconds
            around.asked = Asked(self.service.state, seconds * 1000, self.service.patient)
        return around

    def inquire(self) -> int:
        return self.around.inquire(self._ask)

    def _ask(self, payload: bytes) -> bytes:
        question = decode_question(payload)
        if question is None:
            return encode_listeners(self.listeners)
        self.questions.append(question)
        return encode_presented(self.presents(question))

    def usages(self) -> dict[tuple[str, str], Usage]:
        known = self.around.usages.known().values()
        return {(usage.service, usage.directive): usage for usage in known}


def presenting(*chain: Issued) -> Callable[[Question], Presented]:
    return lambda _: Presented(tuple(each.der for each in chain), "TLSv1.3", "TLS_X")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    root = tmp_path / "root"
    root.mkdir()
    config = Config(
        scan=ScanSettings(root=bytes(root)),
        state=StateSettings(tmp_path / "agent"),
        context=ContextSettings(probe_seconds=3600),
    )
    host = Host(root, ReaderService(config, State.in_memory()))
    host.write("etc/nginx/nginx.conf", NGINX)
    host.write("etc/nginx/tls/www.pem", OLD.pem + ROOT.pem)
    host.write("etc/nginx/tls/www.key", OLD.key_pem)
    yield host
    host.service.state.close()


def test_a_configuration_becomes_usages_that_name_their_places(host: Host) -> None:
    assert host.inquire() == 0
    host.sweep()
    with pytest.raises(ValueError):  # noqa: PT011 - any text will do
        host.around.inquire(lambda _: b"{}")
    found = host.usages()
    assert set(found) == {("nginx", "certificate"), ("nginx", "key")}
    usage = found["nginx", "certificate"]
    assert (usage.configuration, usage.line) == (b"/etc/nginx/nginx.conf", 7)
    assert usage.places == (place_key(HOST_SCOPE, b"/etc/nginx/tls/www.pem"),)
    assert (usage.listen, usage.server_names[0]) == (("*:443",), "www.example.com")
    assert usage.handshakes == ()


def test_a_place_in_the_text_of_a_service_that_nobody_knows_is_a_usage(host: Host) -> None:
    host.write("etc/odd/odd.toml", 'cert = "/etc/nginx/tls/www.pem"\n')
    host.sweep()
    usage = host.usages()["unknown", "mention"]
    assert (usage.configuration, usage.line) == (b"/etc/odd/odd.toml", 1)
    assert usage.places == (place_key(HOST_SCOPE, b"/etc/nginx/tls/www.pem"),)
    assert usage.listen == ()


def test_each_name_is_asked_for_once_and_what_is_on_the_disk_is_served(host: Host) -> None:
    host.sweep()
    host.presents = presenting(OLD, ROOT)
    assert host.inquire() == 1
    assert [(each.address, each.port, each.server_name) for each in host.questions] == [
        ("127.0.0.1", 443, "www.example.com"),
    ]
    usage = host.usages()["nginx", "certificate"]
    assert [each.verdict for each in usage.handshakes] == [Verdict.SERVED]
    assert usage.handshakes[0].chain == (OLD.sha256, ROOT.sha256)
    assert usage.manifest
    # The key's usage is nobody's to ask about, and nothing is due again before its time.
    assert host.usages()["nginx", "key"].handshakes == ()
    host.now_ms += 3_599_000
    assert host.inquire() == 0
    assert len(host.questions) == 1
    host.now_ms += 1_000
    assert host.inquire() == 0
    assert len(host.questions) == 2


def test_a_renewal_without_a_reload_is_seen_and_goes_with_the_reload(host: Host) -> None:
    host.sweep()
    host.presents = presenting(OLD, ROOT)
    host.inquire()
    host.write("etc/nginx/tls/www.pem", NEW.pem + ROOT.pem)
    assert host.sweep() > 0
    # Until it is asked the last answer stands: nothing is guessed.
    assert host.usages()["nginx", "certificate"].handshakes[0].verdict is Verdict.SERVED
    assert host.inquire() == 1
    assert host.usages()["nginx", "certificate"].handshakes[0].verdict is Verdict.NOT_RELOADED
    # It is asked again soon, and then less and less often.
    assert host.around.again_in_ms == 60_000
    host.now_ms += 60_000
    host.inquire()
    assert host.around.again_in_ms == 120_000
    host.presents = presenting(NEW, ROOT)
    host.now_ms += 120_000
    assert host.inquire() == 1
    usage = host.usages()["nginx", "certificate"]
    assert [each.verdict for each in usage.handshakes] == [Verdict.SERVED]
    assert host.around.again_in_ms == 3_600_000


def test_a_daemon_gives_a_service_the_time_to_be_reloaded(host: Host) -> None:
    host.service.patient = True
    host.sweep()
    host.presents = presenting(OLD, ROOT)
    host.inquire()
    host.write("etc/nginx/tls/www.pem", NEW.pem + ROOT.pem)
    host.sweep()
    asked = len(host.questions)
    host.inquire()
    assert (len(host.questions), host.around.again_in_ms) == (asked, SETTLE_MS)
    host.now_ms += SETTLE_MS
    host.inquire()
    assert len(host.questions) == asked + 1


def test_what_is_served_and_on_no_disk_travels_as_a_blob(host: Host) -> None:
    host.sweep()
    host.presents = presenting(OTHER)
    host.inquire()
    usage = host.usages()["nginx", "certificate"]
    assert usage.handshakes[0].verdict is Verdict.NOT_ON_DISK
    with host.service.state.transaction() as connection:
        collect_blobs(connection)
        kept = {bytes(row[0]) for row in connection.execute("SELECT data FROM blob")}
    assert OTHER.der in kept


def test_what_stands_elsewhere_on_the_disk_is_another(host: Host) -> None:
    host.write("srv/mail.pem", OTHER.pem)
    host.sweep()
    host.presents = presenting(OTHER)
    host.inquire()
    assert host.usages()["nginx", "certificate"].handshakes[0].verdict is Verdict.ANOTHER


def test_a_silent_service_says_why_and_an_absent_one_nothing(host: Host) -> None:
    host.sweep()
    host.inquire()
    (answer,) = host.usages()["nginx", "certificate"].handshakes
    assert (answer.error, answer.verdict) == ("Connection refused", Verdict.NONE)
    host.listeners = []
    host.now_ms += 3_600_000
    host.inquire()
    assert host.usages()["nginx", "certificate"].handshakes == ()


def test_listeners_without_a_configuration_are_found_on_known_ports(host: Host) -> None:
    host.listeners += [Listener("::", 8443, 0, 0), Listener("10.0.0.1", 9999, 0, 0)]
    host.sweep()
    host.presents = lambda question: presenting(OTHER if question.port == 8443 else OLD)(question)
    host.inquire()
    assert {question.port for question in host.questions} == {443, 8443}
    usage = host.usages()["listener", "handshake"]
    assert (usage.listen, usage.handshakes[0].verdict) == (("[::]:8443",), Verdict.NOT_ON_DISK)
    # Known as long as it is not asked again, and gone when it is.
    host.sweep()
    assert ("listener", "handshake") in host.usages()
    host.listeners.pop(1)
    host.now_ms += 3_600_000
    host.inquire()
    assert ("listener", "handshake") not in host.usages()


def test_with_all_asked_no_listener_is_left_out(host: Host) -> None:
    host.listeners.append(Listener("10.0.0.1", 9999, 0, 0))
    host.sweep()
    host.around.every = True
    host.presents = presenting(OLD)
    host.inquire()
    assert {(each.address, each.port) for each in host.questions} == {
        ("127.0.0.1", 443),
        ("10.0.0.1", 9999),
    }
    # What it presents is on the disk: it serves what stands there.
    usage = host.usages()["listener", "handshake"]
    assert usage.handshakes[0].verdict is Verdict.SERVED
    assert usage.places == (place_key(HOST_SCOPE, b"/etc/nginx/tls/www.pem"),)


def test_two_certificates_of_one_server_are_asked_for_by_their_kind(host: Host) -> None:
    host.write(
        "etc/nginx/nginx.conf",
        NGINX.replace("tls/www.pem;", "tls/www.pem; ssl_certificate tls/rsa.pem;"),
    )
    host.write("etc/nginx/tls/rsa.pem", NEW.pem)
    host.sweep()
    chains = {"rsa": NEW, "ecdsa": OLD, "": OLD}
    host.presents = lambda question: presenting(chains[question.family])(question)
    host.inquire()
    usage = host.usages()["nginx", "certificate"]
    assert {each.chain for each in usage.handshakes} == {(OLD.sha256,), (NEW.sha256,)}
    assert {each.verdict for each in usage.handshakes} == {Verdict.SERVED}


def test_a_renewal_tools_record_is_a_usage_of_its_places(host: Host) -> None:
    host.write("etc/letsencrypt/renewal/www.conf", CERTBOT)
    host.write("etc/letsencrypt/live/www/fullchain.pem", NEW.pem)
    host.sweep()
    usage = host.usages()["renewer", "renewal"]
    assert usage.renewal is not None
    assert usage.renewal.tool == "certbot"
    assert place_key(HOST_SCOPE, b"/etc/letsencrypt/live/www/fullchain.pem") in usage.places


def test_a_configuration_that_goes_takes_its_usages_along(host: Host) -> None:
    host.sweep()
    (host.root / "etc/nginx/nginx.conf").unlink()
    assert host.sweep() == 2
    assert host.usages() == {}


def test_a_changed_configuration_is_read_again_but_not_all_the_time(host: Host) -> None:
    around, resolver = host.around, Ground(host.service.config).resolver
    assert around.heard([b"/etc/nginx"], resolver) == 0
    host.sweep()
    clock = [1000.0]
    around.clock = lambda: clock[0]
    around.look(resolver)
    host.write("etc/nginx/nginx.conf", NGINX.replace("_;", "new.example.com;"))
    assert around.heard([b"/srv", b"/etcetera"], resolver) == 0
    around._next_at = clock[0] + 5
    assert around.heard([b"/etc/nginx"], resolver) == 0
    # Nothing more changed, but what did was not read yet.
    assert around.heard([], resolver) == 0
    clock[0] += 5
    assert around.heard([], resolver) == 4
    assert around.heard([], resolver) == 0
    assert "new.example.com" in host.usages()["nginx", "certificate"].server_names


def test_unchanged_configurations_are_not_read_again_by_a_sweep(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.now_ms = equipment.now_ms() + 60_000
    host.sweep()
    host.sweep()
    read: list[bool] = []
    real = gather_module.gather

    def noted(resolver: Resolver, now_ms: int, *places: Collection[bytes]) -> Context:
        read.append(True)
        return real(resolver, now_ms, *places)

    monkeypatch.setattr(gather_module, "gather", noted)
    assert (host.sweep(), read) == (0, [])
    # A file in a directory of configurations, whatever it is.
    host.write("etc/nginx/notes", "x")
    host.sweep()
    assert read == [True]
    # What is due is overdue later.
    host.sweep()
    host.now_ms += 7 * 3_600_000
    host.sweep()
    assert read == [True, True]
    # Another process knows none of it, and reads before it asks.
    host.service._around = None
    host.around.now_ms = lambda: host.now_ms
    host.sweep()
    assert (len(read), host.around.is_stale) == (2, True)


def test_many_listeners_are_asked_in_several_conversations(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keycensus_agent.reader.inquiring.QUESTIONS", 2)
    servers = [
        f"server {{ listen {8000 + number} ssl; ssl_certificate tls/www.pem; }}"
        for number in range(3)
    ]
    host.write("etc/nginx/nginx.conf", "events {} http { " + "\n".join(servers) + "}")
    host.listeners = [Listener("127.0.0.1", 8000 + number, 0, 0) for number in range(3)]
    host.sweep()
    host.presents = presenting(OLD)
    host.inquire()
    assert (len(host.questions), host.around.again_in_ms) == (2, 0)
    host.inquire()
    assert sorted(question.port for question in host.questions) == [8000, 8001, 8002]


def test_nobody_is_asked_where_that_is_off(host: Host) -> None:
    host.sweep()
    host.presents = presenting(OLD)
    host.inquire()
    host.around.asked = None
    host.service.config = Config(
        scan=host.service.config.scan,
        state=host.service.config.state,
        context=ContextSettings(probe=False),
    )
    asked = len(host.questions)
    host.sweep()
    assert (host.inquire(), len(host.questions)) == (0, asked)
    # What was seen before it was switched off is not kept up as if it were known.
    assert host.usages()["nginx", "certificate"].handshakes == ()


def test_who_listens_where_nobody_can_be_asked_is_counted_and_told(host: Host) -> None:
    apart = OtherNetwork("container 0123456789ab", ("0.0.0.0:443", "[::]:443"))
    host.around.others = lambda: [apart, OtherNetwork("cell", ("127.0.0.1:8443",))]
    result = host.service.sweep()
    assert result.unasked == (apart, OtherNetwork("cell", ("127.0.0.1:8443",)))
    counters = host.service.counters()
    assert (counters["networks-not-asked"], counters["listeners-not-asked"]) == (2, 3)
    host.around.others = list
    assert host.service.sweep().unasked == ()
    assert "listeners-not-asked" not in host.service.counters()


def test_of_another_machines_disk_and_without_asking_nobody_is_missed(host: Host) -> None:
    # The configuration's root is another one.
    assert host.service.around.others is None
    assert host.service.sweep().unasked == ()
