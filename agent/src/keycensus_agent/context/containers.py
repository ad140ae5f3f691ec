"""Which running container a mounted tree belongs to: what Docker, Podman, CRI-O and containerd keep on the disk.

Formats: moby, daemon/container/container.go (`containers/ID/config.v2.json`) and layer/filestore.go
(`layerdb/mounts/ID/mount-id`); containers/storage, containers.go (`overlay-containers/containers.json`, metadata as Podman and
CRI-O write it); OCI runtime specification, config.md (`config.json` of a bundle) with the annotations of containerd's CRI plugin and nerdctl.
No program or socket is asked. Runs in the reader; the files are a stranger's where the root is a foreign one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from keycensus_agent.context.root_files import RootFiles

DOCKER = b"/var/lib/docker"
STORAGE = b"/var/lib/containers/storage"
BUNDLES = (
    b"/run/containerd/io.containerd.runtime.v2.task",
    b"/run/containerd/io.containerd.runtime.v1.linux",
)
# A container's description has its environment and labels; a list has all containers.
_DESCRIPTION_LIMIT = 1024 * 1024
_LIST_LIMIT = 32 * 1024 * 1024
_CONTAINERS_LIMIT = 10_000
_NAME_LENGTH = 256
_ID_LENGTH = 128
# Annotations of an OCI bundle, in the order in which they say more.
_BUNDLE_NAMES = (
    "io.kubernetes.cri.container-name",
    "nerdctl/name",
    "io.kubernetes.cri-o.ContainerName",
)
_BUNDLE_IMAGES = (
    "io.kubernetes.cri.image-name",
    "nerdctl/image-ref",
    "io.kubernetes.cri-o.ImageName",
)
_NAMESPACE, _POD = "io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"


@dataclass(frozen=True, slots=True)
class Container:
    """One container: where its merged tree is mounted when it runs, and what people call it.

    `pod` is (namespace, pod) where Kubernetes made it; else empty texts.
    """

    id: str
    name: str
    image: str
    root: bytes
    pod: tuple[str, str] = ("", "")


def containers(files: RootFiles, points: Iterable[bytes]) -> Iterator[Container]:
    """Yield the containers that are described on the disk; `points` are the mount points there are.

    What can't be read or is damaged describes none.
    """
    yield from _docker(files)
    yield from _storage(files)
    for point in points:
        if point.startswith(BUNDLES) and point.endswith(b"/rootfs"):
            found = _bundle(files, point)
            if found is not None:
                yield found


def _docker(files: RootFiles) -> Iterator[Container]:
    for name in _names(files, DOCKER + b"/containers"):
        described = _json(
            files, DOCKER + b"/containers/" + name + b"/config.v2.json", _DESCRIPTION_LIMIT
        )
        driver = _text(described, "Driver").encode()
        layers = DOCKER + b"/image/" + driver + b"/layerdb/mounts/" + name + b"/mount-id"
        if not driver or not _is_name(driver):
            continue
        try:
            layer = files.read(layers, _ID_LENGTH).strip()
        except OSError:
            continue
        if not _is_name(layer):
            continue
        labels = described.get("Config")
        image = _text(labels, "Image") if isinstance(labels, dict) else ""
        yield Container(
            id=name.decode("utf-8", "backslashreplace"),
            name=_text(described, "Name").removeprefix("/"),
            image=image,
            root=DOCKER + b"/" + driver + b"/" + layer + b"/merged",
        )


def _storage(files: RootFiles) -> Iterator[Container]:
    """Yield those of containers/storage: Podman of root, and CRI-O."""
    listed = _parsed(files, STORAGE + b"/overlay-containers/containers.json", _LIST_LIMIT)
    for each in listed[:_CONTAINERS_LIMIT] if isinstance(listed, list) else ():
        if not isinstance(each, dict):
            continue
        layer = _text(each, "layer").encode("utf-8", "surrogateescape")
        if not _is_name(layer):
            continue
        said = _loads(_text(each, "metadata", _DESCRIPTION_LIMIT))
        metadata = said if isinstance(said, dict) else {}
        names = each.get("names")
        first = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
        yield Container(
            id=_text(each, "id"),
            name=_text(metadata, "container-name")
            or _text(metadata, "name")
            or first[:_NAME_LENGTH],
            image=_text(metadata, "image-name") or _text(each, "image"),
            root=STORAGE + b"/overlay/" + layer + b"/merged",
        )


def _bundle(files: RootFiles, point: bytes) -> Container | None:
    """Return the container whose bundle's root file system is mounted at `point`."""
    bundle = point.rpartition(b"/")[0]
    described = _json(files, bundle + b"/config.json", _DESCRIPTION_LIMIT)
    annotations = described.get("annotations")
    said = annotations if isinstance(annotations, dict) else {}
    identity = bundle.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
    if not described:
        return None
    # What holds a pod's name spaces has no name of its own.
    unnamed = "sandbox" if _text(said, _POD) else identity
    return Container(
        id=identity,
        name=next((name for key in _BUNDLE_NAMES if (name := _text(said, key))), unnamed),
        image=next((name for key in _BUNDLE_IMAGES if (name := _text(said, key))), ""),
        root=point,
        pod=(_text(said, _NAMESPACE), _text(said, _POD)),
    )


def _names(files: RootFiles, directory: bytes) -> list[bytes]:
    try:
        return files.names(directory, _CONTAINERS_LIMIT)
    except OSError:
        return []


def _is_name(name: bytes) -> bool:
    """Whether it can be one component of a path, and nothing but that."""
    return (
        0 < len(name) <= _ID_LENGTH and b"/" not in name and b"\0" not in name and name[:1] != b"."
    )


def _json(files: RootFiles, path: bytes, limit: int) -> dict[str, Any]:
    found = _parsed(files, path, limit)
    return found if isinstance(found, dict) else {}


def _parsed(files: RootFiles, path: bytes, limit: int) -> object:
    try:
        data = files.read(path, limit)
    except OSError:
        return None
    return _loads(data.decode("utf-8", "replace")) if len(data) < limit else None


def _loads(text: str) -> object:
    loads: Callable[[str], object] = json.loads
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return None


def _text(values: object, key: str, limit: int = _NAME_LENGTH) -> str:
    """Return a text of an object; "" if there is none, or it is no text, or too long to be one."""
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) and len(value) <= limit else ""
