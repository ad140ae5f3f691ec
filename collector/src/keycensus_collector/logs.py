"""Where the collector's log goes: JSON to a pipe or the journal, readable to a terminal.

Events have constant names and data as fields. Secrets are never fields; text from outside is
escaped, so that a host name can't forge a line or move a cursor.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping

import structlog

from keycensus_collector.text import safe_text

# Libraries that log through the standard library; their chatter below this is not ours to show.
_LIBRARY_LEVEL = logging.WARNING


def set_up(level: str, form: str) -> None:
    """Send log lines of at least `level` to standard error as "json", "console" or "auto"."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _escape,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[handler], level=max(number, _LIBRARY_LEVEL), force=True)


def _escape(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = safe_text(value)
    return event
