"""What the running agent says of itself, in one small file for `keycensus-agent status`.

A file, not a socket: reading it can't disturb the agent, and after a crash it still tells what was.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "status.json"
SCHEMA_VERSION = 1


def write_status(directory: Path, status: dict[str, Any]) -> None:
    """Replace the file atomically. A full disk is no reason to stop: then the old one stays."""
    path = directory / FILE_NAME
    fresh = directory / f"{FILE_NAME}.new"
    try:
        descriptor = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"schema_version": SCHEMA_VERSION, **status}, file, indent=1, sort_keys=True)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)


def read_status(directory: Path) -> dict[str, Any] | None:
    """Return what was last written, None if there is nothing that can be read."""
    try:
        status = json.loads((directory / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None
