"""Containers and pod volumes as scopes: real overlays and tmpfs in a mount namespace, replaced and removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from keycensus_agent.model import Scope
from keycensus_agent.reader.discovery.overlays import layers
from keycensus_agent.reader.scopes import Scopes, Within

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts are root's")

WEB, DB = "container web (nginx:1.25)", "container db (docker.io/library/postgres:16)"
SHOP, VOLUME = "container shop/web/app (registry.example/shop:2)", "pod-volume shop/web/tls"
SECRET = "/..2026_11_26_10_00_00.1/tls.crt"
IMAGE = {
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/share/ca-certificates/mozilla",
    "/opt/tls/1/app.pem",
    "/opt/tls/current",
}
STEPS = ("first", "again", "replaced", "removed", "two of a name")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what the agent told, step by step (fakes/container_host.py)."""
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", sys.executable),
            *("-m", "fakes.container_host", tmp_path_factory.mktemp("host")),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    steps: dict[str, Any] = json.loads(done.stdout)
    assert tuple(steps) == STEPS
    return steps


def told(story: dict[str, Any], step: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for place in story[step]["told"]:
        found.setdefault(place["scope"], set()).add(place["path"])
    return found


@needs_root
def test_each_container_and_volume_is_told_once_by_its_own_paths(story: dict[str, Any]) -> None:
    assert told(story, "first") == {
        WEB: {*IMAGE, "/etc/nginx/own.pem"},
        DB: {*IMAGE, "/etc/db.pem"},
        SHOP: {*IMAGE, "/srv/shop.pem"},
        VOLUME: {SECRET, "/tls.crt"},
        # The layers of what runs are not walked besides; that of a stopped container is the host's.
        "host": {
            "/opt/tls/1/app.pem",
            "/var/lib/docker/overlay2/layer-d9/diff/etc/nginx/own.pem",
        },
    }
    assert story["first"]["gaps"] == []
    assert story["again"]["changes"] == []


@needs_root
def test_a_scope_has_its_own_links_users_and_packages(story: dict[str, Any]) -> None:
    web = {place["path"]: place for place in story["first"]["told"] if place["scope"] == WEB}
    assert web["/opt/tls/current"]["target"] == "/opt/tls/1/app.pem"
    assert web["/opt/tls/1/app.pem"]["owner"] == "app"
    tree = web["/etc/ssl/certs"]
    assert (tree["format"], tree["package"]) == ("tree", "ca-certificates")
    assert {place["instance"] for place in web.values()} == {"d1"}


@needs_root
def test_a_replaced_container_or_pod_has_the_history_of_the_one_before(
    story: dict[str, Any],
) -> None:
    changes = story["replaced"]["changes"]
    assert [change for change in changes if "gone" in change] == []
    causes = {
        scope: {change["cause"] for change in changes if change["scope"] == scope}
        for scope in {change["scope"] for change in changes}
    }
    # The secret was renewed meanwhile; of the container the instance is another, and nothing else.
    assert causes == {WEB: {"facts"}, VOLUME: {"facts", "content"}}
    instances = {change["scope"]: change["instance"] for change in changes}
    assert instances == {WEB: "d2", VOLUME: "u2"}
    assert told(story, "replaced") == told(story, "first")


@needs_root
def test_a_removed_container_is_gone_without_a_gap(story: dict[str, Any]) -> None:
    assert WEB not in told(story, "removed")
    assert Counter(change.get("gone") for change in story["removed"]["changes"]) == {
        "removed": 4,
        "no-tree": 2,
    }
    assert story["removed"]["gaps"] == []


@needs_root
def test_two_containers_of_one_name_are_kept_apart(story: dict[str, Any]) -> None:
    paths = told(story, "two of a name")
    assert paths[WEB] == paths[f"{WEB} #2"] == {*IMAGE, "/etc/nginx/own.pem"}


def test_the_innermost_scope_of_a_path_counts() -> None:
    outer, inner = Scope("container", b"outer"), Scope("container", b"inner")
    scopes = Scopes({b"/run/outer": outer, b"/run/outer/var/inner": inner})
    assert scopes.at(b"/run/outer/etc/a.pem") == Within(b"/run/outer", outer)
    assert scopes.at(b"/run/outer/var/inner/a.pem") == Within(b"/run/outer/var/inner", inner)
    assert scopes.at(b"/run/outer") is None
    assert scopes.at(b"/run/outermost/a.pem") is None
    assert scopes.of_directory(b"/run/outer") == Within(b"/run/outer", outer)
    assert Scopes().at(b"/etc/a.pem") is None


def test_layers_are_those_of_the_overlays_asked_for() -> None:
    text = (
        b"1 0 0:1 / / rw - ext4 /dev/sda rw\n"
        b"2 1 0:2 / /d/id/merged rw - overlay overlay rw,lowerdir=l/A:l/B,upperdir=/d/id/diff,workdir=/d/id/work\n"
        b"3 1 0:3 / /d/other/merged rw - overlay overlay rw,lowerdir=/x,upperdir=/y,workdir=/z\n"
        b"4 1 0:4 / /d/new/merged rw - overlay overlay rw,lowerdir+=/a\\134:b,lowerdir+=/c\\040d\n"
        b"5 1 0:5 / /d/tmp/merged rw - tmpfs tmpfs rw,lowerdir=/x\n"
        b"no line\n"
    )
    merged = frozenset({b"/d/id/merged", b"/d/new/merged", b"/d/tmp/merged"})
    assert list(layers(text, merged)) == [
        (b"/d/id/merged", b"/d/l/A"),
        (b"/d/id/merged", b"/d/l/B"),
        (b"/d/id/merged", b"/d/id/diff"),
        (b"/d/new/merged", b"/a:b"),
        (b"/d/new/merged", b"/c d"),
    ]
