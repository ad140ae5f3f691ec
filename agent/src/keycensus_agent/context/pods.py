"""Which volume of which workload a directory of the kubelet is.

The kubelet keeps a pod's volumes in `pods/UID/volumes/PLUGIN/VOLUME` and its logs in `/var/log/pods/NAMESPACE_POD_UID`
(kubernetes, pkg/kubelet/kubelet_getters.go and pkg/kubelet/kuberuntime/helpers.go); the log directory's name is where the disk says what
the pod is called. Runs in the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keycensus_agent.context.root_files import RootFiles

PODS = b"/var/lib/kubelet/pods"
LOGS = b"/var/log/pods"
# The kubelet runs 110 pods unless told otherwise; a volume for each thing that is mounted.
_PODS_LIMIT = 10_000
_VOLUMES_LIMIT = 1_000
# What a controller appends (apimachinery, util/rand: no vowels, no digits that look like letters): a
# template's hash and five letters; for a job of a CronJob the minute that it was due.
_LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"
_APPENDED = re.compile(rf"(?:-{_LETTERS}{{6,10}}|-\d{{7,11}})?-{_LETTERS}{{5}}\Z")


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume's directory; `workload` is namespace/workload, or the pod's UID if it has no name."""

    directory: bytes
    pod: str
    workload: str
    name: str


def workload_of(namespace: str, pod: str) -> str:
    """Return what stays when a pod is replaced: its name without what its controller appended."""
    return f"{namespace}/{_APPENDED.sub('', pod) or pod}"


def volumes(files: RootFiles) -> Iterator[Volume]:
    """Yield the volumes of the pods on this host, by path."""
    workloads = dict(_workloads(files))
    for uid in _names(files, PODS, _PODS_LIMIT):
        pod = uid.decode("utf-8", "backslashreplace")
        above = PODS + b"/" + uid + b"/volumes"
        for plugin in _names(files, above, _VOLUMES_LIMIT):
            for volume in _names(files, above + b"/" + plugin, _VOLUMES_LIMIT):
                yield Volume(
                    directory=above + b"/" + plugin + b"/" + volume,
                    pod=pod,
                    workload=workloads.get(uid, pod),
                    name=volume.decode("utf-8", "backslashreplace"),
                )


def _workloads(files: RootFiles) -> Iterator[tuple[bytes, str]]:
    for name in _names(files, LOGS, _PODS_LIMIT):
        # Neither a namespace nor a pod's name has an underscore (RFC 1123 labels).
        parts = name.decode("utf-8", "backslashreplace").split("_")
        if len(parts) == 3 and all(parts):
            namespace, pod, uid = parts
            yield uid.encode(), workload_of(namespace, pod)


def _names(files: RootFiles, directory: bytes, limit: int) -> list[bytes]:
    try:
        return files.names(directory, limit)
    except OSError:
        return []
