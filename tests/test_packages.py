"""What is installed stands alone: the agent with its six libraries, the client without the server.

Wheels are built and installed into bare environments. In the agent's one a `sitecustomize` writes
down which process imports what, so that the borders between reader, parser and link are seen in the
real processes and not only in the import contracts.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.issuing import certificate_pem, ec_key, key_pem, make_authority
from fakes.unprivileged import open_directory

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECTS = ("protos", "agent", "collector", "client")
AGENT_LIBRARIES = {"cryptography", "grpcio", "protobuf", "psutil", "structlog", "watchdog"}
# What the six bring along themselves.
THEIR_LIBRARIES = {"cffi", "pycparser", "typing-extensions"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Runs at the start of every Python process of the environment, also of isolated ones (-I). The file
# is opened before anything is shut off; a finder that finds nothing sees every import.
IMPORT_LOG = """
import json, os, sys
_out = os.open(f"{log}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(_out, (json.dumps(sys.orig_argv) + "\\n").encode())
class _Seen:
    @staticmethod
    def find_spec(name, path=None, target=None):
        os.write(_out, (name + "\\n").encode())
sys.meta_path.insert(0, _Seen)
"""

# One link process with an empty identity directory: it starts, says that nobody is enrolled, leaves.
ONE_LINK = """
import sys
from pathlib import Path
from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.link_client import LinkClient
connection = LinkClient.spawn(LinkStart(Path(sys.argv[1])))
print(connection.receive(30))
connection.close()
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without anything in it but what was asked for."""

    path: Path

    def run(self, command: str, *arguments: str | Path) -> str:
        """Run a command of the environment; returns its output, fails with its errors."""
        done = subprocess.run(
            [self.path / "bin" / command, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def distributions(self) -> set[str]:
        """Return the normalised names of all that is installed."""
        code = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
        return {
            re.sub(r"[-_.]+", "-", name).lower() for name in self.run("python", "-c", code).split()
        }


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheels")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, *_sources())
    return target


@pytest.fixture(scope="module")
def agent(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return _install(tmp_path_factory.mktemp("agent"), wheels, "keycensus_agent", "keycensus_proto")


@pytest.fixture(scope="module")
def client(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return _install(tmp_path_factory.mktemp("client"), wheels, "keycensus")


@pytest.fixture(scope="module")
def imports(agent: Environment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Say which process of a real scan, and of a real start of the link, imports what."""
    found, identity = (tmp_path_factory.mktemp(name) for name in ("found", "none"))
    write_pair(found)
    with open_directory() as log:
        # The processes are of several users.
        log.chmod(0o777)
        return _imports(agent, log, found, identity)


def _imports(agent: Environment, log: Path, found: Path, identity: Path) -> dict[str, set[str]]:
    [packages] = (agent.path / "lib").glob("python3*/site-packages")
    hook = packages / "sitecustomize.py"
    hook.write_text(IMPORT_LOG.replace("{log}", str(log)))
    try:
        agent.run("keycensus-agent", "scan", found, "-o", "ndjson")
        agent.run("python", "-c", ONE_LINK, identity)
    finally:
        hook.unlink()
    return _by_process(log)


def _sources() -> list[Path]:
    return [CHECKOUT / project for project in PROJECTS]


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _install(target: Path, wheels: Path, *names: str) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", target], check=True)
    # By file: no index may offer something else under our names.
    ours = [next(wheels.glob(f"{name}-*.whl")) for name in names]
    constraints = CHECKOUT / "constraints.txt"
    _pip("--python", target / "bin" / "python", "install", "-c", constraints, *ours)
    return Environment(target)


def _by_process(log: Path) -> dict[str, set[str]]:
    seen: dict[str, set[str]] = {}
    for file in log.iterdir():
        first, *names = file.read_text().splitlines()
        argv = " ".join(json.loads(first))
        kind = "reader"
        for other in ("parser", "link"):
            if f"keycensus_agent.{other}" in argv and "-c" not in json.loads(first):
                kind = other
        seen.setdefault(kind, set()).update(names)
    return seen


def write_pair(directory: Path) -> None:
    now = datetime.now(UTC)
    authority = make_authority("Example", now)
    key = ec_key()
    leaf = authority.issue(["a.example.com"], key, not_before=now, not_after=now.replace(year=2099))
    chain = certificate_pem(leaf, authority.root.certificate)
    (directory / "server.pem").write_bytes(chain + key_pem(key))


def _packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_agent_installs_with_its_six_libraries_and_nothing_of_the_collector(
    agent: Environment,
) -> None:
    installed = agent.distributions()
    assert installed >= AGENT_LIBRARIES | {"keycensus-agent", "keycensus-proto"}
    ours = {"keycensus-agent", "keycensus-proto"}
    assert installed - ours - AGENT_LIBRARIES <= THEIR_LIBRARIES


def test_the_agent_asks_for_exactly_the_six(agent: Environment) -> None:
    code = "import importlib.metadata as m, json; print(json.dumps(m.requires('keycensus-agent')))"
    requirements: list[str] = json.loads(agent.run("python", "-c", code))
    asked = {re.split(r"[^\w-]", requirement, maxsplit=1)[0] for requirement in requirements}
    assert asked == AGENT_LIBRARIES | {"keycensus-proto"}


def test_the_agent_works_alone(agent: Environment, tmp_path: Path) -> None:
    write_pair(tmp_path)
    assert "keycensus-agent" in agent.run("keycensus-agent", "--version")
    assert "pkcs12" in agent.run("keycensus-agent", "formats")
    lines = agent.run("keycensus-agent", "scan", tmp_path, "-o", "ndjson").splitlines()
    place, coverage = map(json.loads, lines)
    leaf, root, key = place["entries"]
    assert [entry["kind"] for entry in (leaf, root)] == ["certificate", "certificate"]
    assert root["self_signed"]
    assert key["kind"] == "private-key"
    assert key["key_id"] == leaf["key_id"]
    assert "coverage" in coverage


def test_the_client_installs_without_the_server(client: Environment) -> None:
    assert "keycensus" in client.run("keycensus", "--version")
    unwanted = {"grpcio", "protobuf", "sqlalchemy", "fastapi", "uvicorn", "argon2-cffi"}
    ours = {"keycensus-agent", "keycensus-collector", "keycensus-proto"}
    assert not client.distributions() & (unwanted | ours)


def test_the_reader_imports_neither_network_nor_parsing_libraries(
    imports: dict[str, set[str]],
) -> None:
    assert "keycensus_agent.reader" in imports["reader"]
    assert not _packages(imports["reader"]) & {"grpc", "cryptography", "ssl"}


def test_the_parser_imports_no_network_library_and_no_database(
    imports: dict[str, set[str]],
) -> None:
    assert "cryptography" in imports["parser"]
    assert not _packages(imports["parser"]) & {"grpc", "ssl", "psutil", "watchdog"}


def test_the_link_imports_no_database_and_no_parser(imports: dict[str, set[str]]) -> None:
    assert "grpc" in imports["link"]
    assert not _packages(imports["link"]) & {"sqlite3", "psutil", "watchdog"}
    assert not any(name.startswith("keycensus_agent.parser") for name in imports["link"])
    assert not any(name.startswith("keycensus_agent.reader") for name in imports["link"])
