"""What container engines and the kubelet keep on the disk: as it is, and as somebody would forge it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fakes.package_root import LOCAL

from keycensus_agent.context.containers import Container, containers
from keycensus_agent.context.pods import Volume, volumes, workload_of
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.reader.discovery.links import Resolver
from keycensus_agent.reader.scopes import find_scopes

BUNDLE = "run/containerd/io.containerd.runtime.v2.task"


def found(root: Path, *points: bytes) -> list[Container]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list(containers(RootFiles(Resolver(descriptor, LOCAL)), points))
    finally:
        os.close(descriptor)


def write(root: Path, path: str, content: object) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text)


def docker(root: Path, described: object, layer: str = "abc") -> None:
    write(root, "var/lib/docker/containers/id1/config.v2.json", described)
    write(root, "var/lib/docker/image/overlay2/layerdb/mounts/id1/mount-id", layer)


def test_docker_says_name_image_and_layer(tmp_path: Path) -> None:
    docker(tmp_path, {"Name": "/web", "Driver": "overlay2", "Config": {"Image": "nginx:1.25"}})
    root = b"/var/lib/docker/overlay2/abc/merged"
    assert found(tmp_path) == [Container("id1", "web", "nginx:1.25", root)]


@pytest.mark.parametrize(
    "described",
    [
        "no JSON",
        "[" * 100_000,
        [],
        {},
        {"Name": "/web", "Driver": "../.."},
        {"Name": "/web", "Driver": 5},
        {"Name": "/web", "Driver": "."},
    ],
)
def test_what_is_no_description_of_dockers_is_none(tmp_path: Path, described: object) -> None:
    docker(tmp_path, described)
    assert found(tmp_path) == []


@pytest.mark.parametrize("layer", ["", "..", "a/b", "x" * 500])
def test_a_layer_is_one_name(tmp_path: Path, layer: str) -> None:
    docker(tmp_path, {"Name": "/web", "Driver": "overlay2"}, layer)
    assert all(b"/.." not in each.root and len(each.root) < 300 for each in found(tmp_path))


def test_what_is_said_of_a_container_may_be_anything_but_text(tmp_path: Path) -> None:
    docker(tmp_path, {"Name": ["x"], "Driver": "overlay2", "Config": {"Image": "i" * 1000}})
    (container,) = found(tmp_path)
    assert (container.name, container.image) == ("", "")


def test_containers_storage_says_it_in_metadata(tmp_path: Path) -> None:
    metadata = json.dumps({"image-name": "postgres:16", "name": "db"})
    path = "var/lib/containers/storage/overlay-containers/containers.json"
    listed = [
        {"id": "p1", "names": ["first"], "layer": "lay", "metadata": metadata},
        {"id": "p2", "names": ["second"], "layer": "lay2", "image": "sha", "metadata": "broken"},
        {"id": "p3", "layer": "../.."},
        {"id": "p4", "names": [1], "layer": "lay4"},
        "nothing",
    ]
    write(tmp_path, path, listed)
    above = b"/var/lib/containers/storage/overlay/"
    assert found(tmp_path) == [
        Container("p1", "db", "postgres:16", above + b"lay/merged"),
        Container("p2", "second", "sha", above + b"lay2/merged"),
        Container("p4", "", "", above + b"lay4/merged"),
    ]


def test_a_bundle_of_containerd_says_it_in_annotations(tmp_path: Path) -> None:
    cri = "io.kubernetes.cri."
    said = {f"{cri}sandbox-namespace": "shop", f"{cri}sandbox-name": "web-x"}
    write(tmp_path, f"{BUNDLE}/k8s.io/pause/config.json", {"annotations": said})
    said = {**said, f"{cri}container-name": "app", f"{cri}image-name": "shop:2"}
    write(tmp_path, f"{BUNDLE}/k8s.io/c1/config.json", {"annotations": said})
    write(tmp_path, f"{BUNDLE}/default/c2/config.json", {"annotations": {"nerdctl/name": "db"}})
    write(tmp_path, f"{BUNDLE}/default/c3/config.json", {"annotations": 5})
    points = [
        f"/{BUNDLE}/{each}/rootfs".encode()
        for each in ("k8s.io/pause", "k8s.io/c1", "default/c2", "default/c3", "default/none")
    ]
    pod = ("shop", "web-x")
    assert found(tmp_path, *points, b"/srv/rootfs") == [
        Container("pause", "sandbox", "", points[0], pod),
        Container("c1", "app", "shop:2", points[1], pod),
        Container("c2", "db", "", points[2]),
        Container("c3", "c3", "", points[3]),
    ]


def test_only_what_is_mounted_runs(tmp_path: Path) -> None:
    docker(tmp_path, {"Name": "/web", "Driver": "overlay2"})
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        resolver = Resolver(descriptor, LOCAL)
        assert find_scopes(resolver, LOCAL, b"", os.fsencode(tmp_path)).by_prefix == {}
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("web-7d4b9c6f5d-x2x4z", "web"),
        ("node-exporter-x2x4z", "node-exporter"),
        ("backup-28934567-x2x4z", "backup"),
        ("db-0", "db-0"),
        ("kube-apiserver-master", "kube-apiserver-master"),
        ("x2x4z", "x2x4z"),
    ],
)
def test_a_workload_is_what_stays_of_a_pods_name(pod: str, workload: str) -> None:
    assert workload_of("shop", pod) == f"shop/{workload}"


def test_volumes_have_the_workload_that_the_log_directory_names(tmp_path: Path) -> None:
    pods = tmp_path / "var/lib/kubelet/pods"
    (pods / "u1/volumes/kubernetes.io~secret/tls").mkdir(parents=True)
    (pods / "u2/volumes/kubernetes.io~empty-dir/work").mkdir(parents=True)
    (tmp_path / "var/log/pods/shop_web-7d4b9c6f5d-x2x4z_u1").mkdir(parents=True)
    (tmp_path / "var/log/pods/not-a-pod").mkdir()
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        known = list(volumes(RootFiles(Resolver(descriptor, LOCAL))))
    finally:
        os.close(descriptor)
    above = b"/var/lib/kubelet/pods/"
    assert known == [
        Volume(above + b"u1/volumes/kubernetes.io~secret/tls", "u1", "shop/web", "tls"),
        Volume(above + b"u2/volumes/kubernetes.io~empty-dir/work", "u2", "u2", "work"),
    ]
