"""The demo's past: files that come back to what they are, and a collector whose clock alone is behind."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from demo.earlier import DAY_MS
from demo.history import by_clock_behind, set_back
from demo.issuing import make_authority
from demo.sample_hosts import build_sample_hosts

NOW = datetime.now(UTC).replace(microsecond=0)


def files(directory: Path) -> dict[Path, tuple[bytes, int, int]]:
    return {
        path: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_sample_servers_were_otherwise_and_come_to_what_they_are_today(tmp_path: Path) -> None:
    authority = make_authority("Example", NOW)
    hosts = build_sample_hosts(tmp_path / "hosts", authority, NOW)
    today = files(tmp_path / "hosts")
    go_on = set_back(hosts, authority, NOW)
    before = files(tmp_path / "hosts")
    data, old = hosts["db-1"] / "var/lib/postgresql/15/main", hosts["old-1"]
    changed = {path for path in today.keys() | before.keys() if today.get(path) != before.get(path)}
    assert changed == {
        data / "server.crt",
        data / "server.key",
        old / "etc/nginx/tls/wildcard.pem",
        old / "etc/nginx/tls/wildcard.key",
        old / "etc/openvpn/server.crt",
        old / "etc/openvpn/server.key",
    }
    assert before[data / "server.key"][0] == today[data / "server.key"][0]  # it is the same key
    go_on()
    assert files(tmp_path / "hosts") == today


def test_a_collector_by_a_clock_that_is_behind_writes_its_days(tmp_path: Path) -> None:
    words = ["keycensus-collector", "init", "--config", str(tmp_path / "collector.toml")]
    words += ["--state-dir", str(tmp_path / "state"), "--admin-token-file", str(tmp_path / "token")]
    subprocess.run(by_clock_behind(12)(words), check=True, capture_output=True, timeout=60)
    with sqlite3.connect(tmp_path / "state" / "keycensus.db") as database:
        written = [row[0] for row in database.execute("select at_ms from audit")]
    days = [(time.time() * 1000 - at_ms) / DAY_MS for at_ms in written]
    assert days
    assert all(12 <= each < 12.01 for each in days)
