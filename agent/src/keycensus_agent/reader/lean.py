"""Structlog without what only its asynchronous and its coloured forms need: 5 MiB of an idle reader.

The reader has one thread of work and writes plain lines. `asyncio` brings `ssl` along, for a process
that has no network; `rich` is there only where something else wants it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast


def import_structlog() -> None:
    """Import structlog as above, unless this process has it or asyncio already.

    Its asynchronous methods (`ainfo` and the like) then fail; nothing in the reader calls them.
    """
    if "structlog" in sys.modules or "asyncio" in sys.modules:
        return
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules["asyncio"] = ModuleType("asyncio")
    modules.setdefault("rich", None)  # as if it were not installed
    try:
        import structlog  # noqa: F401 - for those who import it after
    finally:
        del modules["asyncio"]
        if modules["rich"] is None:
            del modules["rich"]
