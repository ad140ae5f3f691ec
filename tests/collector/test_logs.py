from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import logging, sys, structlog
from keycensus_collector import logs
logs.set_up(sys.argv[1], sys.argv[2])
log = structlog.get_logger()
log.debug("quiet")
log.info("host.named", name="a\\x1b[31m\\n{forged}")
logging.getLogger("library").warning("from a library")
logging.getLogger("library").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def lines(level: str, form: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", CODE, level, form], capture_output=True, text=True, check=True
    )
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_a_pipe_gets_one_json_object_a_line_with_escaped_text() -> None:
    named, library, failed = map(json.loads, lines("info", "auto"))
    assert named["event"] == "host.named"
    assert named["name"] == "a\\x1b[31m\\x0a{forged}"
    assert named["level"] == "info"
    assert named["timestamp"].endswith("Z")
    assert library["event"] == "from a library"
    assert "ZeroDivisionError" in failed["exception"]


def test_the_level_is_kept_to() -> None:
    assert len(lines("error", "json")) == 1
    assert len(lines("debug", "json")) == 4


def test_the_console_form_is_for_reading() -> None:
    assert "host.named" in lines("info", "console")[0]
    assert not lines("info", "console")[0].startswith("{")
