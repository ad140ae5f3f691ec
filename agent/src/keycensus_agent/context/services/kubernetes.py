"""Kubernetes on this host: static pods, the kubelet, kubeconfig files.

Runs in the reader. Sources: Kubernetes' documentation, "PKI certificates and requirements", "Create static Pods",
"Kubelet Configuration (v1beta1)", "Organizing Cluster Access Using kubeconfig Files", the reference of the components'
flags; etcd's flags. YAML is read line by line as far as these files go: keys, lists, flags; no anchors, no flow of several lines.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

_MANIFESTS = "/etc/kubernetes/manifests"
_KUBELET = (
    "/var/lib/kubelet/config.yaml",
    "/etc/kubernetes/kubelet.yaml",
    "/etc/kubernetes/kubelet-config.yaml",
    "/etc/kubernetes/kubelet/kubelet-config.json",
)
_KUBELET_PKI = "/var/lib/kubelet/pki"
_KUBECONFIGS = (
    *("/etc/kubernetes/*.conf", "/root/.kube/config", "/home/*/.kube/config"),
    *("/var/lib/kubelet/kubeconfig", "/etc/rancher/k3s/k3s.yaml", "/etc/rancher/rke2/rke2.yaml"),
)
_UNIT = "kubelet.service"
_KEY = re.compile(
    r"""^(\s*)(-\s+)?["']?([\w./-]+)["']?\s*:(?:\s+["']?([^"'#]*)["']?,?\s*)?(?:#.*)?$"""
)
# Data of a certificate in a kubeconfig has some thousands.
_LINE_LIMIT = 20_000
_FLAG = re.compile(r"""--([a-z][a-z0-9-]{0,80})[= ]["']?((?:\[[0-9a-fA-F:.%]*\]|[^\s"'\]])+)""")
# The end of a flag's name: what it names.
_FLAG_KINDS = (
    (
        re.compile(
            r"(?:service-account-(?:signing-)?key|private-key|key)-?file\Z|client-key\Z|proxy-client-key"
        ),
        "key",
    ),
    (re.compile(r"(?:ca-?file|certificate-authority|ca-cert)\Z"), "trust"),
    (re.compile(r"(?:cert-?file|client-certificate)\Z"), "certificate"),
    (re.compile(r"kubeconfig\Z"), "store"),
)
_PORT_FLAGS = ("secure-port",)
_URL_FLAGS = ("listen-client-urls", "listen-peer-urls")
_PEER = re.compile(r"\Apeer-")
_SERVING = re.compile(
    r"\A(?:tls-(?:cert|private-key)-file|client-ca-file|(?:peer-)?(?:cert|key|trusted-ca)-file)\Z"
)
_CONFIG_KINDS = {"tlsCertFile": "certificate", "tlsPrivateKeyFile": "key", "clientCAFile": "trust"}
_ACCESS_KINDS = {
    "client-certificate": "certificate",
    "client-key": "key",
    "certificate-authority": "trust",
}
_Key = tuple[int, int, bool, str, str]


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what static pods, the kubelet and kubeconfig files name."""
    unit = units.first(_UNIT)
    kubelet = sources.first(_KUBELET)
    settings = {key: (number, value) for number, _, _, key, value in _keys(sources, kubelet)}
    _, pods = settings.get("staticPodPath", (0, "")) if kubelet else (0, "")
    for path in sources.glob(f"{pods if pods.startswith('/') else _MANIFESTS}/*.y*ml"):
        yield from _pod(sources, unit, path)
    if kubelet:
        yield from _kubelet(sources, unit, kubelet, settings)
    for pattern in _KUBECONFIGS:
        for path in sources.glob(pattern):
            yield from _access(sources, path)


def _keys(sources: Sources, path: str) -> Iterator[_Key]:
    """Yield line, indent, whether an item of a list starts, key and plain value."""
    for number, line in enumerate((sources.text(path) or "").split("\n") if path else (), start=1):
        match = _KEY.match(line) if len(line) < _LINE_LIMIT else None
        if match is not None and sources.affords(path):
            yield (
                number,
                len(match[1]),
                match[2] is not None,
                match[3],
                (match[4] or "").strip().removesuffix(",").strip(),
            )


def _pod(sources: Sources, unit: str, path: str) -> Iterator[Binding]:
    keys = list(_keys(sources, path))
    mounts = _mounts(keys)
    name = next((value for _, _, _, key, value in keys if key == "name" and value), "")
    flags = [
        (number, flag, value.rstrip(","))
        for number, line in enumerate((sources.text(path) or "").split("\n"), start=1)
        for flag, value in _FLAG.findall(line)
        if not line.lstrip().startswith("#")
    ]
    known = {flag: value for _, flag, value in flags}
    for number, flag, value in flags:
        kind = next((kind for pattern, kind in _FLAG_KINDS if pattern.search(flag)), "")
        if not kind or not value.startswith("/"):
            continue
        listen = _listens(known, flag) if _SERVING.match(flag) else ()
        server = Server("kubernetes", unit, (name,) if name and not listen else (), listen, "tls")
        yield bind(sources, server, (path, number), kind, _on_host(value, mounts))


def _listens(flags: dict[str, str], flag: str) -> tuple[str, ...]:
    """Return where a component serves what a flag names."""
    found: list[str] = []
    if flag.startswith(("tls-", "client-ca")):
        host = flags.get("bind-address", "")
        for name in _PORT_FLAGS:
            found += addresses(host, flags.get(name, ""))
        return tuple(found)
    urls = flags.get(_URL_FLAGS[1 if _PEER.match(flag) else 0], "")
    for url in urls.split(","):
        if url.startswith("https://"):
            found += addresses(*split_address(url.removeprefix("https://")))
    return tuple(found)


def _mounts(keys: Sequence[_Key]) -> list[tuple[str, str]]:
    """Return directories of the container with those of the host, the longest first."""
    inside: dict[str, str] = {}
    outside: dict[str, str] = {}
    part, indent = "", 0
    item: dict[str, str] = {}
    for _, depth, starts, key, value in [*keys, (0, -1, False, "", "")]:
        if part and (depth < indent or (depth == indent and not starts)):
            _settle(part, item, inside, outside)
            part, item = "", {}
        if key in ("volumeMounts", "volumes") and not value:
            part, indent, item = key, depth, {}
        elif part:
            if starts and item:
                _settle(part, item, inside, outside)
                item = {}
            item[key] = value
    pairs = [(where, outside[name]) for where, name in inside.items() if name in outside]
    return sorted(pairs, key=lambda pair: -len(pair[0]))


def _settle(
    part: str, item: dict[str, str], inside: dict[str, str], outside: dict[str, str]
) -> None:
    name = item.get("name", "")
    if part == "volumeMounts" and item.get("mountPath", "").startswith("/"):
        inside[item["mountPath"].rstrip("/")] = name
    elif part == "volumes" and "hostPath" in item and item.get("path", "").startswith("/"):
        outside[name] = item["path"].rstrip("/")


def _on_host(path: str, mounts: Sequence[tuple[str, str]]) -> str:
    whole = posixpath.normpath(path)
    for inside, outside in mounts:
        if whole == inside or whole.startswith(inside + "/"):
            return outside + whole[len(inside) :]
    return whole


def _kubelet(
    sources: Sources, unit: str, path: str, settings: dict[str, tuple[int, str]]
) -> Iterator[Binding]:
    _, port = settings.get("port", (0, "10250"))
    _, host = settings.get("address", (0, ""))
    server = Server("kubernetes", unit, (), tuple(addresses(host, port)), "tls")
    for key, kind in _CONFIG_KINDS.items():
        number, value = settings.get(key, (0, ""))
        if value:
            yield bind(sources, server, (path, number), kind, absolute("/", value))
    if "tlsCertFile" not in settings:
        # What it makes, or asks the cluster for, if it is not told of a certificate.
        current = f"{_KUBELET_PKI}/kubelet-server-current.pem"
        names = (current,) if sources.is_file(current) else (f"{_KUBELET_PKI}/kubelet.crt",)
        keys = () if sources.is_file(current) else (f"{_KUBELET_PKI}/kubelet.key",)
        for kind, files in (("certificate", names), ("key", keys)):
            there = list(filter(sources.is_file, files))
            if there:
                yield bind(sources, server, (path, 0), kind, *there)


def _access(sources: Sources, path: str) -> Iterator[Binding]:
    """Yield what a kubeconfig names; data in it is in the file itself."""
    directory = path.rpartition("/")[0]
    for number, _, _, key, value in _keys(sources, path):
        kind = _ACCESS_KINDS.get(key.removesuffix("-data"), "")
        if kind and value:
            file = path if key.endswith("-data") else absolute(directory, value)
            yield bind(sources, Server("kubernetes"), (path, number), kind, file)
