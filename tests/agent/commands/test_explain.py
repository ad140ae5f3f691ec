from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest
from fakes.agent_command import AgentCommand
from fakes.certificates import Leaf
from fakes.configured_root import write
from fakes.unprivileged import as_nobody, open_directory


@pytest.fixture
def agent(capsys: pytest.CaptureFixture[str]) -> AgentCommand:
    return AgentCommand(capsys)


def test_a_finding_is_explained_from_its_mount_to_its_entries(
    agent: AgentCommand, tmp_path: Path
) -> None:
    (tmp_path / "a.pem").write_bytes(Leaf("a.example").pem)
    (tmp_path / "link.pem").symlink_to("a.pem")
    ran = agent("explain", tmp_path / "link.pem")
    assert ran.status == 0
    steps = [line.split()[0] for line in ran.out.splitlines()[1:]]
    assert steps == ["link", "mount", "file", "first", "format", "place", "entry", "so"]
    assert ran.out.startswith(f"{tmp_path}/link.pem\n  link        leads to {tmp_path}/a.pem\n")
    assert "  format      pem, read\n" in ran.out
    assert "  entry 1     certificate CN=a.example\n" in ran.out
    assert ran.out.endswith("  so          seen: a place\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x", "not opened: nothing that is known has under 44 bytes"),
        (b"\x7fELF\0" + bytes(100), "opened, and holds nothing"),
        (b"words " * 20, "opened, and holds nothing"),
        (b"-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n", "parsed, and holds nothing"),
    ],
)
def test_a_file_that_holds_nothing_says_where_it_fell_out(
    agent: AgentCommand, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "f").write_bytes(content)
    assert reason in agent("explain", tmp_path / "f").out


def test_an_archive_is_explained_with_its_members_and_what_was_passed_over(
    agent: AgentCommand, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.jar", "w") as archive:
        archive.writestr("META-INF/a.pem", Leaf("a.example").pem)
        archive.writestr("A.class", b"")
    said = agent("explain", tmp_path / "a.jar").out
    assert (
        "  first bytes an archive, or compressed: each member is looked at as a file is\n" in said
    )
    assert "  counted     archive-members-passed-over: 1\n" in said
    assert "  entry 1     certificate CN=a.example in META-INF/a.pem\n" in said


def test_an_archive_that_policy_leaves_out_says_so(agent: AgentCommand, tmp_path: Path) -> None:
    place = tmp_path / "usr" / "share" / "doc"
    place.mkdir(parents=True)
    (place / "a.gz").write_bytes(gzip.compress(Leaf("a.example").pem))
    said = agent("explain", "--root", tmp_path, "/usr/share/doc/a.gz").out
    assert "  so          not opened: names like this hold no keys in this directory" in said
    assert "  counted     archives-not-searched: 1\n" in said


def test_a_program_says_what_is_looked_for_behind_it(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "a.exe").write_bytes(b"MZ\0" + bytes(100))
    assert (
        "  first bytes a program: only an archive at its end"
        in agent("explain", tmp_path / "a.exe").out
    )


def test_a_long_bundle_lists_its_first_entries(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "f.pem").write_bytes(b"".join(Leaf(f"n{n}").pem for n in range(23)))
    assert "  and         3 more entries\n" in agent("explain", tmp_path / "f.pem").out


def test_directories_say_what_of_them_is_walked(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "f").touch()
    ran = agent("explain", "--exclude", "cache", tmp_path)
    assert "  directory   1 file, 0 links, 0 directories to enter, 1 passed over\n" in ran.out
    assert "  passed over cache: excluded pattern\n" in ran.out
    assert ran.out.endswith("  so          walked\n")


def test_what_is_not_walked_says_why(agent: AgentCommand, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/a.pem").touch()
    (tmp_path / "state").mkdir()
    excluded = agent("explain", "--exclude", "cache", tmp_path / "cache/a.pem")
    assert f"not seen: {tmp_path}/cache is excluded by pattern" in excluded.out
    own = agent("explain", "--state-dir", tmp_path / "state", tmp_path / "state")
    assert "the agent's own state directory" in own.out
    assert "a FIFO" in agent("explain", tmp_path / "fifo").out
    assert "pseudo-file-system" in agent("explain", "/proc").out
    assert "a character device" in agent("explain", "/dev/null").out or (
        "pseudo file system" in agent("explain", "/dev/null").out
    )


def test_a_directory_on_the_way_that_may_not_be_listed_is_named(agent: AgentCommand) -> None:
    with open_directory() as path:
        (path / "closed").mkdir()
        (path / "closed/a.txt").write_bytes(b"words " * 20)
        (path / "hidden.txt").write_bytes(b"words " * 20)
        (path / "hidden.txt").chmod(0)
        (path / "closed").chmod(0o311)
        with as_nobody():
            through = agent("explain", path / "closed/a.txt")
            itself = agent("explain", path / "closed")
            hidden = agent("explain", path / "hidden.txt")
        (path / "closed").chmod(0o755)
    assert f"not seen: {path}/closed can't be listed (EACCES)" in through.out
    assert "unlisted EACCES" in itself.out
    assert "  open        EACCES\n" in hidden.out
    assert "  gap         unreadable EACCES\n" in hidden.out


def test_a_path_that_is_not_there_is_a_mistake(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"words " * 20)
    ran = agent("explain", tmp_path / "absent", tmp_path / "f")
    assert ran.status == 2
    assert f"{tmp_path}/absent: no such file or directory\n" in ran.out
    assert "holds nothing" in ran.out
    assert agent("explain").status == 2


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        (
            "a.txt",
            "up to 1,024 KiB of it here; for base64 of such, 1,024 KiB; for other forms of keys too",
        ),
        ("a.py", "for base64 of such, 1,024 KiB; for other forms of keys not, by place and name"),
    ],
)
def test_text_says_what_it_is_searched_for(
    agent: AgentCommand, tmp_path: Path, name: str, searched: str
) -> None:
    (tmp_path / name).write_bytes(b"words " * 20)
    assert searched in agent("explain", tmp_path / name).out


def test_the_package_that_owns_a_name_is_named(agent: AgentCommand, tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/info/roots.list").write_text("/root.pem\n")
    for name in ("root.pem", "own.pem"):
        (tmp_path / name).write_bytes(Leaf("a.example").pem)
    assert "\n  package     roots (dpkg)\n" in agent("explain", "--root", tmp_path, "/root.pem").out
    assert "  package  " not in agent("explain", "--root", tmp_path, "/own.pem").out


def test_who_uses_and_who_renews_a_place_is_said(agent: AgentCommand, tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": "http {\nserver { listen 443 ssl; ssl_certificate /live/a.pem; }\n"
            + "server { listen 443; ssl_certificate /live/none.pem; }\n" * 11
            + "}",
            "/etc/letsencrypt/renewal/a.conf": "cert = /live/a.pem\n",
            "/live/a.pem": "-> ../archive/a1.pem",
            "/etc/odd.conf": "x = 1\ncert = /archive/a1.pem\n",
            "/archive/a1.pem": Leaf("a.example").pem.decode(),
        },
    )
    said = agent(
        "explain", "--root", tmp_path, "/live/a.pem", "/archive/a1.pem", "/live/none.pem"
    ).out
    used = "  used by     nginx as certificate, by /etc/nginx/nginx.conf line 2, on *:443 (tls)\n"
    assert said.count(used) == 1
    assert said.count("  renewed by  certbot as a, last on 2") == 2
    assert "OVERDUE: nothing starts it\n" in said
    assert "  used by     a service that is not known, mentioned in /etc/odd.conf line 2\n" in said
    assert "mentioned in /etc/letsencrypt" not in said
    assert "none.pem: no such file" in said
