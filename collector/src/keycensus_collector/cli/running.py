"""What every command needs to reach the deployment: configuration, clock, and files for secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keycensus_collector.errors import UsageError


def call(config_file: Path, operation: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Run an operation through the running server, or here if none runs; return its JSON value."""
    from keycensus_collector import admin
    from keycensus_collector.clock import SystemClock
    from keycensus_collector.config import load

    return admin.call(load(config_file), SystemClock(), operation, arguments)


def write_secret(file: Path, text: str) -> None:
    """Write one secret as a line to `file`, mode 0600; UsageError if it can't be written."""
    from keycensus_collector.files import write_private

    try:
        write_private(file.absolute(), text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}") from error
