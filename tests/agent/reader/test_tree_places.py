"""Trust-store directories as one place: what is told, what is withdrawn, and when nothing is said."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from fakes.trust_store import STORE, Roots, install, write_store

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.model import Cause, Place, Role, RowClass
from keycensus_agent.reader.convert import place_of, tree_names
from keycensus_agent.reader.report.convert import Ack, Change, ItemResult
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a tree's files are root's")

LINKS = b"/etc/ssl/certs"
FILES = b"/" + STORE.encode()


class Host:
    """A Debian-like root with a trust store, and an agent whose outbox is acknowledged by hand."""

    def __init__(self, work: Path, roots: Roots) -> None:
        self.root = work / "root"
        self.roots = roots
        write_store(self.root, roots)
        self.config = Config(
            scan=ScanSettings(root=os.fsencode(self.root)),
            state=StateSettings(directory=work / "agent"),
        )
        self.state = State.open(self.config.state_database)
        self.service = ReaderService(self.config, self.state)

    def sweep(self) -> list[Change]:
        """Sweep, take every change as an acknowledging collector would, and return them."""
        assert self.service.sweep().complete
        if self.state.get_number("outbox_rebuild"):
            self.service.outbox.rebuild(0)
        changes: list[Change] = []
        while (pending := self.service.outbox.next_pending(0, batch_bytes=1 << 19)) is not None:
            changes += pending.changes
            self.acknowledge(pending.items, pending.changes)
        return changes

    def acknowledge(self, items: tuple[int, ...], changes: tuple[Change, ...]) -> None:
        connection = self.state.connection
        connection.executemany("DELETE FROM outbox WHERE item = ?", [(item,) for item in items])
        for change in changes:
            number = change.row_class.value
            connection.execute(
                "DELETE FROM acknowledged WHERE class = ? AND key = ?", (number, change.key)
            )
            if change.row is not None:
                connection.execute(
                    "INSERT INTO acknowledged SELECT ?1, ?2, row_hash FROM told WHERE key = ?2",
                    (number, change.key),
                )

    def refuse(self, key: bytes) -> None:
        """Refuse a row for a blob that could not be supplied."""
        self.service.outbox.requeue(RowClass.PLACE, [key], 0)
        pending = self.service.outbox.next_pending(0, batch_bytes=1 << 19)
        assert pending is not None
        self.service.outbox.fix_batch(pending, {}, complete=False)
        sequence = self.service.outbox.last_sequence()
        results = tuple(
            ItemResult(index, "refused", "missing-blob")
            for index, change in enumerate(pending.changes)
            if change.key == key
        )
        self.service.outbox.apply_ack(Ack(sequence, results), complete=False)

    def told(self) -> dict[bytes, Place]:
        rows = self.state.connection.execute("SELECT row FROM told").fetchall()
        return {place.path: place for (row,) in rows for place in (place_of(row),)}

    def names(self, directory: bytes) -> set[bytes]:
        manifest = self.told()[directory].manifest
        (data,) = self.state.connection.execute(
            "SELECT data FROM blob WHERE hash = ?", (manifest,)
        ).fetchone()
        return {name for name, _ in tree_names(data)}


@pytest.fixture(scope="module")
def roots() -> Roots:
    return Roots.make(20)


@pytest.fixture
def host(tmp_path: Path, roots: Roots) -> Iterator[Host]:
    host = Host(tmp_path, roots)
    yield host
    host.state.close()


def by_path(changes: list[Change]) -> dict[bytes, Change]:
    return {place_of(change.row).path: change for change in changes if change.row is not None}


def gone(changes: list[Change]) -> list[str]:
    return [change.gone_reason for change in changes if change.row is None]


def test_a_trust_store_is_two_rows_and_what_is_not_the_packages_stays_apart(host: Host) -> None:
    corporate = Leaf("Corporate Root", authority=True)
    (host.root / "usr/local/share/ca-certificates").mkdir(parents=True)
    (host.root / "usr/local/share/ca-certificates/corp.crt").write_bytes(corporate.pem)
    (host.root / "etc/ssl/certs/corp.pem").symlink_to("/usr/local/share/ca-certificates/corp.crt")
    (host.root / "etc/ssl/certs/ssl-cert-snakeoil.pem").write_bytes(Leaf("snakeoil").pem)
    changes = host.sweep()
    assert set(by_path(changes)) == {
        LINKS,
        FILES,
        b"/etc/ssl/certs/corp.pem",
        b"/etc/ssl/certs/ssl-cert-snakeoil.pem",
        b"/etc/ssl/certs/ca-certificates.crt",
        b"/usr/local/share/ca-certificates/corp.crt",
    }
    assert {change.cause for change in changes} == {Cause.FIRST}
    assert gone(changes) == []
    assert len(host.names(LINKS)) == 40
    assert len(host.names(FILES)) == 20
    tree = host.told()[LINKS]
    assert (tree.format, tree.role, tree.status) == ("tree", Role.TRUST_STORE, "read")
    assert tree.facts.mode == 0o644
    assert tree.package is not None
    assert tree.package.name == "ca-certificates"
    assert (host.sweep(), host.sweep()) == ([], [])


def test_a_name_of_its_own_making_leaves_the_tree_and_comes_back(host: Host) -> None:
    host.sweep()
    file = host.root / STORE / host.roots.names[0]
    file.chmod(0o666)
    changes = host.sweep()
    path = FILES + b"/" + file.name.encode()
    # The file, and the two links that lead to it.
    assert len(by_path(changes)) == 2 + 3
    assert by_path(changes)[path].cause == Cause.FACTS
    assert by_path(changes)[FILES].cause == Cause.COVERAGE
    assert gone(changes) == []
    assert len(host.names(LINKS)) == 38
    file.chmod(0o644)
    changes = host.sweep()
    assert gone(changes) == ["in-tree"] * 3
    assert {change.cause for change in changes} == {Cause.COVERAGE}
    assert len(host.told()) == 3
    assert host.sweep() == []


def test_another_root_in_the_package_is_one_row_of_news_a_directory(host: Host) -> None:
    host.sweep()
    write_store(host.root, host.roots.renewed(host.roots.names[1]))
    changes = host.sweep()
    assert {path: change.cause for path, change in by_path(changes).items()} == {
        LINKS: Cause.CONTENT,
        FILES: Cause.CONTENT,
        b"/etc/ssl/certs/ca-certificates.crt": Cause.CONTENT,
    }
    assert gone(changes) == []


def test_a_new_version_of_the_package_is_one_row_of_facts_a_directory(host: Host) -> None:
    host.sweep()
    write_store(host.root, host.roots, version="2")
    changes = host.sweep()
    assert {path: change.cause for path, change in by_path(changes).items()} == {
        LINKS: Cause.FACTS,
        FILES: Cause.FACTS,
    }


def test_a_tree_that_falls_below_its_least_is_told_name_by_name(host: Host) -> None:
    host.sweep()
    for name in host.roots.names[:6]:
        (host.root / STORE / name).unlink()
    changes = host.sweep()
    assert sorted(gone(changes)) == ["no-tree"]
    assert sum(path.startswith(FILES + b"/") for path in by_path(changes)) == 14
    assert FILES not in host.told()
    assert len(host.names(LINKS)) == 28


def test_a_removed_trust_store_is_gone(host: Host) -> None:
    host.sweep()
    for directory in ("etc/ssl/certs", STORE):
        for entry in (host.root / directory).iterdir():
            entry.unlink()
    changes = host.sweep()
    assert {change.cause for change in changes} == {Cause.CONTENT}
    assert sorted(gone(changes)) == ["no-tree", "no-tree", "removed"]
    assert host.told() == {}


def test_names_that_were_told_before_are_withdrawn_when_a_package_owns_them(host: Host) -> None:
    lists = host.root / "var/lib/dpkg/info/ca-certificates.list"
    owned = lists.read_bytes()
    install(lists, b"/.\n")
    assert len(by_path(host.sweep())) == 61
    install(lists, owned)
    changes = host.sweep()
    assert gone(changes) == ["in-tree"] * 60
    assert set(by_path(changes)) == {LINKS, FILES}
    assert {change.cause for change in changes} == {Cause.COVERAGE}


def test_a_sweep_that_was_stopped_leaves_trees_to_the_next(host: Host) -> None:
    host.sweep()
    write_store(host.root, host.roots.renewed(host.roots.names[2]))
    looks = iter(range(10**9))
    host.service.should_stop = lambda: next(looks) > 12
    assert not host.service.sweep().complete
    host.service.should_stop = lambda: False
    changes = host.sweep()
    assert {LINKS, FILES} <= set(by_path(changes))
    assert host.sweep() == []


def test_a_state_with_trees_is_believed_after_a_crash(host: Host) -> None:
    host.sweep()
    host.state.connection.close()
    os.close(host.state._lock or -1)
    host.state = State.open(host.config.state_database)
    assert host.state.suspicious
    assert host.state.quarantined is None
    host.service = ReaderService(host.config, host.state)
    assert host.sweep() == []


def test_a_tree_under_another_directory_is_damage(host: Host) -> None:
    host.sweep()
    host.state.connection.execute(
        "UPDATE place SET tree = (SELECT key FROM tree WHERE path = ?) WHERE tree != x''", (LINKS,)
    )
    host.state.connection.close()
    os.close(host.state._lock or -1)
    host.state = State.open(host.config.state_database)
    assert host.state.quarantined is not None


def test_what_the_collector_lost_of_a_tree_is_read_and_offered_again(host: Host) -> None:
    """A blob that is gone here: the tree is refused, its files are read again, it is told again."""
    host.sweep()
    connection = host.state.connection
    (lost,) = connection.execute("SELECT manifest FROM place WHERE tree != x'' LIMIT 1").fetchone()
    connection.execute("DELETE FROM blob WHERE hash = ?", (lost,))
    (key,) = connection.execute("SELECT key FROM tree WHERE path = ?", (LINKS,)).fetchone()
    host.refuse(key)
    changes = host.sweep()
    assert set(by_path(changes)) == {LINKS}
    assert connection.execute("SELECT 1 FROM blob WHERE hash = ?", (lost,)).fetchone()
