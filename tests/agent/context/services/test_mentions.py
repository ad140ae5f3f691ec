from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.configured_root import NOW_MS, said, write
from fakes.package_root import LOCAL

from keycensus_agent.context.gather import gather
from keycensus_agent.context.services import mentions
from keycensus_agent.reader.discovery.links import Resolver

PLACES = (b"/etc/odd/a.pem", b"/srv/b.key", b"/srv/caf\xe9.pem", b"/x.pem")


def mentioned(root: Path, *places: bytes) -> list[str]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        context = gather(Resolver(descriptor, LOCAL), NOW_MS, places=frozenset(places))
    finally:
        os.close(descriptor)
    return [said(one) for one in context.bindings if one.service == "unknown"]


def test_a_known_place_is_found_in_any_text_below_etc(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/odd/odd.conf": "# cert=/srv/b.key\nx\ncert=/etc/odd/a.pem, '/srv/b.key'.\nagain /etc/odd/a.pem\n",
            "/etc/odd/deep/er/x.json": '{"k": "/srv/caf\udce9.pem"}',
            "/etc/odd/longer": "/etc/odd/a.pem.bak /srv/b.keys /x.pem",
            "/etc/odd/a.pem": "/srv/b.key",
            "/etc/odd/binary": "\0/srv/b.key",
            "/etc/odd/link": "-> /srv/text",
            "/srv/text": "/srv/b.key",
            "/etc/ssl/openssl.cnf": "/srv/b.key",
            "/etc/nginx/nginx.conf": "http { ssl_certificate /srv/b.key; }",
        },
    )
    assert mentioned(tmp_path, *PLACES) == [
        "/etc/odd/odd.conf:3 mention /etc/odd/a.pem",
        "/etc/odd/odd.conf:3 mention /srv/b.key",
        "/etc/odd/deep/er/x.json:1 mention /srv/caf\\xe9.pem",
    ]
    assert mentioned(tmp_path) == []


def test_the_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"/etc/{name}/{name}": "/srv/b.key" for name in "abc"})
    monkeypatch.setattr(mentions, "_BYTES_LIMIT", 5)
    assert len(mentioned(tmp_path, *PLACES)) == 1
