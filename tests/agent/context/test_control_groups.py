"""Sockets' control groups: numbers to paths, paths to units and containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from keycensus_agent.context.control_groups import name_of, read_groups

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (b"/system.slice/nginx.service", "nginx.service"),
        (
            b"/system.slice/system-postgresql.slice/postgresql@15-main.service",
            "postgresql@15-main.service",
        ),
        (b"/system.slice/docker-" + ID.encode() + b".scope", "container 0123456789ab"),
        (b"/docker/" + ID.encode(), "container 0123456789ab"),
        (
            b"/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + ID.encode() + b".scope",
            "container 0123456789ab",
        ),
        (b"/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "x.service"),
        (b"/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
        (b"/system.slice/dev\\x2dx.service", "dev-x.service"),
        (b"/", ""),
        (b"/odd/\xff.service", "?.service"),
    ],
)
def test_a_path_names_a_unit_or_a_container(group: bytes, name: str) -> None:
    assert name_of(group) == name


def test_groups_are_found_by_the_inodes_of_their_directories(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    wanted = tmp_path / "system.slice" / "nginx.service"
    wanted.mkdir(parents=True)
    (tmp_path / "user.slice").mkdir()
    inode = wanted.stat().st_ino
    found = read_groups([inode, tmp_path.stat().st_ino, 0, 5], [tmp_path / "absent", tmp_path])
    assert found == {inode: b"/system.slice/nginx.service", tmp_path.stat().st_ino: b"/"}
    # A hierarchy of version 1 numbers its own.
    (tmp_path / "cgroup.controllers").unlink()
    assert read_groups([inode], [tmp_path]) == {}
