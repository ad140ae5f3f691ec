"""The REST client and the commands in this process, against the real server."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.census import Census, blob_item, certificate, private_key, sealed_key
from fakes.pki import issue, new_key, spki_of
from fakes.served import Served, api_token

from keycensus_client import cli
from keycensus_client.credentials import Credentials
from keycensus_client.errors import (
    AmbiguousError,
    AnswerError,
    NotFoundError,
    UnauthorisedError,
    UnreachableError,
    UntrustedError,
    UsageError,
)
from keycensus_client.rest import Client

ROOT = issue("Root", is_ca=True)
LEAVES = [issue(f"n{n}.example", issuer=ROOT, days=10 + n) for n in range(5)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    host = census.host("web1", labels='{"token": {"env": "prod"}}', counters='{"files": 12}')
    census.report(host, "/etc/all.pem", *map(certificate, LEAVES), private_key(LEAVES[0].key))
    census.report(host, "/etc/box.p12", sealed_key(b"box"), status="locked")
    census.report(host, "/etc/odd.pem", blob_item("csr", b"x"), blob_item("crl", b"y"))
    census.report(host, "/etc/pub.pem", blob_item("public-key", spki_of(new_key())))
    census.gap(host, "/mnt")
    census.fold()
    census.report(host, "/etc/box.p12", certificate(LEAVES[1], "alias"), certificate(b"\x30\x00"))
    census.report(host, "/link", certificate(LEAVES[2]), target="/etc/all.pem", use="retained")
    census.fold()
    served = Served(census, directory, api_token(census))
    yield served
    served.close()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    credentials = Credentials(served.url, served.token, str(served.ca_file))
    with Client(credentials) as client:
        yield client


def test_all_items_come_over_all_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keycensus_client.rest.PAGE_LIMIT", 2)
    for limit, sizes in ((None, [2, 2, 2]), (3, [2, 1]), (2, [2])):
        pages = list(client.all_certificates(limit))
        assert [len(page.items) for page in pages] == sizes
        assert {page.total for page in pages} == {6}
    assert [len(page.items) for page in client.all_hosts(None)] == [1]
    assert [len(page.items) for page in client.all_keys(None, status="any")] == [1]


def test_typed_answers(client: Client) -> None:
    assert client.whoami().user == "ada"
    assert client.summary().hosts == 1
    sha256 = LEAVES[1].sha256.hex()
    found = client.where(sha256)
    assert {place.path for place in found.places} == {"/etc/all.pem", "/etc/box.p12"}
    shown = client.show(sha256, "certificate").certificate
    assert shown is not None
    assert shown.certificate.not_after is not None
    assert client.certificates(expired=True).items == []


def test_refusals_are_typed(served: Served, client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        client.show("nobody")
    with pytest.raises(UsageError, match="expires_within"):
        client.certificates(expires_within="soon")
    served.census.host("twin")
    served.census.host("twin")
    with pytest.raises(AmbiguousError, match=r"host .* twin"):
        client.where("twin")
    with (
        Client(Credentials(served.url, "kcu_none", str(served.ca_file))) as unknown,
        pytest.raises(UnauthorisedError, match="refused the token"),
    ):
        unknown.whoami()
    with Client(Credentials(served.url, served.token)) as trusting, pytest.raises(UntrustedError):
        trusting.whoami()
    with pytest.raises(UsageError, match="is not there"):
        Client(Credentials(served.url, "x", "/missing.pem"))
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(UsageError, match="can't be used"):
        Client(Credentials(served.url, "x", str(broken)))


class Other(http.server.BaseHTTPRequestHandler):
    """A server that is no collector."""

    def do_GET(self) -> None:
        answers = {"whoami": (200, b"<html>"), "summary": (500, b"{}"), "hosts": (502, b"<html>")}
        answer = next((v for k, v in answers.items() if k in self.path), None)
        status, body = answer or (418, json.dumps({"detail": "tea\x1b"}).encode())
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_is_no_collector_is_noticed() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with Client(Credentials(f"http://127.0.0.1:{server.server_port}", "x")) as client:
            for ask in (client.whoami, client.summary, client.hosts):
                with pytest.raises(AnswerError, match="not like a collector"):
                    ask()
            with pytest.raises(AnswerError, match=r"\(418\): tea\\x1b"):
                client.keys()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with (
        Client(Credentials(f"http://127.0.0.1:{server.server_port}", "x")) as gone,
        pytest.raises(UnreachableError, match="can't be reached"),
    ):
        gone.whoami()


@dataclass(frozen=True)
class Command:
    """`keycensus` in this process, with a configuration of its own."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int | str | None, str, str]:
        """Return exit status, standard output and standard error."""
        self.monkeypatch.setenv("KEYCENSUS_CONFIG", str(self.directory))
        self.monkeypatch.setattr(sys, "argv", ["keycensus", *arguments])
        status: int | str | None = 0
        try:
            cli.main()
        except SystemExit as done:
            status = done.code
        return (status, *self.capture.readouterr())


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, monkeypatch, capsys)


ANSWERS = [
    (("certs",), "n0.example"),
    (("certs", "--places"), "/etc/all.pem"),
    (("certs", "-o", "json"), '"n0.example"'),
    (("certs", "-o", "csv"), '"n0.example"'),
    (("certs", "--name", "zz"), "no certificates"),
    (("certs", "--status", "gone", "--places"), "no certificates"),
    (("keys",), "n0.example"),
    (("keys", "-o", "json"), "/etc/all.pem"),
    (("keys", "-o", "csv"), "web1:/etc/all.pem"),
    (("keys", "--path", "/zz"), "no keys"),
    (("hosts",), "web1"),
    (("hosts", "-o", "json"), "web1"),
    (("hosts", "-o", "csv"), "web1"),
    (("hosts", "--name", "zz"), "no hosts"),
    (("summary",), "readable by everybody"),
    (("summary", "-o", "json"), '"gaps": 1'),
    (("summary", "-o", "csv"), '"gaps"'),
    (("show", "web1"), "env=prod  of the token it was enrolled with"),
    (("show", "web1", "-o", "json"), '"counters"'),
    (("show", LEAVES[0].sha256.hex()), "private key  web1:/etc/all.pem"),
    (("show", private_key(LEAVES[0].key).artifact.hex()), "n0.example"),
    (("show", blob_item("csr", b"x").artifact.hex()), "request"),
    (("show", blob_item("crl", b"y").artifact.hex()), "revocation list"),
    (("show", certificate(b"\x30\x00").artifact.hex()), "problem"),
    (("where", LEAVES[2].sha256.hex()), "/link -> /etc/all.pem"),
    (("where", LEAVES[1].sha256.hex()), "certificate (alias)"),
    (("where", LEAVES[1].sha256.hex(), "-o", "csv"), '"alias"'),
    (("where", LEAVES[1].sha256.hex(), "-o", "json"), '"total": 2'),
    (("--help",), "Commands:"),
    (("--version",), "0.1.0"),
]


# By number: fingerprints differ from run to run, and the names of tests must not.
@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_each_command_answers(served: Served, command: Command, number: int) -> None:
    arguments, expected = ANSWERS[number]
    token, ca_file = str(served.token_file), str(served.ca_file)
    login = command.run("login", served.url, "--token-file", token, "--ca-file", ca_file)
    assert login[0] == 0, login
    status, out, _ = command.run(*arguments)
    assert status == 0
    assert expected in out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("certs",), 3, "not logged in"),
        (("certs", "--nothing"), 2, "No such option"),
        (("none",), 2, "No such command"),
        (("login", "http://x"), 2, "write https://"),
        (("show", "./none"), 2, "No such file"),
    ],
)
def test_each_error_has_its_status(
    command: Command, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done, _, error = command.run(*arguments)
    assert done == status
    assert said in error
