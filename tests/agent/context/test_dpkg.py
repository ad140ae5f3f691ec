from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fakes.package_root import names_in, owners_in

from keycensus_agent.model import Package


def write_list(root: Path, name: str, *paths: str) -> None:
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True, exist_ok=True)
    (info / f"{name}.list").write_text("".join(f"{path}\n" for path in ("/.", *paths)))


def write_status(root: Path, *packages: tuple[str, str, str]) -> None:
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\n"
        f"Description: x\n .\n Version: not this\nVersion: {version}\n"
        for name, architecture, version in packages
    ]
    (root / "var/lib/dpkg/status").write_text("\n".join(stanzas))


def test_a_listed_path_is_its_packages_with_the_version(tmp_path: Path) -> None:
    write_list(tmp_path, "openssl", "/etc", "/etc/ssl", "/etc/ssl/openssl.cnf")
    write_list(tmp_path, "libssl3:amd64", "/usr/lib/libssl.so")
    write_list(tmp_path, "libssl3:i386", "/usr/lib/i386/libssl.so")
    write_status(
        tmp_path,
        ("openssl", "amd64", "3.0.1-2"),
        ("libssl3", "amd64", "3.0.1-2"),
        ("libssl3", "i386", "3.0.1-1"),
    )
    assert names_in(
        tmp_path,
        b"/etc/ssl/openssl.cnf",
        b"/usr/lib/i386/libssl.so",
        b"/usr/lib/libssl.so",
        b"/etc/x",
    ) == {
        b"/etc/ssl/openssl.cnf": "openssl 3.0.1-2",
        b"/usr/lib/i386/libssl.so": "libssl3 3.0.1-1",
        b"/usr/lib/libssl.so": "libssl3 3.0.1-2",
    }


def test_without_a_status_the_package_has_no_version(tmp_path: Path) -> None:
    write_list(tmp_path, "a", "/a.pem")
    assert owners_in(tmp_path, b"/a.pem").by_path == {b"/a.pem": Package("dpkg", "a", "")}


def test_packages_name_files_by_the_old_path_of_a_merged_usr(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    write_list(tmp_path, "old", "/lib/old/key.pem")
    write_list(tmp_path, "new", "/usr/lib/new/key.pem")
    assert names_in(tmp_path, b"/usr/lib/old/key.pem", b"/usr/lib/new/key.pem") == {
        b"/usr/lib/old/key.pem": "old ",
        b"/usr/lib/new/key.pem": "new ",
    }
    (tmp_path / "lib").unlink()
    (tmp_path / "lib").mkdir()
    assert names_in(tmp_path, b"/usr/lib/old/key.pem") == {}


def test_a_diverted_file_is_that_of_the_package_that_shipped_it(tmp_path: Path) -> None:
    write_list(tmp_path, "first", "/etc/a.pem", "/etc/b.pem")
    write_list(tmp_path, "taker", "/etc/a.pem")
    (tmp_path / "var/lib/dpkg/diversions").write_text(
        "/etc/a.pem\n/etc/a.pem.real\ntaker\n/etc/b.pem\n/etc/b.pem.local\n:\n/etc/broken\n"
    )
    paths = (b"/etc/a.pem", b"/etc/a.pem.real", b"/etc/b.pem", b"/etc/b.pem.local")
    assert names_in(tmp_path, *paths) == {
        b"/etc/a.pem": "taker ",
        b"/etc/a.pem.real": "first ",
        b"/etc/b.pem.local": "first ",
    }


def test_images_without_dpkg_have_sums_and_one_stanza_a_package(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    (status / "ca-certificates").write_text("Package: ca-certificates\nVersion: 2023\n")
    (status / "ca-certificates.md5sums").write_text(
        "d41d8cd98f00b204e9800998ecf8427e  usr/share/ca-certificates/x.crt\n"
    )
    (status / "base.md5sums").write_text("d41d8cd98f00b204e9800998ecf8427e  etc/base.pem\n")
    assert names_in(tmp_path, b"/usr/share/ca-certificates/x.crt", b"/etc/base.pem") == {
        b"/usr/share/ca-certificates/x.crt": "ca-certificates 2023",
        b"/etc/base.pem": "base ",
    }


@pytest.mark.timeout(20)
def test_lists_that_are_links_or_pipes_are_passed_over(tmp_path: Path) -> None:
    write_list(tmp_path, "good", "/good.pem")
    outside = tmp_path / "outside"
    outside.write_text("/stolen.pem\n")
    (tmp_path / "var/lib/dpkg/info/link.list").symlink_to(outside)
    os.mkfifo(tmp_path / "var/lib/dpkg/info/pipe.list")
    assert names_in(tmp_path, b"/good.pem", b"/stolen.pem") == {b"/good.pem": "good "}


def test_a_database_that_is_no_directory_is_named_as_unread(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/info").write_text("x")
    assert owners_in(tmp_path, b"/a").unread == ("dpkg",)


def test_the_database_is_looked_for_within_the_root(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    write_list(other, "foreign", "/a.pem")
    (root / "var/lib").mkdir(parents=True)
    (root / "var/lib/dpkg").symlink_to(other / "var/lib/dpkg")
    assert names_in(root, b"/a.pem") == {}


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_it_says_what_dpkg_itself_says() -> None:
    version = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "dpkg"], check=True, capture_output=True, text=True
    ).stdout
    found = owners_in(Path("/"), b"/usr/bin/dpkg").by_path
    assert found == {b"/usr/bin/dpkg": Package("dpkg", "dpkg", version)}
