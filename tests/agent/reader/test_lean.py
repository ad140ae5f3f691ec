from __future__ import annotations

import subprocess
import sys

ALL_OF_THE_READER = """
import sys
from keycensus_agent.reader.lean import import_structlog
import_structlog()
import keycensus_agent.commands.run, keycensus_agent.reader.daemon, keycensus_agent.reader.state
from keycensus_agent.logs import set_up_logs
import structlog
set_up_logs("json", "info", stream=sys.stdout)
structlog.get_logger().info("said", path=b"/a")
print(sorted({"asyncio", "ssl", "rich"} & set(sys.modules)))
import asyncio
print(asyncio.run(asyncio.sleep(0, "whole")))
"""


def test_a_reader_has_no_asyncio_and_can_still_have_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ALL_OF_THE_READER], capture_output=True, text=True, check=True
    )
    said, absent, whole = ran.stdout.splitlines()
    assert '"event": "said"' in said
    assert '"path": "/a"' in said
    assert (absent, whole) == ("[]", "whole")
