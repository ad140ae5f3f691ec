"""The package holds what it should, the same bytes whoever builds it, and nothing that it should not."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.debian import package
from keycensus_deb.build import add_control, build, source_date
from keycensus_deb.checks import complaints
from keycensus_deb.release import BOOKWORM, FILES, debian_version, project_version
from keycensus_deb.wheels import REQUIREMENTS, BuildError, unpack_all

from keycensus_agent.cli import build_parser

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None or shutil.which("python3.11") is None,
    reason="needs dpkg-deb and Python 3.11",
)


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory)


def field(deb: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "--field", deb, name], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_version_is_the_projects(deb: Path) -> None:
    assert field(deb, "Package") == "keycensus-agent"
    assert field(deb, "Version") == f"{project_version('agent')}-1~deb12"


@pytest.mark.parametrize(
    ("python", "debian"),
    [
        ("1.2.3", "1.2.3-1~deb12"),
        ("1.0rc1", "1.0~rc1-1~deb12"),
        ("1.0.0a2", "1.0.0~a2-1~deb12"),
        ("2.0.dev3", "2.0~dev3-1~deb12"),
    ],
)
def test_what_comes_before_a_release_sorts_before_it(python: str, debian: str) -> None:
    assert debian_version(python, BOOKWORM) == debian


@pytest.mark.long
def test_another_build_elsewhere_gives_the_same_bytes(deb: Path, tmp_path: Path) -> None:
    again = build(BOOKWORM, tmp_path, level=0, wheels=deb.parent / "wheels")
    assert again.name == deb.name
    assert again.read_bytes() == deb.read_bytes()


def test_the_wheels_are_those_that_the_tests_run_with() -> None:
    constraints = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pinned = re.findall(r"^(\S+==\S+) \\$", REQUIREMENTS.read_text(), re.MULTILINE)
    assert set(pinned) <= set(constraints)
    assert len(pinned) == 9


def test_every_pin_has_a_hash() -> None:
    text = REQUIREMENTS.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all("--hash=sha256:" in line for line in lines)


def test_every_configuration_file_is_kept_on_an_upgrade(deb: Path) -> None:
    kept = subprocess.run(
        ["dpkg-deb", "--info", deb, "conffiles"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert kept == ["/etc/keycensus/agent.d/10-systemd.toml", "/etc/keycensus/agent.toml"]


def test_the_drop_in_for_processes_is_an_example_and_not_in_force(tree: Path) -> None:
    name = "keycensus-agent-processes.conf"
    found = [path.relative_to(tree).as_posix() for path in tree.rglob(name)]
    assert found == [f"usr/share/doc/keycensus-agent/examples/{name}"]


def test_every_bundled_library_is_in_the_copyright_file(tree: Path) -> None:
    text = (tree / "usr/share/doc/keycensus-agent/copyright").read_text()
    for name in re.findall(r"^(\S+)==(\S+) ", REQUIREMENTS.read_text(), re.MULTILINE):
        assert f"\n== {' '.join(name)}\nCopyright: " in text
    assert "License: None" not in text


def test_the_manual_page_names_every_command() -> None:
    page = (FILES / "keycensus-agent.8").read_text().replace("\\-", "-")
    actions = build_parser()._subparsers
    assert actions is not None
    [commands] = [action.choices for action in actions._group_actions]
    assert commands
    for command in commands:
        assert re.search(rf"^\.B\w* \"?{command}\b", page, re.MULTILINE), command


def test_a_build_without_a_date_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH"):
        source_date()


def test_a_wheel_with_files_for_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "odd-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("odd-1.data/scripts/odd", "#!python")
    with pytest.raises(BuildError, match=r"odd-1\.data/scripts/odd"):
        unpack_all(tmp_path / "wheels", tmp_path / "target")


@pytest.fixture(scope="module")
def tree(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package's tree, with its control files, out of the package itself."""
    root = tmp_path_factory.mktemp("tree") / "root"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, root], check=True)
    return root


def test_nothing_is_said_against_the_package(tree: Path) -> None:
    assert complaints(tree, "/no/such/directory") == []


@pytest.fixture
def small(tree: Path, tmp_path: Path) -> Path:
    """Return a copy with few libraries, of which nothing is wrong either."""
    few = ("_cffi_backend*", "__pycache__", "keycensus_agent")
    packages = tree / BOOKWORM.packages
    left_out = {path.name for path in packages.iterdir() if not any(map(path.match, few))}
    root = tmp_path / "root"
    shutil.copytree(tree, root, symlinks=True, ignore=lambda *_: left_out | {"DEBIAN"})
    [compiled] = (root / BOOKWORM.packages / "__pycache__").iterdir()
    compiled.unlink()
    add_control(root, BOOKWORM, "amd64", 0)
    assert complaints(root, "/no/such/directory") == []
    return root


def spoil_mode(root: Path) -> None:
    (root / "usr/bin/keycensus-agent").chmod(0o4755)


def spoil_place(root: Path) -> None:
    (root / "opt").mkdir()
    (root / "opt/x").touch()


def spoil_configuration(root: Path) -> None:
    (root / "etc/keycensus/agent.d/90-more.toml").touch()


def spoil_script(root: Path) -> None:
    (root / "DEBIAN/prerm").write_text("#!/bin/sh\nset -e\nif\n")


def spoil_program(root: Path) -> None:
    (root / "usr/bin/keycensus-agent").write_text("#!/usr/bin/env python3\n")


def spoil_unit(root: Path) -> None:
    unit = root / "usr/lib/systemd/system/keycensus-agent.service"
    unit.write_text("[Service]\nExecStart=/usr/bin/keycensus run\n")


def spoil_byte_code(root: Path) -> None:
    next(root.rglob("__pycache__/cli.*.pyc")).unlink()


def spoil_control(root: Path) -> None:
    control = root / "DEBIAN/control"
    control.write_text(control.read_text().replace("Depends:", "Suggests:"))


def spoil_library(root: Path) -> None:
    library = next(root.rglob("_cffi_backend*.so"))
    library.write_bytes(library.read_bytes().replace(b"libpthread.so.0", b"libqthread.so.0"))


def spoil_content(root: Path) -> None:
    (root / "etc/keycensus/agent.toml").write_text("changed")


def leave_trace(root: Path) -> None:
    (root / "usr/share/doc/keycensus-agent/copyright").write_text("/no/such/directory/x")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_mode, "usr/bin/keycensus-agent: mode 4755"),
        (spoil_place, "opt/x: no place"),
        (spoil_configuration, "conffiles has"),
        (spoil_script, "prerm: "),
        (spoil_program, "/usr/bin/env is not in the package"),
        (spoil_unit, "/usr/bin/keycensus is not in the package"),
        (spoil_byte_code, "cli: source or byte code alone"),
        (spoil_control, "control has no Depends"),
        (spoil_library, "NEEDED libqthread.so.0"),
        (spoil_content, "md5sums is not of these files"),
        (leave_trace, "names the directory"),
    ],
)
def test_what_is_not_right_is_seen_before_it_is_packed(
    small: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(small)
    found = complaints(small, "/no/such/directory")
    assert any(said in text for text in found), found
