"""A host with containers and pods: real overlays and tmpfs, and the files that engines keep of them.

`python -m fakes.container_host DIRECTORY` in a mount namespace of its own sweeps it as things come and go, and prints
what was told after each step, as JSON. Needs root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakes.certificates import Leaf
from fakes.trust_store import Roots, write_store

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State

DOCKER, STORAGE = "var/lib/docker", "var/lib/containers/storage"
BUNDLE = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
PODS = "var/lib/kubelet/pods"


class ContainerHost:
    """The root directory, and what runs on it."""

    def __init__(self, work: Path) -> None:
        self.root = work / "root"
        (self.root / "etc").mkdir(parents=True)
        # An overlay's upper directory can't lie on an overlay, which a test's own disk may be.
        self._mount("-t", "tmpfs", "tmpfs", self.root)
        self.layers = self.root / DOCKER / "overlay2"
        image = self.layers / "image/diff"
        write_store(image, Roots.make(16))
        self._write(image / "etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
        self._write(image / "opt/tls/1/app.pem", Leaf("app.example").pem)
        os.chown(image / "opt/tls/1/app.pem", 1000, 1000)
        (image / "opt/tls/current").symlink_to("/opt/tls/1/app.pem")
        # The same path on the host is another file, and not what a container's link leads to.
        self._write(self.root / "opt/tls/1/app.pem", Leaf("host.example").pem)

    def docker(self, identity: str, name: str, image: str, *, run: bool = True) -> None:
        """Make a container of Docker's, running or stopped, with a file of its own."""
        layer = f"layer-{identity}"
        described = {
            "ID": identity,
            "Name": f"/{name}",
            "Driver": "overlay2",
            "Config": {"Image": image},
        }
        self._json(f"{DOCKER}/containers/{identity}/config.v2.json", described)
        mounts = self.root / DOCKER / f"image/overlay2/layerdb/mounts/{identity}/mount-id"
        self._write(mounts, layer.encode())
        self._write(self.layers / layer / "diff/etc/nginx/own.pem", OWN.pem)
        (self.layers / "l").mkdir(exist_ok=True)
        if run:
            self._overlay(self.layers / layer, self.layers / "image/diff")

    def remove_docker(self, identity: str) -> None:
        """Stop and remove it."""
        layer = self.layers / f"layer-{identity}"
        subprocess.run(["umount", layer / "merged"], check=True)
        shutil.rmtree(layer)
        shutil.rmtree(self.root / DOCKER / "containers" / identity)

    def podman(self, name: str, image: str) -> None:
        """Make a running container of Podman's, owned by root."""
        metadata = json.dumps({"image-name": image, "name": name})
        listed = [{"id": "p1", "names": [name], "layer": "player", "metadata": metadata}]
        self._json(f"{STORAGE}/overlay-containers/containers.json", listed)
        layer = self.root / STORAGE / "overlay/player"
        self._write(layer / "diff/etc/db.pem", Leaf("db.example").pem)
        self._overlay(layer, self.layers / "image/diff")

    def containerd(self, identity: str, pod: str, container: str) -> None:
        """Make a running container of a Kubernetes pod under containerd."""
        bundle = self.root / BUNDLE / identity
        cri = "io.kubernetes.cri"
        annotations = {
            f"{cri}.container-name": container,
            f"{cri}.image-name": "registry.example/shop:2",
            f"{cri}.sandbox-namespace": "shop",
            f"{cri}.sandbox-name": pod,
        }
        self._json(f"{BUNDLE}/{identity}/config.json", {"annotations": annotations})
        upper = self.root / "var/lib/containerd/snapshots" / identity
        self._write(upper / "diff/srv/shop.pem", Leaf("shop.example").pem)
        self._overlay(upper, self.layers / "image/diff", merged=bundle / "rootfs")

    def pod(self, uid: str, pod: str, certificate: Leaf) -> None:
        """Make a pod with a secret, as the kubelet mounts it."""
        (self.root / f"var/log/pods/shop_{pod}_{uid}/app").mkdir(parents=True)
        volume = self.root / PODS / uid / "volumes/kubernetes.io~secret/tls"
        volume.mkdir(parents=True)
        self._mount("-t", "tmpfs", "tmpfs", volume)
        self._write(volume / "..2026_11_26_10_00_00.1/tls.crt", certificate.pem)
        (volume / "..data").symlink_to("..2026_11_26_10_00_00.1")
        (volume / "tls.crt").symlink_to("..data/tls.crt")

    def remove_pod(self, uid: str, pod: str) -> None:
        """Take a pod away."""
        subprocess.run(
            ["umount", self.root / PODS / uid / "volumes/kubernetes.io~secret/tls"], check=True
        )
        shutil.rmtree(self.root / PODS / uid)
        shutil.rmtree(self.root / f"var/log/pods/shop_{pod}_{uid}")

    def _overlay(self, upper: Path, lower: Path, merged: Path | None = None) -> None:
        merged = merged or upper / "merged"
        for directory in (upper / "work", merged):
            directory.mkdir(parents=True)
        options = f"lowerdir={lower},upperdir={upper / 'diff'},workdir={upper / 'work'}"
        self._mount("-t", "overlay", "-o", options, "overlay", merged)

    def _json(self, path: str, content: object) -> None:
        self._write(self.root / path, json.dumps(content).encode())

    @staticmethod
    def _write(file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o644)

    @staticmethod
    def _mount(*words: str | Path) -> None:
        subprocess.run(["mount", *words], check=True)


OWN = Leaf("own.example")
FIRST_POD, SECOND_POD = "web-7d4b9c6f5d-x2x4z", "web-7d4b9c6f5d-zz9k8"


class Story:
    """The agent on that host; each step is one sweep."""

    def __init__(self, work: Path) -> None:
        self.host = ContainerHost(work)
        config = Config(
            scan=ScanSettings(root=os.fsencode(self.host.root)),
            state=StateSettings(directory=work / "agent"),
        )
        self.state = State.open(config.state_database)
        self.service = ReaderService(config, self.state)
        self.steps: dict[str, Any] = {}

    def step(self, name: str) -> None:
        """Sweep, acknowledge, and keep what was told."""
        result = self.service.sweep()
        assert result.complete
        outbox = self.state.connection.execute(
            "SELECT key, row, cause, gone_reason FROM outbox WHERE class = 1 ORDER BY item"
        ).fetchall()
        told = self.state.connection.execute("SELECT row FROM told").fetchall()
        self.state.connection.executescript(
            "DELETE FROM acknowledged; DELETE FROM outbox;"
            "INSERT INTO acknowledged SELECT 1, key, row_hash FROM told;"
        )
        self.steps[name] = {
            "changes": [
                {"gone": gone} if row is None else {"cause": cause, **_shown(row)}
                for _, row, cause, gone in outbox
            ],
            "told": [_shown(row) for (row,) in told],
            "gaps": [gap.prefix.decode() for gap in result.coverage.gaps],
        }


def _shown(row: bytes) -> dict[str, str]:
    place = place_of(row)
    return {
        "scope": f"{place.scope.kind} {place.scope.name.decode()}".strip(),
        "instance": place.scope.instance,
        "path": place.path.decode(),
        "target": place.target.decode(),
        "owner": place.owner,
        "format": place.format,
        "package": place.package.name if place.package else "",
    }


def main(work: Path) -> dict[str, Any]:
    """Tell the story."""
    story = Story(work)
    host = story.host
    host.docker("d1", "web", "nginx:1.25")
    host.docker("d9", "stopped", "nginx:1.25", run=False)
    host.podman("db", "docker.io/library/postgres:16")
    host.containerd("c1", FIRST_POD, "app")
    host.pod("u1", FIRST_POD, Leaf("pod.example"))
    story.step("first")
    story.step("again")
    host.remove_docker("d1")
    host.docker("d2", "web", "nginx:1.25")
    host.remove_pod("u1", FIRST_POD)
    host.pod("u2", SECOND_POD, Leaf("pod.example"))
    story.step("replaced")
    host.remove_docker("d2")
    story.step("removed")
    host.docker("d3", "web", "nginx:1.25")
    host.docker("d4", "web", "nginx:1.25")
    story.step("two of a name")
    return story.steps


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
