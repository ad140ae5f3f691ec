"""A sample server as a machine of its own, and what listens there."""

from __future__ import annotations

import socket
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from demo.issuing import certificate_pem, ec_key, key_pem, make_authority
from demo.machine import can_be_machines, inside, serving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/only-there").write_text("yes")
    return tmp_path


def test_a_machine_has_its_own_name_and_etc_and_the_rest_of_this_one(root: Path) -> None:
    assert can_be_machines(root)
    command = ["sh", "-c", 'hostname; ls /etc; test -e "$1" && echo here', "sh", __file__]
    done = subprocess.run(
        inside("web.example.com", root, command), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["web.example.com", "only-there", "here"]
    assert socket.gethostname() != "web.example.com"


def test_where_there_are_none_the_demo_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_be_machines(root / "nowhere")
    monkeypatch.setenv("PATH", str(root))
    assert not can_be_machines(root)


def test_a_server_goes_on_with_what_it_loaded(tmp_path: Path) -> None:
    now, key = datetime.now(UTC), ec_key()
    authority = make_authority("Example", now)
    end = authority.root.certificate.not_valid_after_utc
    leaf = authority.issue(["localhost"], key, not_before=now, not_after=end)
    chain, key_file = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate_pem(leaf))
    key_file.write_bytes(key_pem(key))
    with serving(chain, key_file) as port:
        chain.write_bytes(b"renewed")
        assert ssl.get_server_certificate(("127.0.0.1", port)).encode() == certificate_pem(leaf)
