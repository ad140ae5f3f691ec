"""A container's place as the agent encodes it and as the collector reads it."""

from __future__ import annotations

from dataclasses import replace

from keycensus_agent.model import FileFacts, Place, Scope, Status, key_of
from keycensus_agent.reader.convert import encode_place, place_at
from keycensus_collector.intake import convert, rows

PREFIX = b"/var/lib/docker/overlay2/abc/merged"
PLACE = Place(
    path=PREFIX + b"/etc/tls/\xff.pem",
    status=Status.READ,
    facts=FileFacts(0, 0, 0o640, 0, 0, 9, 8, 0, 1),
    scope=Scope("container", b"web (nginx:1.25)", "d1"),
    prefix=PREFIX,
    manifest=b"m" * 32,
    target=PREFIX + b"/opt/tls.pem",
)


def test_the_collector_reads_path_and_target_in_the_scope() -> None:
    scope, fields = convert.decode_place(encode_place(PLACE))
    assert scope == ("container", b"web (nginx:1.25)")
    assert (fields[0], fields[10]) == (b"/etc/tls/\xff.pem", b"/opt/tls.pem")
    assert rows.place_key(*scope, fields[0]) == key_of(PLACE)


def test_the_host_has_its_own_paths_of_it() -> None:
    assert place_at(PLACE.path, encode_place(PLACE)) == PLACE
    moved = replace(PLACE, prefix=b"/run/c1/rootfs", path=b"/run/c1/rootfs/etc/tls/\xff.pem")
    moved = replace(moved, target=b"/run/c1/rootfs/opt/tls.pem")
    assert key_of(moved) == key_of(PLACE)
    assert encode_place(moved) == encode_place(PLACE)


def test_another_instance_is_another_row_under_the_same_key() -> None:
    other = replace(PLACE, scope=Scope("container", b"web (nginx:1.25)", "d2"))
    assert key_of(other) == key_of(PLACE)
    assert encode_place(other) != encode_place(PLACE)
