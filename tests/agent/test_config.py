from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from keycensus_agent import config as config_module
from keycensus_agent.commands.check_config import describe
from keycensus_agent.config import Config, load_config
from keycensus_agent.config_keys import KEYS
from keycensus_agent.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[2]

FULL = """
[scan]
roots = ["/etc/", "/srv//tls", "/etc"]
root = "/mnt/image/"
exclude = ["/srv/backup/**", "*.bak"]
network_file_systems = true
password_file = "/etc/keycensus/passwords"
try_default_passwords = true
[state]
directory = "/var/lib/other"
max_outbox_mib = 8
[collector]
address = "collector.example.com"
proxy = "http://proxy.example.com:3128"
[sweep]
interval_seconds = 600
start_delay_seconds = 0
cpu_share = 1
[log]
format = "json"
level = "debug"
[labels]
environment = "production"
"""


def written(directory: Path, text: str, name: str = "agent.toml") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    assert caught.value.exit_status == 2
    return str(caught.value).splitlines()[1:]


def test_every_key_arrives(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    assert config.scan.roots == (b"/etc", b"/srv/tls")
    assert config.scan.root == b"/mnt/image"
    assert config.scan.exclude == (b"/srv/backup/**", b"*.bak")
    assert config.scan.network_file_systems
    assert config.scan.password_file == Path("/etc/keycensus/passwords")
    assert config.scan.try_default_passwords
    assert config.state_database == Path("/var/lib/other/state/state.db")
    assert config.identity_directory == Path("/var/lib/other/identity")
    assert config.state.max_outbox_mib == 8
    assert config.collector.address == "collector.example.com:8440"
    assert config.collector.proxy == "http://proxy.example.com:3128"
    assert config.sweep.cpu_share == 1.0
    assert config.sweep.interval_seconds == 600
    assert (config.log.format, config.log.level) == ("json", "debug")
    assert config.labels == {"environment": "production"}


def test_the_link_may_have_a_socket_and_an_identity_of_its_own(tmp_path: Path) -> None:
    text = '[link]\nsocket = "/run/a/link.sock"\nidentity = "/var/lib/link/identity"\n'
    file = written(tmp_path, text)
    config = load_config(file)
    assert config.link.socket == Path("/run/a/link.sock")
    assert config.identity_directory == Path("/var/lib/link/identity")
    # What is started apart must not speak as this host's service.
    apart = load_config(file, state_directory=tmp_path / "apart")
    assert apart.link.socket is None
    assert apart.identity_directory == tmp_path / "apart" / "identity"


def test_a_missing_default_file_means_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "DEFAULT_FILE", tmp_path / "none" / "agent.toml")
    assert load_config(None) == Config()


def test_the_default_file_and_drop_ins_alone_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "DEFAULT_FILE", tmp_path / "agent.toml")
    drop_in = written(tmp_path, '[labels]\na = "b"\n', "agent.d/10.toml")
    config = load_config(None)
    assert config.labels == {"a": "b"}
    assert config.files == (drop_in,)


def test_a_named_file_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path / "none.toml")
    assert "there is no such file" in line


def test_drop_ins_win_key_by_key_in_the_order_of_their_names(tmp_path: Path) -> None:
    main = written(tmp_path, FULL)
    written(tmp_path, '[log]\nlevel = "error"\n[labels]\nsite = "b"\n', "agent.d/20-b.toml")
    written(tmp_path, '[log]\nlevel = "warning"\n[labels]\nsite = "a"\n', "agent.d/10-a.toml")
    written(tmp_path, "not toml", "agent.d/ignored.conf")
    config = load_config(main)
    assert (config.log.format, config.log.level) == ("json", "error")
    assert config.labels == {"environment": "production", "site": "b"}
    assert [file.name for file in config.files] == ["agent.toml", "10-a.toml", "20-b.toml"]


def test_the_command_lines_state_directory_wins(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL), state_directory=tmp_path)
    assert config.state.directory == tmp_path


def test_five_mistakes_are_told_at_once_each_with_file_key_and_what_would_be_right(
    tmp_path: Path,
) -> None:
    main = written(
        tmp_path,
        '[scan]\nrots = ["/"]\nroots = "/"\n[sweep]\ninterval_seconds = 0\n[logs]\nlevel = "x"\n',
    )
    drop_in = written(tmp_path, "[log]\nlevel = loud\n", "agent.d/10.toml")
    lines = mistakes(main)
    assert len(lines) == 5
    assert f'{main}: [scan] rots: there is no such key; did you mean "roots"?' in lines[0]
    assert '[scan] roots: must be a list of absolute paths such as ["/"]; it is "/"' in lines[1]
    assert "[sweep] interval_seconds: must be a whole number of seconds from 1 " in lines[2]
    assert '[logs]: there is no such section; did you mean "log"?' in lines[3]
    assert f"{drop_in}: is not valid TOML" in lines[4]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[scan]\nroots = []", "list of absolute paths"),
        ('[scan]\nroots = ["etc"]', "list of absolute paths"),
        ('[scan]\nroot = "\\u0000"', "absolute path"),
        ('[scan]\nexclude = ["/"]', "list of paths or names with wildcards"),
        ('[scan]\nexclude = "*.bak"', "list of paths or names with wildcards"),
        ('[scan]\nnetwork_file_systems = "yes"', "true or false"),
        ("[scan]\npassword_file = 1", "absolute path"),
        ('[state]\ndirectory = "/"', "absolute path"),
        ("[state]\nmax_outbox_mib = true", "whole number of MiB from 1 to 65536; it is true"),
        ("[sweep]\ncpu_share = 2", "number from 0.01 to 1.0; it is 2"),
        ("[sweep]\ncpu_share = nan", "number from 0.01"),
        ('[log]\nformat = "xml"', 'one of "auto", "json", "console"; it is "xml"'),
        ('[collector]\naddress = "https://x/"', '"host:port"'),
        ("[collector]\naddress = 1", "must be a text"),
        ('[collector]\nproxy = "http://u:hunter2@x:port"', '"http://host:port", "none"'),
        ("[collector]\nproxy = 1", '"http://host:port", "none"'),
        ("[labels]\na = 1", "text of 1 to 256 characters; it is 1"),
        ('[labels]\n"a b" = "c"', "letters, digits"),
        ("log = 1", "write [log] above"),
        ("[zzz]\na = 1", "known are: scan, state, collector, link, sweep, context, log, labels"),
        ('[log]\nlevel = "\\u001b[31m' + "x" * 100 + '"', r"\x1b[31m"),
    ],
)
def test_each_mistake_says_what_would_be_right(tmp_path: Path, line: str, says: str) -> None:
    (found,) = mistakes(written(tmp_path, line))
    assert says in found
    assert "hunter2" not in found
    assert "\x1b" not in found


def test_too_many_labels_are_a_mistake(tmp_path: Path) -> None:
    lines = "\n".join(f'l{number} = "x"' for number in range(65))
    (found,) = mistakes(written(tmp_path, f"[labels]\n{lines}"))
    assert "at most 64" in found


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_could_write_is_refused_with_what_to_do(
    tmp_path: Path, mode: int
) -> None:
    path = written(tmp_path, FULL)
    path.chmod(mode)
    (found,) = mistakes(path)
    assert f"chmod go-w {path}" in found


def test_a_directory_that_others_could_write_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    written(tmp_path, "", "agent.d/10.toml")
    (tmp_path / "agent.d").chmod(0o775)
    (found,) = mistakes(path)
    assert f"chmod go-w {tmp_path / 'agent.d'}" in found


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FULL)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert any("chown root" in found for found in mistakes(path))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff", "not UTF-8 at byte 0"), (b"#" * (1 << 20) + b"\n", "over 1 MiB")],
)
def test_what_is_no_text_of_ours_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(content)
    (found,) = mistakes(path)
    assert says in found


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.mkdir(mode=0o700)
    (found,) = mistakes(path)
    assert "not a regular file" in found


def test_the_effective_configuration_is_toml_that_means_the_same(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL.replace("production", 'a\\"\\\\b\\u202e\\u007f')))
    shown = describe(config)
    again = load_config(written(tmp_path, shown, "again.toml"))
    assert "\u202e" not in shown
    assert again.labels == config.labels
    assert (again.scan, again.state, again.collector, again.sweep, again.log) == (
        (config.scan, config.state, config.collector, config.sweep, config.log)
    )


def test_the_packaged_sample_names_every_key_with_its_default(tmp_path: Path) -> None:
    sample = (REPOSITORY / "packaging" / "agent.toml").read_text()
    assert load_config(written(tmp_path, sample)).scan == Config().scan
    uncommented = re.sub(r"^#(\w+ = )", r"\1", sample, flags=re.MULTILINE)
    document = tomllib.loads(uncommented)
    assert {name: set(document[name]) for name in KEYS} == {
        name: set(keys) for name, keys in KEYS.items()
    }
    config = load_config(written(tmp_path, uncommented))
    assert (config.scan, config.state, config.collector, config.sweep, config.log) == (
        (Config().scan, Config().state, Config().collector, Config().sweep, Config().log)
    )


def test_the_documentation_names_every_key_with_its_default() -> None:
    page = (REPOSITORY / "docs" / "agent-configuration.md").read_text()
    lines = describe(Config()).splitlines()
    for line in lines:
        if " = " in line:
            key, _, default = line.partition(" = ")
            assert f"| `{key}` | `{default}` |" in page
    for section in KEYS:
        assert f"### `[{section}]`" in page
