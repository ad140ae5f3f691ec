from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keycensus_agent import __version__, host_facts
from keycensus_agent.host_facts import MachinePrints, gather, machine_prints


@pytest.fixture
def foreign(tmp_path: Path) -> bytes:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "etc/hostname").write_text("# a comment\n\nold-box.example.com\n")
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "usr/lib/os-release").write_text('# x\nID=debian\nVERSION_ID="12"\n')
    (tmp_path / "etc/os-release").symlink_to("../usr/lib/os-release")
    return os.fsencode(tmp_path)


def test_a_foreign_root_is_described_by_its_own_files(foreign: bytes) -> None:
    facts = gather(foreign, {"b": "2", "a": "1"}, [b"/etc"], isolation=["reader.network=none"])
    assert facts.name == "old-box.example.com"
    assert (facts.operating_system, facts.operating_system_version) == ("debian", "12")
    salted = b"keycensus machine v1\0" + b"0123456789abcdef0123456789abcdef" + b"\0"
    assert facts.machine_hash == hashlib.sha256(salted).digest()
    assert (facts.kernel, facts.addresses, facts.kind) == ("", (), "")
    assert facts.labels == (("a", "1"), ("b", "2"))
    assert facts.roots == (b"/etc",)
    assert facts.isolation == ("reader.network=none",)
    assert facts.agent_version == __version__


def test_an_empty_root_gives_empty_facts_and_no_error(tmp_path: Path) -> None:
    facts = gather(os.fsencode(tmp_path), {}, [])
    assert (facts.name, facts.operating_system) == ("", "")
    assert len(facts.machine_hash) == 32


def test_a_link_out_of_a_foreign_root_is_not_followed(foreign: bytes, tmp_path: Path) -> None:
    for name in ("hostname", "machine-id", "os-release"):
        link = tmp_path / "etc" / name
        link.unlink()
        link.symlink_to(f"/etc/{name}")
    (tmp_path / "usr/lib/os-release").unlink()
    facts = gather(foreign, {}, [])
    assert (facts.name, facts.operating_system) == ("", "")
    assert machine_prints(foreign).machine_id == ""


def test_a_fifo_and_rubbish_are_survived(foreign: bytes, tmp_path: Path) -> None:
    (tmp_path / "etc/hostname").unlink()
    os.mkfifo(tmp_path / "etc/hostname")
    (tmp_path / "usr/lib/os-release").write_bytes(b"\xff\0=\nID\n")
    (tmp_path / "etc/machine-id").unlink()
    (tmp_path / "etc/machine-id").mkdir()
    assert gather(foreign, {}, []).name == ""


def test_this_host_says_its_name_kernel_and_architecture() -> None:
    facts = gather(b"/", {}, [b"/"])
    assert facts.name == socket.gethostname()
    assert facts.kernel == os.uname().release
    assert facts.architecture == os.uname().machine
    assert not any(address.startswith("127.") or address == "::1" for address in facts.addresses)


def test_addresses_are_read_from_proc_without_a_socket() -> None:
    trie = (
        "Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 192.0.2.2\n     /32 host LOCAL\n"
        "  |-- 192.0.2.255\n     /32 link BROADCAST\n"
    )
    assert host_facts._addresses_v4(trie) == {"192.0.2.2"}
    table = (
        "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n"
        "20010db8000000000000000000000002 04 40 00 82     eth0\n"
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "zz010db8000000000000000000000002 04 40 00 82     eth0\nshort\n"
    )
    assert host_facts._addresses_v6(table) == {"2001:db8::2"}


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({b"run/systemd/container": "lxc"}, "container"),
        ({b"proc/1/cgroup": "0::/kubepods/pod1/abc"}, "container"),
        ({b"sys/class/dmi/id/sys_vendor": "Amazon EC2"}, "cloud:aws"),
        ({b"sys/class/dmi/id/sys_vendor": "Google"}, "cloud:gcp"),
        (
            {
                b"sys/class/dmi/id/sys_vendor": "Microsoft Corporation",
                b"sys/class/dmi/id/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
            },
            "cloud:azure",
        ),
        ({b"sys/class/dmi/id/sys_vendor": "QEMU"}, "vm"),
        ({b"sys/hypervisor/type": "xen"}, "vm"),
        ({b"proc/cpuinfo": "flags\t\t: fpu hypervisor sse\n"}, "vm"),
        ({b"sys/class/dmi/id/sys_vendor": "Dell Inc."}, "physical"),
        ({}, ""),
    ],
)
def test_the_kind_of_machine_is_guessed_from_what_it_shows(
    monkeypatch: pytest.MonkeyPatch, files: dict[bytes, str], kind: str
) -> None:
    monkeypatch.setattr(host_facts, "_text", lambda _root, name: files.get(name, ""))
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert host_facts._kind() == kind


def test_an_image_before_its_first_boot_has_no_machine_id(foreign: bytes, tmp_path: Path) -> None:
    (tmp_path / "etc/machine-id").write_text("uninitialized\n")
    assert machine_prints(foreign).machine_id == ""


def test_machines_differ_only_by_what_both_know() -> None:
    one = MachinePrints("a", "u")
    assert not one.differ_from(MachinePrints("a", ""))
    assert not one.differ_from(MachinePrints("", ""))
    assert one.differ_from(MachinePrints("b", "u"))
    assert one.differ_from(MachinePrints("a", "v"))


def test_the_reader_side_modules_import_neither_grpc_nor_cryptography() -> None:
    code = (
        "import sys, keycensus_agent.config, keycensus_agent.logs, keycensus_agent.host_facts,"
        " keycensus_agent.reader.link_client;"
        " print([m for m in ('grpc', 'cryptography', 'google') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"
