"""A running container's layers are not scanned besides the container, unless somebody asks for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.certificates import Leaf

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's")

# Without an upper directory, which can't lie on any disk: what the container wrote is a layer as others.
MOUNT = (
    'mount -t overlay overlay -o "lowerdir=$0/own/diff:$0/image/diff" "$0/own/merged" && exec "$@"'
)


def scan(root: Path, *paths: str) -> set[str]:
    layers = root / "var/lib/docker/overlay2"
    command = (sys.executable, "-m", "keycensus_agent.cli", "scan", "--root", root, "-o", "ndjson")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, layers, *command, *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return {record["path"].removeprefix("/var/lib/docker/overlay2") for record in records[:-1]}


def test_layers_are_found_in_the_container_that_they_are_of(tmp_path: Path) -> None:
    docker = tmp_path / "var/lib/docker"
    for path in ("own/diff/a.pem", "image/diff/b.pem", "other/diff/c.pem"):
        file = docker / "overlay2" / path
        file.parent.mkdir(parents=True)
        file.write_bytes(Leaf(path).pem)
    (docker / "overlay2/own/merged").mkdir()
    described = {"Name": "/web", "Driver": "overlay2", "Config": {"Image": "nginx"}}
    (docker / "containers/id1").mkdir(parents=True)
    (docker / "containers/id1/config.v2.json").write_text(json.dumps(described))
    mounts = docker / "image/overlay2/layerdb/mounts/id1"
    mounts.mkdir(parents=True)
    (mounts / "mount-id").write_text("own")
    assert scan(tmp_path) == {"/own/merged/a.pem", "/own/merged/b.pem", "/other/diff/c.pem"}
    assert scan(tmp_path, "/var/lib/docker/overlay2/image") == set()
    assert scan(tmp_path, "/var/lib/docker/overlay2/image/diff") == {"/image/diff/b.pem"}
