"""`keycensus` as a process of its own, against the real application over real TLS."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue, new_key
from fakes.served import Served, api_token
from fakes.zygote import zygote_of

from keycensus_client.cli import COMMANDS
from keycensus_collector.store import schema

NOW = dt.datetime.now(dt.UTC)
HOSTILE = "=cmd|' /C calc'!A0\x1b]0;pwn\x07\u202egpj.exe<script>"
SHOWN = "=cmd|' /C calc'!A0\\x1b]0;pwn\\x07\\u202egpj.exe<script>"
ROOT = issue("Example Root", is_ca=True, days=3650, now=NOW)
WWW = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=20, now=NOW)
NEXT = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=110, now=NOW)
EVIL = issue(HOSTILE, days=50, now=NOW)
OLD = issue("legacy.example.org", days=-10, now=NOW)


def fill(census: Census) -> None:
    census.clock.current_ms = int(NOW.timestamp() * 1000)
    web, db = census.host("web1"), census.host("db1", state="silent")
    census.report(web, "/etc/www.pem", certificate(WWW), certificate(ROOT))
    census.report(web, "/etc/www.key", private_key(NEXT.key), mode=0o600)
    census.report(db, "/etc/old.pem", certificate(OLD), private_key(OLD.key), mode=0o644)
    census.report(db, "/etc/orphan.key", private_key(new_key()), mode=0o640)
    census.report(db, "/root/box.p12", sealed_key(b"box"), status="locked")
    census.report(db, "/tmp/evil.pem", certificate(EVIL, "=1+1"))  # noqa: S108 - a path in the inventory
    census.gap(db, "/mnt/nfs", "network-file-system")
    census.fold()
    census.report(web, "/etc/www.pem", certificate(NEXT), certificate(ROOT))
    census.report(web, "/etc/www.pem.bak", certificate(WWW), use="retained", package="web-base")
    census.fold()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    fill(census)
    served = Served(census, directory, api_token(census))
    done = served.login()
    assert done.returncode == 0, done.stderr
    yield served
    served.close()


def output(served: Served, *arguments: str) -> str:
    done = served.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_by_a_dimension_it_shows_figures_and_what_lists_them(served: Served) -> None:
    done = served.run("certs", "--by", "issuer", "-q", "ca:no", "-o", "csv")
    assert done.returncode == 0, done.stderr
    value, count, query = next(
        row for row in csv.reader(io.StringIO(done.stdout)) if "Root" in row[0]
    )
    listed = served.run("certs", "-q", query, "-o", "json")
    assert len(json.loads(listed.stdout)) == int(count) == 1, value
    table = served.run("hosts", "--by", "state")
    assert "2 hosts by state" in table.stderr
    refused = served.run("certs", "--by", "issuer", "--expired")
    assert (refused.returncode, "say in -q" in refused.stderr) == (2, True)
    wrong = served.run("keys", "--by", "colour")
    assert "label.KEY" in wrong.stderr


def test_gaps_are_listed_grouped_and_for_spreadsheets(served: Served) -> None:
    lines = output(served, "gaps").splitlines()
    assert lines[0].split() == ["HOST", "WHERE", "WHY", "DETAIL", "SINCE"]
    assert lines[1].split()[:4] == ["db1", "/mnt/nfs", "network-file-system", "EACCES"]
    assert output(served, "gaps", "-q", "gap-reason:unreadable") == "no gaps\n"
    (row,) = rows_of(output(served, "gaps", "-o", "csv"))
    (item,) = json.loads(output(served, "gaps", "-o", "json", "--sort", "-since"))
    assert row == item
    assert item["prefix"] == "/mnt/nfs"
    assert "network-file-system" in served.run("gaps", "--by", "reason").stdout


def test_lists_are_sorted_and_a_wrong_order_names_those_there_are(served: Served) -> None:
    def names(*arguments: str) -> list[str]:
        return [item["name"] for item in json.loads(output(served, *arguments, "-o", "json"))]

    assert names("hosts", "--sort", "-name") == ["web1", "db1"]
    assert names("certs", "--sort", "-name") == sorted(names("certs"), reverse=True)
    for command in ("certs", "keys", "places", "hosts", "gaps"):
        wrong = served.run(command, "--sort", "colour")
        assert (wrong.returncode, "by 'colour', but by " in wrong.stderr) == (2, True)


def test_login_checks_the_token_and_stores_it_for_its_owner_alone(served: Served) -> None:
    done = served.login()
    assert f"logged in to {served.url} as ada (viewer)" in done.stdout
    path = served.directory / "config" / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert served.token not in done.stdout + done.stderr
    assert [other.name for other in path.parent.iterdir()] == ["credentials.json"]


def test_login_takes_the_token_from_a_pipe(served: Served, tmp_path: Path) -> None:
    arguments = ("login", served.url, "--token-file", "-", "--ca-file", str(served.ca_file))
    environment = {"KEYCENSUS_CONFIG": str(tmp_path)}
    assert served.run(*arguments, stdin=served.token + "\n", **environment).returncode == 0
    assert served.run("summary", **environment).returncode == 0
    refused = served.run("login", served.url, stdin="", **environment)
    assert refused.returncode == 2
    assert "--token-file" in refused.stderr


def test_the_environment_is_enough_and_wins(served: Served, tmp_path: Path) -> None:
    environment = {
        "KEYCENSUS_CONFIG": str(tmp_path / "empty"),
        "KEYCENSUS_URL": served.url,
        "KEYCENSUS_TOKEN_FILE": str(served.token_file),
        "KEYCENSUS_CA_FILE": str(served.ca_file),
    }
    assert served.run("summary", **environment).returncode == 0
    assert served.run("summary", KEYCENSUS_URL="https://127.0.0.1:1").returncode == 3


def test_certificates_stand_in_the_order_of_their_end(served: Served) -> None:
    lines = output(served, "certs").splitlines()
    assert lines[0].split("  ")[0] == "NAME"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "legacy.example.org",
        SHOWN,
        "www.example.com",
        "Example Root",
    ]
    assert "expired 10 d ago" in lines[1]
    assert "109 d" in lines[3]
    assert NEXT.sha256.hex()[:12] in lines[3]
    assert "(key at 1)" in lines[3]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--expires-within", "60d"), [SHOWN]),
        (("--expired",), ["legacy.example.org"]),
        (("--host", "WEB*"), ["www.example.com", "Example Root"]),
        (("--leaf", "--host", "web1"), ["www.example.com"]),
        (("--ca",), ["Example Root"]),
        (("--issuer", "example root", "--leaf"), ["www.example.com"]),
        (("--name", "*.example.org"), ["legacy.example.org"]),
        (("--path", "/tmp"), [SHOWN]),  # noqa: S108 - a path in the inventory
        (("--status", "retained"), ["www.example.com"]),
        (("--without-key", "--leaf"), [SHOWN]),
        (("--all", "--name", "nobody"), []),
        (("--limit", "1"), ["legacy.example.org"]),
    ],
)
def test_certificate_filters(served: Served, arguments: tuple[str, ...], names: list[str]) -> None:
    items = json.loads(served.run("certs", "-o", "json", *arguments).stdout)
    assert [item["name"] for item in items] == names


def test_a_table_that_is_cut_says_how_many_there_are(served: Served) -> None:
    done = served.run("certs", "--limit", "1")
    assert "1 of 4 certificates shown" in done.stderr
    assert len(served.run("certs", "--limit", "0").stdout.splitlines()) == 5


def test_certificates_with_all_their_places(served: Served) -> None:
    lines = output(served, "certs", "--places", "--name", "www.example.com").splitlines()
    assert lines[0].split() == [
        "NAME", "EXPIRES", "IN", "HOST", "PATH", "USE", "MODE", "OWNER", "FINGERPRINT",
    ]  # fmt: skip
    assert lines[1].split()[-6:-1] == ["web1", "/etc/www.pem", "live", "0644", "root"]
    assert "no certificates" in output(served, "certs", "--name", "nobody")


def test_keys_show_who_can_read_them(served: Served) -> None:
    lines = output(served, "keys", "--readable-by", "world", "--readable").splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:6] == [
        "ec", "256", "legacy.example.org", "db1", "/etc/old.pem", "0644",
    ]  # fmt: skip
    lines = output(served, "keys", "--without-certificate").splitlines()
    assert lines[1].split()[:5] == ["ec", "256", "none", "db1", "/etc/orphan.key"]
    assert "sealed key" in output(served, "keys", "--sealed")
    assert "no keys" in output(served, "keys", "--algorithm", "rsa")
    assert len(json.loads(output(served, "keys", "-o", "json"))) == 4


def test_hosts_say_when_they_were_heard_last(served: Served) -> None:
    lines = output(served, "hosts").splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "db1", "web1"]
    assert "silent" in lines[1]
    assert "no hosts" in output(served, "hosts", "--name", "zzz")
    assert [row["name"] for row in rows_of(output(served, "hosts", "-o", "csv"))] == ["db1", "web1"]
    assert json.loads(output(served, "hosts", "-o", "json", "--state", "silent"))[0]["gaps"] == 1


def test_a_query_lists_in_every_form_and_a_mistake_is_pointed_at(served: Served) -> None:
    names = [line.split("  ")[0] for line in output(served, "certs", "-q", "ca:yes").splitlines()]
    assert names == ["NAME", "Example Root"]
    keys = json.loads(output(served, "keys", "-q", "mode:0640", "-o", "json"))
    assert [key["places"][0]["path"] for key in keys] == ["/etc/orphan.key"]
    rows = rows_of(output(served, "places", "-q", "status:locked or use:retained", "-o", "csv"))
    assert [row["path"] for row in rows] == ["/etc/www.pem.bak", "/root/box.p12"]
    assert "PATH" in output(served, "places", "--limit", "0")
    assert output(served, "hosts", "-q", "gap:any", "--as-of", "1h") == "no hosts\n"
    wrong = served.run("certs", "-q", "host:web1 expirs<30d")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[1:] == [
        "  host:web1 expirs<30d",
        "            ^^^^^^",
    ]


def test_the_summary_counts_what_needs_attention(served: Served) -> None:
    facts = dict(line.rsplit(maxsplit=1) for line in output(served, "summary").splitlines()[2:])
    assert facts["    expired"] == "1"
    assert facts["    without a certificate"] == "1"
    assert json.loads(output(served, "summary", "-o", "json"))["hosts"] == 2
    assert rows_of(output(served, "summary", "-o", "csv"))[0]["gaps"] == "1"


def test_show_takes_a_file_a_fingerprint_and_a_host(served: Served, tmp_path: Path) -> None:
    pem, der = tmp_path / "next.pem", tmp_path / "next.der"
    pem.write_bytes(b"some text\n" + NEXT.pem + ROOT.pem)
    der.write_bytes(NEXT.der)
    shown = output(served, "show", str(pem))
    assert shown == output(served, "show", str(der)) == output(served, "show", NEXT.sha256.hex())
    assert f"follows      rekey on {NOW:%Y-%m-%d}: www.example.com" in shown
    assert "chain        Example Root" in shown
    assert "private key  web1:/etc/www.key  0600 root" in shown
    assert "followed by" in output(served, "show", WWW.sha256.hex())
    assert "/mnt/nfs  network-file-system" in output(served, "show", "db1")
    key = tmp_path / "www.key"
    key.write_bytes(NEXT.key_pem)
    assert "certificates  www.example.com" in output(served, "show", str(key))
    assert json.loads(output(served, "show", "web1", "-o", "json"))["kind"] == "host"


def test_where_lists_every_place(served: Served) -> None:
    lines = output(served, "where", NEXT.sha256.hex()[:10]).splitlines()
    assert lines[0] == f"certificate www.example.com  {NEXT.sha256.hex()[:12]}"
    assert lines[2].split()[:3] == ["web1", "/etc/www.pem", "live"]
    assert "PACKAGE" not in lines[1]
    owned = output(served, "where", WWW.sha256.hex())
    assert "PACKAGE" in owned
    assert "web-base 1.2-3" in owned
    (row,) = rows_of(output(served, "where", EVIL.sha256.hex(), "-o", "csv"))
    assert row["members"] == "'=1+1"
    assert json.loads(output(served, "where", "db1", "-o", "json"))["total"] == 4


def test_a_server_that_answers_is_looked_up_by_what_it_presents(served: Served) -> None:
    census = served.census
    host = census.host(f"self-{served.port}")
    presented = (served.directory / "server.pem").read_bytes()
    der = x509.load_pem_x509_certificate(presented).public_bytes(Encoding.DER)
    census.report(host, "/etc/server.pem", certificate(der))
    census.fold()
    assert "/etc/server.pem" in output(served, "where", f"127.0.0.1:{served.port}")
    census.gone(host, "/etc/server.pem")
    census.fold()
    done = served.run("where", f"localhost:{served.port}")
    assert done.returncode == 1
    assert "stands nowhere now" in done.stderr


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("format_", ["table", "json", "csv"])
def test_hostile_text_is_inert_in_every_output(served: Served, format_: str) -> None:
    text = output(served, "certs", "-o", format_, "--path", "/tmp")  # noqa: S108 - a path in the inventory
    assert not any(character in text for character in "\x1b\x07\u202e\r")
    if format_ == "table":
        assert SHOWN in text
    elif format_ == "json":
        assert json.loads(text)[0]["name"] == SHOWN
    else:
        assert rows_of(text)[0]["name"] == "'" + SHOWN
        assert rows_of(text)[0]["subject"].startswith("CN=")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("certs", "--expires-within", "soon"), 2, "write 36h, 30d, 4w or 1y"),
        (("certs", "--status", "dead"), 2, "Invalid value"),
        (("certs", "--limit", "-1"), 2, "Invalid value"),
        (("nothing",), 2, "No such command"),
        (("show",), 2, "Missing argument"),
        (("show", "nobody"), 1, "not in the inventory"),
        (("where", "f" * 64), 1, "not in the inventory"),
        (("show", "./missing.pem"), 2, "missing.pem: No such file"),
        (("show", "/dev/null"), 2, "holds no certificate"),
        (("show", "localhost:1"), 2, "can't be reached"),
        (("login", "http://127.0.0.1"), 2, "write https://"),
        (("login", "https://127.0.0.1:1", "--token-file", "/missing"), 2, "/missing: No such"),
    ],
)
def test_errors_say_what_to_do_without_a_traceback(
    served: Served, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = served.run(*arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unclear_id_lists_the_candidates(served: Served) -> None:
    served.census.host("twin")
    served.census.host("twin")
    done = served.run("show", "twin")
    assert done.returncode == 2
    assert done.stderr.count("host         ") == 2


def test_not_logged_in_and_unreachable_and_untrusted_and_refused(
    served: Served, tmp_path: Path
) -> None:
    fresh = {"KEYCENSUS_CONFIG": str(tmp_path / "fresh")}
    done = served.run("certs", **fresh)
    assert (done.returncode, "keycensus login URL" in done.stderr) == (3, True)
    token = ("--token-file", str(served.token_file))
    done = served.run("login", served.url, *token, **fresh)
    assert (done.returncode, "--ca-file" in done.stderr) == (3, True)
    done = served.run("login", "https://127.0.0.1:1", *token, **fresh)
    assert (done.returncode, "can't be reached" in done.stderr) == (3, True)
    wrong = tmp_path / "wrong"
    wrong.write_text("kcu_0000000000000000_" + "0" * 64)
    done = served.run("certs", KEYCENSUS_TOKEN_FILE=str(wrong))
    assert (done.returncode, "refused the token" in done.stderr) == (3, True)
    assert not (tmp_path / "fresh" / "credentials.json").exists()


def test_an_expired_token_says_how_to_get_another(served: Served, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(api_token(served.census, days=1))
    served.census.clock.advance(3 * 86_400)
    done = served.run("certs", KEYCENSUS_TOKEN_FILE=str(token))
    served.census.clock.advance(-3 * 86_400)
    assert done.returncode == 3
    assert "has expired" in done.stderr
    assert "user token" in done.stderr


def test_credentials_that_others_can_read_are_not_used(served: Served) -> None:
    path = served.directory / "config" / "credentials.json"
    path.chmod(0o644)
    done = served.run("certs")
    path.chmod(0o600)
    assert done.returncode == 3
    assert f"chmod 600 {path}" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(served: Served) -> None:
    program = f"{sys.executable} -m keycensus_client certs -o json | head -c 10"
    done = subprocess.run(
        ["/bin/sh", "-c", program],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "KEYCENSUS_CONFIG": str(served.directory / "config")},
    )
    assert done.stderr == b""


def test_on_a_terminal_there_is_colour_and_still_nothing_hostile(served: Served) -> None:
    for arguments, colour in ((("certs", "--places"), "\x1b[31m"), (("summary",), "\x1b[31m")):
        main, child = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "keycensus_client", *arguments],
            stdout=child,
            stderr=child,
            env={
                "PATH": os.environ["PATH"],
                "TERM": "xterm",
                "COLUMNS": "200",
                "KEYCENSUS_CONFIG": str(served.directory / "config"),
            },
        )
        os.close(child)
        text = b""
        while piece := read_pty(main):
            text += piece
        os.close(main)
        assert process.wait(timeout=30) == 0
        shown = text.decode()
        assert colour in shown
        assert "\x1b]0;" not in shown
        assert "\u202e" not in shown


def read_pty(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other end is closed
        return b""


def test_every_command_has_help_and_the_list_of_them_is_whole() -> None:
    help_ = subprocess.run(
        [sys.executable, "-m", "keycensus_client", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    folder = Path(__file__).parents[2] / "client/src/keycensus_client/commands"
    # `import` is a word of the language, so its file has another name.
    shared = {"__init", "brought", "session"}
    files = {path.stem.rstrip("_") for path in folder.glob("*.py")} - shared
    assert files == set(COMMANDS)
    for name, line in COMMANDS.items():
        assert f"{name} " in help_
        assert line in " ".join(help_.split())
        done = zygote_of("keycensus_client").run(name, "--help")
        assert (done.returncode, "Usage:" in done.stdout) == (0, True)


def test_help_imports_no_library_but_click() -> None:
    program = (
        "import sys\nfrom keycensus_client.cli import keycensus\n"
        "try: keycensus(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'httpx', 'rich', 'cryptography', 'ssl'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_view_is_saved_run_and_deleted(served: Served) -> None:
    assert "locked-keystores" in output(served, "views", "list")
    assert "box.p12" in output(served, "views", "run", "locked-keystores")
    refused = served.run("views", "save", "mine", "-q", "status:locked")
    assert (refused.returncode, "operators" in refused.stderr) == (2, True)
    with served.census.store.write() as connection:
        connection.execute(schema.user.update().values(role="operator"))
    arguments = ("--list", "places", "--description", "x", "--column", "path", "--column", "mode")
    assert "saved" in output(served, "views", "save", "mine", "-q", "status:locked", *arguments)
    assert output(served, "views", "run", "mine", "-o", "csv") == (
        '"path","mode"\n"/root/box.p12","0644"\n'
    )
    assert json.loads(output(served, "views", "list", "-o", "json"))[-1]["total"] == 1
    assert "status:locked" in output(served, "views", "show", "mine")
    assert output(served, "views", "delete", "mine") == "deleted view mine\n"
    assert served.run("views", "show", "mine").returncode == 1
    with served.census.store.write() as connection:
        connection.execute(schema.user.update().values(role="viewer"))
