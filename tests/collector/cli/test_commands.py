"""Commands as an operator types them, against real files; no server runs."""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from sqlalchemy import text

from keycensus_collector import cli
from keycensus_collector.access import first_use
from keycensus_collector.clock import SystemClock
from keycensus_collector.config import load
from keycensus_collector.store.engine import Store

Capture = pytest.CaptureFixture[str]


class Operator:
    """Types commands and reads what they print."""

    def __init__(self, directory: Path, capture: Capture) -> None:
        self.directory = directory
        self.config = directory / "etc" / "collector.toml"
        self.state = directory / "state"
        self._capture = capture
        self.out = self.err = ""

    def run(self, *arguments: str) -> int:
        if arguments == ("serve",):
            return self._serve()
        status = cli.run([*arguments, "--config", str(self.config)])
        self.out, self.err = self._capture.readouterr()
        return status

    def _serve(self) -> int:
        """Run `serve` as its own process: it sets up logging for good."""
        result = subprocess.run(
            [sys.executable, "-m", "keycensus_collector", "serve", "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.out, self.err = result.stdout, result.stderr
        return result.returncode

    def init(self, *arguments: str) -> int:
        listen = [
            item
            for key in ("enrol", "report", "web")
            for item in (f"--listen-{key}", "127.0.0.1:0")
        ]
        return self.run(
            "init", "--state-dir", str(self.state), "--name", "localhost", *listen, *arguments
        )

    def json(self, *arguments: str) -> list[dict[str, object]]:
        assert self.run(*arguments, "-o", "json") == 0, self.err
        parsed = json.loads(self.out)
        return parsed if isinstance(parsed, list) else [parsed]


@pytest.fixture
def fresh(tmp_path: Path, capsys: Capture) -> Operator:
    return Operator(tmp_path, capsys)


@pytest.fixture
def operator(fresh: Operator) -> Operator:
    assert fresh.init("--deployment", "acme") == 0, fresh.err
    return fresh


def test_init_makes_everything_for_its_owner_alone_and_shows_the_token_once(
    fresh: Operator,
) -> None:
    assert fresh.init("--deployment", "acme") == 0
    assert "Deployment acme, trust anchor: CN=keycensus acme CA" in fresh.out
    assert fresh.out.splitlines()[-1].startswith("kcu_")
    secrets = [path for path in fresh.state.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    assert fresh.state.stat().st_mode & 0o777 == 0o700
    assert load(fresh.config).names == ("localhost",)
    assert [row["name"] for row in fresh.json("user", "list")] == ["admin"]


def test_the_first_token_can_go_to_a_file(fresh: Operator) -> None:
    file = fresh.directory / "admin-token"
    assert fresh.init("--admin-token-file", str(file)) == 0
    assert "kcu_" not in fresh.out
    assert file.read_text().startswith("kcu_")
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_link_of_first_use_is_told_once_and_goes_to_a_file_where_secrets_do(
    fresh: Operator,
) -> None:
    token, link = fresh.directory / "admin-token", fresh.directory / "link"
    assert fresh.init("--admin-token-file", str(token), "--first-use-file", str(link)) == 0
    assert "first-use#" not in fresh.out
    assert link.stat().st_mode & 0o777 == 0o600
    address, _, secret = link.read_text().strip().partition("#")
    assert address == "https://localhost:0/first-use"
    address = f"sqlite:///{fresh.state / 'keycensus.db'}"
    with Store.open(address) as store, store.read() as connection:
        assert first_use.holder(connection, secret, SystemClock().now_ms()) == "admin"


def test_without_a_file_the_link_is_printed_unless_the_token_has_one(fresh: Operator) -> None:
    assert fresh.init() == 0
    assert "https://localhost:0/first-use#" in fresh.out
    shutil.rmtree(fresh.state)
    assert fresh.run("init", "--admin-token-file", str(fresh.directory / "token")) == 0
    assert "first-use" not in fresh.out
    address = f"sqlite:///{fresh.state / 'keycensus.db'}"
    with Store.open(address) as store, store.read() as connection:
        assert not first_use.is_open(connection, SystemClock().now_ms())


def test_init_again_changes_nothing_and_says_so(operator: Operator) -> None:
    before = {path: path.read_bytes() for path in operator.state.rglob("*") if path.is_file()}
    assert operator.run("init") == 0
    assert "is set up already; nothing was changed" in operator.out
    assert before == {path: path.read_bytes() for path in before}


def test_init_does_not_contradict_a_configuration_that_is_there(operator: Operator) -> None:
    assert operator.run("init", "--name", "other", "--listen-web", ":1") == 2
    assert "says otherwise than --name, --listen-web; change the file" in operator.err


def test_init_after_one_that_was_killed_goes_on(fresh: Operator) -> None:
    assert fresh.init() == 0
    chain = (fresh.state / "authority" / "chain.pem").read_bytes()
    (fresh.state / "keycensus.db").rename(fresh.state / "keycensus.db.init")
    assert fresh.run("init") == 0
    assert (fresh.state / "authority" / "chain.pem").read_bytes() == chain
    assert not (fresh.state / "keycensus.db.init").exists()
    assert fresh.run("db", "status") == 0


def test_an_init_that_fails_leaves_no_configuration(fresh: Operator) -> None:
    missing = str(fresh.directory / "missing")
    assert fresh.init("--ca-cert", missing, "--ca-key", missing) == 3
    assert f"{missing} can't be read: No such file" in fresh.err
    assert not fresh.config.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--deployment", "A B"), "is no deployment name"),
        (("--ca-cert", "/x"), "--ca-cert and --ca-key go together"),
        (("--ca-cert", "/x", "--ca-key", "/x", "--ca-passphrase-file", "/x"), "/x can't be read"),
        (("--name", "a b"), "neither a DNS name nor an IP address"),
        (("--listen-web", "x"), "is no address; write"),
        (("--unknown",), "No such option"),
    ],
)
def test_a_mistake_in_inits_options_is_told_with_status_2(
    fresh: Operator, options: tuple[str, ...], message: str
) -> None:
    assert fresh.init(*options) == 2
    assert message in fresh.err
    assert not fresh.state.exists()


def test_init_uses_a_companys_ca_with_an_encrypted_key(fresh: Operator) -> None:
    directory = fresh.directory
    (directory / "passphrase").write_text("secret words\n")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=Company Root"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-days", "100"),
            *("-passout", f"file:{directory / 'passphrase'}"),
            *("-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.crt")),
        ],
        check=True,
        capture_output=True,
    )
    options = ["--ca-cert", str(directory / "ca.crt"), "--ca-key", str(directory / "ca.key")]
    assert fresh.init(*options) == 3
    assert "--ca-passphrase-file" in fresh.err
    assert fresh.init(*options, "--ca-passphrase-file", str(directory / "passphrase")) == 0
    assert "trust anchor: CN=Company Root" in fresh.out


def test_another_companys_ca_does_not_replace_the_one_that_is_there(fresh: Operator) -> None:
    assert fresh.init() == 0
    saved = fresh.directory / "saved"
    saved.mkdir()
    (fresh.state / "keycensus.db").unlink()
    (fresh.state / "authority").rename(saved / "authority")
    fresh.config.unlink()
    assert fresh.init() == 0
    (fresh.state / "keycensus.db").unlink()
    fresh.config.unlink()
    files = [str(saved / "authority" / name) for name in ("chain.pem", "key.pem")]
    assert fresh.init("--ca-cert", files[0], "--ca-key", files[1]) == 3
    assert "holds another authority already" in fresh.err


def test_a_token_is_one_line_on_standard_output(operator: Operator) -> None:
    assert operator.run("token", "create", "--label", "env=prod", "--ttl", "2h", "--uses", "3") == 0
    assert operator.out.count("\n") == 1
    assert operator.out.startswith("kc1.")
    (row,) = operator.json("token", "list")
    assert (row["uses_left"], row["labels"], row["state"]) == (3, {"env": "prod"}, "open")
    assert operator.run("token", "list") == 0
    assert "env=prod" in operator.out


def test_a_token_can_go_to_a_file_and_be_revoked(operator: Operator) -> None:
    file = operator.directory / "token"
    assert operator.run("token", "create", "--output-file", str(file)) == 0
    assert "kc1." not in operator.out
    assert file.stat().st_mode & 0o777 == 0o600
    token_id = file.read_text().split(".")[1]
    assert operator.run("token", "revoke", "--", token_id) == 2  # --config after -- is an argument
    assert cli.run(["token", "revoke", "--config", str(operator.config), "--", token_id]) == 0
    (row,) = operator.json("token", "list") if operator.run("token", "list") == 0 else ({},)
    assert row["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("token", "create", "--ttl", "soon"), "is no duration; write 90s"),
        (("token", "create", "--ttl", "999w"), "lives from 1s to 366d"),
        (("token", "create", "--uses", "0"), "1 to 100000 uses"),
        (("token", "create", "--label", "nothing"), "is no label; write KEY=VALUE"),
        (("token", "create", "--label", "a=\x1b"), "printable characters"),
        (("token", "create", "--output-file", "/dev/null/x"), "can't be written"),
        (("token", "revoke", "none"), "there is no token 'none'"),
        (("agent", "ban", "nobody"), "there is none for agent 'nobody'"),
        (("agent", "evict", "nobody"), "there is none"),
        (("agent", "unban", "nobody"), "there is none"),
        (("host", "retire", "nobody"), "there is none for host 'nobody'"),
        (("user", "add", "Ann"), "is no user name"),
        (("user", "add", "admin"), "there is a user admin already"),
        (("user", "token", "nobody"), "there is no user 'nobody'"),
        (("user", "unlink", "nobody"), "there is no user 'nobody'"),
        (("user", "link", "admin", "corp", "x"), "there is no provider 'corp'"),
        (("user", "token", "admin", "--days", "0"), "lives 1 to 3660 days"),
        (("nonsense",), "No such command"),
    ],
)
def test_a_mistake_is_told_with_status_2(
    operator: Operator, arguments: tuple[str, ...], message: str
) -> None:
    assert operator.run(*arguments) == 2
    assert message in operator.err
    assert "Traceback" not in operator.err


def test_users_get_passwords_from_standard_input(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert operator.run("user", "add", "ann", "--role", "operator") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    assert operator.run("user", "passwd", "ann") == 0
    rows = {row["name"]: row for row in operator.json("user", "list")}
    assert rows["ann"]["has_password"] is True
    assert rows["admin"]["has_password"] is False
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert operator.run("user", "passwd", "ann") == 2


def test_an_api_token_is_shown_or_written(operator: Operator) -> None:
    assert operator.run("user", "token", "admin", "--days", "5") == 0
    assert operator.out.startswith("kcu_")
    file = operator.directory / "api"
    assert operator.run("user", "token", "admin", "--output-file", str(file)) == 0
    assert file.read_text().startswith("kcu_")
    assert "kcu_" not in operator.out


def test_empty_lists_are_headings_only(operator: Operator) -> None:
    for group in ("agent", "host", "token"):
        assert operator.run(group, "list") == 0
        assert operator.out.count("\n") == 1
        assert operator.json(group, "list") == []


def test_the_database_says_its_revision(operator: Operator) -> None:
    (status,) = operator.json("db", "status")
    assert status["current"] == status["newest"]
    assert status["up_to_date"]
    assert operator.run("db", "status") == 0
    assert f"revision {status['newest']}, the newest" in operator.out
    assert operator.run("db", "upgrade") == 0


def stamp(operator: Operator, revision: str) -> None:
    with Store.open(load(operator.config).database_url) as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})


def test_a_newer_database_is_left_alone_by_every_command(operator: Operator) -> None:
    stamp(operator, "9999")
    for arguments in (("token", "list"), ("db", "upgrade"), ("serve",)):
        assert operator.run(*arguments) == 3
        assert "made by a newer keycensus-collector (revision 9999" in operator.err
        assert "Traceback" not in operator.err
    assert operator.run("db", "status") == 0
    assert "at revision 9999" in operator.out
    assert operator.run("doctor") == 1


def test_a_damaged_database_is_named_and_kept(operator: Operator) -> None:
    database = operator.state / "keycensus.db"
    content = b"\xff" * database.stat().st_size
    database.write_bytes(content)
    for arguments in (("token", "list"), ("db", "status"), ("serve",)):
        assert operator.run(*arguments) == 3
        assert f"{database} is damaged or no database" in operator.err
        assert "put a backup in its place" in operator.err
    assert database.read_bytes() == content


def test_a_configuration_with_five_mistakes_tells_all_five(operator: Operator) -> None:
    operator.config.write_text(
        '[state]\ndirectory = 1\n[listen]\nenrol = "x"\nwbe = ""\n[log]\nlevel = ""\n[limits]\nstreams = 0\n'
    )
    for arguments in (("token", "list"), ("doctor",), ("serve",)):
        assert operator.run(*arguments) == 2
        lines = operator.err.splitlines()
        assert len(lines) == 5
        assert all(str(operator.config) in line for line in lines)


def test_before_init_commands_name_it(fresh: Operator) -> None:
    assert fresh.run("token", "list") == 2
    assert "keycensus-collector init" in fresh.err
    assert "--config" in fresh.err


def test_doctor_is_content_after_init(operator: Operator) -> None:
    checks = {row["check"]: row for row in operator.json("doctor")}
    assert {"database", "disk", "queue", "hosts", "permissions", "authority"} <= checks.keys()
    assert not [row for row in checks.values() if row["state"] == "fail"]


def test_doctor_sees_keys_that_others_can_read(operator: Operator) -> None:
    key = operator.state / "authority" / "key.pem"
    key.chmod(0o644)
    assert operator.run("doctor") == 1
    assert f"fail  permissions: {key} (0644): chmod 600 {key}" in operator.out


def test_doctor_tells_of_a_missing_authority_and_goes_on(operator: Operator) -> None:
    (operator.state / "authority" / "key.pem").unlink()
    assert operator.run("doctor") == 1
    assert "fail  authority: " in operator.out
    assert "disk: " in operator.out


def test_an_internal_error_is_one_line_with_status_3(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: Path) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("keycensus_collector.config.load", broken)
    assert operator.run("token", "list") == 3
    assert "internal error: ZeroDivisionError: a bug. This is a bug: please" in operator.err
    monkeypatch.setenv(cli.TRACEBACK_ENVIRONMENT, "1")
    with pytest.raises(ZeroDivisionError):
        operator.run("token", "list")


def test_help_of_every_command_is_there_and_fits_a_screen(fresh: Operator) -> None:
    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        assert cli.run([*path, "--help"]) == 0
        assert command.help
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*path, name))

    walk(cli.command, ())
    assert fresh.run() == 2


def test_the_module_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "keycensus_collector", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("keycensus-collector, version ")
