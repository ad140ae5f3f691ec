"""Options and argument types that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from keycensus_collector.config import DEFAULT_FILE

_Function = TypeVar("_Function", bound=Callable[..., Any])

_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])\Z")


class Duration(click.ParamType[int]):
    """A time such as 30m, 1h or 7d, as milliseconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return milliseconds."""
        match = _DURATION.match(str(value))
        if match is None:
            self.fail(f"{value!r} is no duration; write 90s, 30m, 1h, 7d or 2w", param, ctx)
        return int(match[1]) * _UNIT_MS[match[2]]


class Label(click.ParamType[tuple[str, str]]):
    """A label KEY=VALUE."""

    name = "label"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return key and value."""
        key, separator, text = str(value).partition("=")
        if not separator or not re.fullmatch(r"[a-z0-9][a-z0-9._/-]{0,62}", key):
            self.fail(f"{value!r} is no label; write KEY=VALUE, the key in lower case", param, ctx)
        if len(text) > 200 or not text.isprintable():
            self.fail("a label's value has at most 200 printable characters", param, ctx)
        return key, text


def config_option(function: _Function) -> _Function:
    """Add `--config FILE`."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        default=DEFAULT_FILE,
        show_default=True,
        metavar="FILE",
        help="Configuration file.",
    )(function)


def output_option(function: _Function) -> _Function:
    """Add `-o table|json`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print.",
    )(function)
