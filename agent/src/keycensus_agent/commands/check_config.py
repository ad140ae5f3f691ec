"""`keycensus-agent check-config`: the effective configuration, or all mistakes at once.

Reads the configuration and nothing else; what it prints is TOML that means the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import unicodedata
from pathlib import Path

from keycensus_agent.config import Config, load_config
from keycensus_agent.text import safe_path

_SECTIONS = ("scan", "state", "collector", "link", "sweep", "context", "log")


def run(arguments: argparse.Namespace) -> int:
    """Print the effective configuration; returns 0.

    Arguments: `config` and `state_dir` as in every command. ConfigurationError (exit status 2) with
    every mistake, a line each.
    """
    config = load_config(
        Path(arguments.config) if arguments.config else None,
        state_directory=Path(arguments.state_dir) if arguments.state_dir else None,
    )
    print(describe(config))
    return 0


def describe(config: Config) -> str:
    """Return the effective configuration as TOML, with the files it came from as comments."""
    files = [safe_path(os.fsencode(file)) for file in config.files]
    lines = [f"# from {name}" for name in files] or ["# no configuration file: these are defaults"]
    for section in _SECTIONS:
        lines += ["", f"[{section}]"]
        settings = getattr(config, section)
        lines += [
            f"{field.name} = {_toml(field.name, getattr(settings, field.name))}"
            for field in dataclasses.fields(settings)
        ]
    lines += ["", "[labels]"]
    lines += [f"{_string(name)} = {_string(value)}" for name, value in config.labels.items()]
    return "\n".join(lines)


def _toml(name: str, value: object) -> str:
    if name == "proxy":
        return _string(_without_password(str(value)))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_string(os.fsdecode(each)) for each in value)}]"
    if isinstance(value, bytes | Path):
        return _string(os.fsdecode(value))
    return _string("" if value is None else str(value))


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}(hidden)@{host}" if at and credentials else url


def _string(text: str) -> str:
    """Return a TOML basic string in which nothing moves the cursor or hides."""
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if unicodedata.category(character)[0] not in {"C", "Z"} or character == " ":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
