from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from keycensus_agent.commands import check_config
from keycensus_agent.errors import ConfigurationError


def test_the_effective_configuration_is_printed_with_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[collector]\nproxy = "http://user:hunter2@proxy:3128"\n')
    arguments = argparse.Namespace(config=str(path), state_dir=str(tmp_path))
    assert check_config.run(arguments) == 0
    shown = capsys.readouterr().out
    assert f"# from {path}" in shown
    assert f'directory = "{tmp_path}"' in shown
    assert 'proxy = "http://(hidden)@proxy:3128"' in shown


def test_mistakes_end_with_status_two(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[log]\nlevel = 1\n[scan]\nroots = 1\n")
    with pytest.raises(ConfigurationError, match="2 mistakes") as caught:
        check_config.run(argparse.Namespace(config=str(path), state_dir=None))
    assert caught.value.exit_status == 2
