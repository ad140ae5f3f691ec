"""The state survives what happens to files, and says so when it can't."""

from __future__ import annotations

import random
import sqlite3
import stat
from pathlib import Path

import pytest

from keycensus_agent.errors import StateBusyError, StateNewerError, StorageError
from keycensus_agent.reader.state import State
from keycensus_agent.reader.state_content import APPLICATION_ID
from keycensus_agent.reader.state_file import CORRUPT_KEPT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def filled(path: Path) -> Path:
    state = State.open(path)
    with state.transaction() as connection:
        state.put("note", b"here")
        connection.executemany(
            "INSERT INTO directory VALUES (?, ?, ?, 200)",
            [(f"d{number}".encode(), b"m" * 16, bytes(200)) for number in range(500)],
        )
    state.close()
    return path


def test_a_new_state_has_an_instance_and_is_private(path: Path) -> None:
    state = State.open(path)
    assert len(state.instance) == 16
    assert not state.complete
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    state.close()


def test_what_was_committed_is_there_after_opening_again(filled: Path) -> None:
    state = State.open(filled)
    assert state.get("note") == b"here"
    assert state.quarantined is None
    state.close()


def test_a_failed_transaction_leaves_nothing(path: Path) -> None:
    state = State.open(path)

    def half() -> None:
        with state.transaction():
            state.put("note", b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert state.get("note") == b""
    state.close()


def test_a_second_agent_is_told_who_holds_the_state(path: Path) -> None:
    state = State.open(path)
    with pytest.raises(StateBusyError, match=r"pid \d+"):
        State.open(path)
    state.close()
    State.open(path).close()


def test_a_state_of_a_newer_agent_is_left_alone(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("PRAGMA user_version = 99")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID | 99}")
    connection.commit()
    connection.close()
    before = filled.read_bytes()
    with pytest.raises(StateNewerError, match="newer agent"):
        State.open(filled)
    assert filled.read_bytes() == before


def test_a_flipped_version_is_damage_and_no_newer_agents(filled: Path) -> None:
    connection = sqlite3.connect(filled)
    connection.execute("PRAGMA user_version = 257")
    connection.commit()
    connection.close()
    state = State.open(filled)
    assert state.quarantined is not None
    state.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = x'00' WHERE name = 'instance'",
        "UPDATE meta SET value = 'text' WHERE name = 'note'",
        "INSERT INTO meta VALUES ('acknowledged_sequence', x'3158')",
        "INSERT INTO meta VALUES ('counters', x'7b')",
        "INSERT INTO meta VALUES ('roots', x'5b2221225d')",
        "INSERT INTO gap VALUES (x'00', x'00', x'00')",
        "INSERT INTO blob VALUES (x'00', 2, x'00')",
        "INSERT INTO blob VALUES (x'00', 77, x'00')",
        "INSERT INTO batch VALUES (1, x'00')",
        "INSERT INTO outbox VALUES (1, 1, x'00', x'00', 'content', 1, 0, '', NULL, NULL)",
        "INSERT INTO acknowledged VALUES ('place', x'00', x'00')",
        "INSERT INTO place VALUES (x'2f61', x'00', x'2f', 0, x'00', 1, 1, x'', x'', x'', x'')",
    ],
)
def test_content_that_can_not_have_been_stored_is_damage(filled: Path, statement: str) -> None:
    connection = sqlite3.connect(filled)
    connection.execute(statement)
    connection.commit()
    connection.close()
    state = State.open(filled)
    assert state.quarantined is not None
    state.close()


@pytest.mark.parametrize("damage", ["zeros", "text", "truncated", "empty", "directory"])
def test_a_damaged_state_is_put_aside_and_replaced(filled: Path, damage: str) -> None:
    content = filled.read_bytes()
    filled.unlink()
    if damage == "directory":
        filled.mkdir()
    else:
        broken = {
            "zeros": bytes(len(content)),
            "text": b"not a database\n" * 1000,
            "truncated": content[: len(content) // 2],
            "empty": b"",
        }
        filled.write_bytes(broken[damage])
    state = State.open(filled)
    assert state.get("note") == b""
    # An empty file is what a crash at creation leaves: nothing is in it to be kept.
    assert (state.quarantined is None) == (damage == "empty")
    state.close()


def test_bytes_flipped_anywhere_never_keep_the_agent_from_starting(filled: Path) -> None:
    content = filled.read_bytes()
    for seed in range(60):
        chooser = random.Random(seed)  # noqa: S311 - damage, not secrets
        broken = bytearray(content)
        for _ in range(chooser.randrange(1, 40)):
            broken[chooser.randrange(len(broken))] = chooser.randrange(256)
        filled.write_bytes(broken)
        state = State.open(filled)
        assert len(state.instance) == 16
        state.close()
    assert len(list(filled.parent.glob("*.corrupt-*"))) <= CORRUPT_KEPT


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="state"):
        State.open(tmp_path / "file" / "state.db")


def test_a_new_instance_forgets_what_was_acknowledged_and_keeps_the_disk(path: Path) -> None:
    state = State.open(path)
    before = state.instance
    with state.transaction() as connection:
        connection.execute("INSERT INTO acknowledged VALUES (1, x'01', x'02')")
        connection.execute("INSERT INTO directory VALUES (x'61', x'62', x'63', 0)")
    state.new_instance()
    assert state.instance != before
    count = "SELECT (SELECT count(*) FROM acknowledged), (SELECT count(*) FROM directory)"
    assert state.connection.execute(count).fetchone() == (0, 1)
    state.close()


def test_a_copy_in_memory_changes_nothing_on_disk(filled: Path) -> None:
    copy = State.in_memory(filled)
    copy.put("note", b"changed")
    copy.close()
    state = State.open(filled)
    assert state.get("note") == b"here"
    state.close()
