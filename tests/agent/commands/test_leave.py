from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from keycensus_agent.commands import leave
from keycensus_agent.errors import StorageError


def arguments(directory: Path, *, purge: bool = False) -> argparse.Namespace:
    return argparse.Namespace(
        config=None, state_dir=str(directory), force=False, purge=purge, reason=""
    )


def test_leaving_without_identity_ends_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave.run(arguments(tmp_path)) == 0
    assert "not enrolled" in capsys.readouterr().out


def test_purge_removes_the_state_too_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    assert leave.run(arguments(tmp_path)) == 0
    assert (tmp_path / "state").exists()
    assert leave.run(arguments(tmp_path, purge=True)) == 0
    assert not (tmp_path / "state").exists()
    assert (tmp_path / "other").exists()
    assert leave.run(arguments(tmp_path, purge=True)) == 0
    assert "there was no state" in capsys.readouterr().out


def test_a_state_that_cannot_be_removed_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(StorageError, match="remove it by hand"):
        leave.run(arguments(tmp_path, purge=True))
