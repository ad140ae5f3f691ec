"""What this host says of itself: name, system, addresses, kind, and which machine it is.

Runs in the reader and in commands; it reads files and opens no socket, not even AF_NETLINK, which
the reader may not have. All of it is a claim; the collector decides nothing by it alone.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keycensus_agent import __version__

# Enough for any of the small files read here (4 MiB); a longer one is cut, not refused.
_PIECE_BYTES = 1 << 16
_PIECE_LIMIT = 64
_ADDRESS_LIMIT = 256
_TEXT_LIMIT = 255

_MACHINE_SALT = b"keycensus machine v1\0"

# DMI system vendor or product name → that it is a virtual machine (systemd-detect-virt knows the same).
_VIRTUAL = re.compile(
    r"kvm|qemu|vmware|virtualbox|innotek|xen|bochs|parallels|bhyve|openstack|nutanix|"
    r"microsoft corporation virtual|virtual machine|rhev|ovirt|apple virtualization",
    re.IGNORECASE,
)
_CLOUDS = (
    ("amazon ec2", "cloud:aws"),
    ("google compute engine", "cloud:gcp"),
    ("google", "cloud:gcp"),
    ("digitalocean", "cloud:digitalocean"),
    ("hetzner", "cloud:hetzner"),
    ("alibaba cloud", "cloud:alibaba"),
    ("oraclecloud.com", "cloud:oracle"),
)
# The asset tag that Azure sets on every machine, by its documentation.
_AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
_HEX_V6 = re.compile(r"[0-9a-f]{32}\Z")
_CONTAINER_CGROUP = re.compile(r"/(docker|kubepods|lxc|libpod|containerd|crio)[-/.]")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One host's own description (protos: HostFacts, where every field is explained)."""

    name: str
    machine_hash: bytes
    operating_system: str = ""
    operating_system_version: str = ""
    kernel: str = ""
    architecture: str = ""
    addresses: tuple[str, ...] = ()
    kind: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    agent_version: str = __version__
    isolation: tuple[str, ...] = ()
    roots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MachinePrints:
    """What tells one machine from another: SHA-256, hexadecimal, of each, empty if not readable.

    Apart, because the DMI UUID is for root only: an identity that was made as root must still be
    known as this machine's by a link without privileges.
    """

    machine_id: str
    product_uuid: str

    def differ_from(self, other: MachinePrints) -> bool:
        """Whether something that both know differs: then it is another machine."""
        pairs = (
            (self.machine_id, other.machine_id),
            (self.product_uuid, other.product_uuid),
        )
        return any(one and two and one != two for one, two in pairs)


def gather(
    root: bytes,
    labels: Mapping[str, str],
    roots: Sequence[bytes],
    *,
    isolation: Sequence[str] = (),
) -> HostFacts:
    """Return what the host whose root directory is `root` says of itself, now.

    For a foreign root (a mounted image, a container's tree) name, system and machine are read in it,
    kernel, addresses and kind are left empty. What can't be read is empty; nothing raises.
    """
    own = os.path.realpath(root) == b"/"
    release = _os_release(root)
    return HostFacts(
        name=_host_name(root, own=own),
        machine_hash=hashlib.sha256(
            _MACHINE_SALT + _machine_id(root) + b"\0" + _product_uuid(root)
        ).digest(),
        operating_system=release.get("ID", ""),
        operating_system_version=release.get("VERSION_ID", ""),
        kernel=platform.release() if own else "",
        architecture=platform.machine(),
        addresses=_addresses() if own else (),
        kind=_kind() if own else "",
        labels=tuple(sorted(labels.items())),
        isolation=tuple(isolation),
        roots=tuple(roots),
    )


def machine_prints(root: bytes = b"/") -> MachinePrints:
    """Return what tells this machine from others, for an identity that must not travel."""

    def printed(value: bytes) -> str:
        return hashlib.sha256(_MACHINE_SALT + value).hexdigest() if value else ""

    return MachinePrints(printed(_machine_id(root)), printed(_product_uuid(root)))


def boot_id() -> bytes:
    """Return the kernel's identity of this boot, 16 bytes; zeros where it can't be read."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def _read(root: bytes, name: bytes) -> bytes:
    """Return the file's first bytes; empty if it can't be read or a link leads out of `root`."""
    real_root = os.path.realpath(root)
    path = os.path.realpath(real_root + b"/" + name)
    if os.path.commonpath((real_root, path)) != real_root:
        return b""
    try:
        # Without blocking: a foreign root may hold a FIFO of that name.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        # Files of /proc come in pieces.
        pieces = iter(lambda: os.read(descriptor, _PIECE_BYTES), b"")
        return b"".join(itertools.islice(pieces, _PIECE_LIMIT))
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _text(root: bytes, name: bytes) -> str:
    return _read(root, name).decode("utf-8", "replace").strip()


def _host_name(root: bytes, *, own: bool) -> str:
    if own:
        return socket.gethostname()[:_TEXT_LIMIT]
    lines = [
        line.strip()
        for line in _text(root, b"etc/hostname").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    return lines[0][:_TEXT_LIMIT] if lines else ""


def _machine_id(root: bytes) -> bytes:
    value = _read(root, b"etc/machine-id").strip()
    # machine-id(5): "uninitialized" stands in images before their first boot.
    return b"" if value == b"uninitialized" else value[:_TEXT_LIMIT]


def _product_uuid(root: bytes) -> bytes:
    if os.path.realpath(root) != b"/":
        return b""
    return _read(root, b"sys/class/dmi/id/product_uuid").strip().lower()[:_TEXT_LIMIT]


def _os_release(root: bytes) -> dict[str, str]:
    text = _text(root, b"etc/os-release") or _text(root, b"usr/lib/os-release")
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            values[name.strip()] = value.strip().strip("\"'")[:_TEXT_LIMIT]
    return values


def _kind() -> str:
    if _in_container():
        return "container"
    names = ("sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor")
    dmi = [_text(b"/", b"sys/class/dmi/id/" + name.encode()) for name in names]
    if dmi[2] == _AZURE_ASSET_TAG:
        return "cloud:azure"
    described = " ".join(dmi).lower()
    for mark, kind in _CLOUDS:
        if mark in described:
            return kind
    if _VIRTUAL.search(described) or _text(b"/", b"sys/hypervisor/type"):
        return "vm"
    # The hypervisor flag is set by every hypervisor that wants to be seen (CPUID leaf 1, ECX bit 31).
    if re.search(r"^flags\s*:.*\bhypervisor\b", _text(b"/", b"proc/cpuinfo"), re.MULTILINE):
        return "vm"
    return "physical" if any(dmi) else ""


def _in_container() -> bool:
    # systemd.io/CONTAINER_INTERFACE; the marker files of docker and podman; cgroup v1 paths.
    if _text(b"/", b"run/systemd/container"):
        return True
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    return bool(_CONTAINER_CGROUP.search(_text(b"/", b"proc/1/cgroup")))


def _addresses() -> tuple[str, ...]:
    found = _addresses_v4(_text(b"/", b"proc/net/fib_trie")) | _addresses_v6(
        _text(b"/", b"proc/net/if_inet6")
    )
    return tuple(sorted(found)[:_ADDRESS_LIMIT])


def _addresses_v4(fib_trie: str) -> set[str]:
    """Return the local addresses of /proc/net/fib_trie, loopback left out.

    An address stands on its own line, "|-- 192.0.2.2", and "/32 host LOCAL" follows.
    """
    pairs = re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", fib_trie)
    return {address for address in pairs if not address.startswith("127.")}


def _addresses_v6(if_inet6: str) -> set[str]:
    """Return the global addresses of /proc/net/if_inet6 (scope, the fourth field, 00 or 40)."""
    found = set()
    for line in if_inet6.splitlines():
        fields = line.split()
        if len(fields) == 6 and fields[3] in {"00", "40"} and _HEX_V6.match(fields[0]):
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0])))
    return found
