"""Set up logging: a constant event name and fields, JSON to a pipe, readable to a terminal.

Used by every process of the agent, always to standard error. Values come from files, certificates
and the collector: all text is escaped, and fields whose name says secret are struck out, so that a
careless call can't leak.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TextIO

import structlog

from keycensus_agent.text import safe_path, safe_text

_SECRET_NAMES = frozenset({"token", "password", "secret", "key", "passphrase", "authorization"})
_SECRET_ENDINGS = ("_token", "_password", "_secret", "_passphrase", "private_key")
_REDACTED = "(redacted)"

# Values nested deeper than this are shown as their type: no caller needs more.
_DEPTH_LIMIT = 4
# Longer texts are cut: a log line is not a dump.
_TEXT_LIMIT = 4096

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def set_up_logs(log_format: str, level: str, *, stream: TextIO | None = None) -> None:
    """Configure structlog for this process.

    `log_format` is "json", "console", or "auto": console if `stream` (standard error unless given)
    is a terminal. `level` is "debug", "info", "warning" or "error".
    """
    output = sys.stderr if stream is None else stream
    readable = log_format == "console" or (log_format == "auto" and output.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if readable
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            make_safe,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )


def make_safe(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Structlog processor: strike out secrets, escape all other text."""
    for name, value in event.items():
        event[name] = _REDACTED if _is_secret(name) else _safe(value, _DEPTH_LIMIT)
    return event


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return lowered in _SECRET_NAMES or lowered.endswith(_SECRET_ENDINGS)


def _safe(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | bytes):
        shown = value[:_TEXT_LIMIT]
        text = safe_text(shown) if isinstance(shown, str) else safe_path(shown)
        return text if len(value) <= _TEXT_LIMIT else f"{text}… ({len(value)} in all)"
    if depth == 0:
        return f"({type(value).__name__})"
    if isinstance(value, Mapping):
        return {
            safe_text(str(name)): _REDACTED if _is_secret(str(name)) else _safe(inner, depth - 1)
            for name, inner in value.items()
        }
    if isinstance(value, Sequence | set | frozenset):
        return [_safe(inner, depth - 1) for inner in value]
    return _safe(str(value), depth)
