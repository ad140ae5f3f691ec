"""certbot: one file per lineage in /etc/letsencrypt/renewal, links in live, every version in archive.

Source: certbot's documentation ("Where are my certificates?", "Modifying the renewal configuration"), storage.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_of
from keycensus_agent.context.sources import decimal

_DIRECTORY = "/etc/letsencrypt"
_COMMAND = re.compile(r"\bcertbot(?:-auto)?\b.*\brenew\b")
_SETTING = re.compile(r"^[ \t]*([\w-]{1,100})[ \t]*=(.*)$", re.MULTILINE)
_FILES = ("cert", "fullchain", "privkey", "chain")
_WINDOW = re.compile(r"(\d{1,4}) +(day|week|month)s?\Z")
_DAYS = {"day": 1, "week": 7, "month": 30}


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each lineage that certbot has a renewal configuration of."""
    schedule = ""
    for number, record in enumerate(_records(asked)):
        schedule = asked.schedules.of(_COMMAND) if number == 0 else schedule
        settings = _settings(asked, record)
        paths = [settings.get(name, "") for name in _FILES]
        if not any(path.startswith("/") for path in paths):
            asked.sources.note(record, 0, "names no files")
            continue
        leaf = paths[0] or paths[1]
        yield asked.renewer(
            "certbot",
            record.rpartition("/")[2].removesuffix(".conf"),
            record=record,
            paths=[path for path in paths if path.startswith("/")],
            schedule=schedule,
            last_success_ms=asked.written_ms(leaf),
            reason=_reason(asked, leaf, settings),
        )


def _settings(asked: Asked, path: str) -> dict[str, str]:
    found = _SETTING.findall(asked.sources.text(path) or "")
    return {name: value.strip() for name, value in found}


def _records(asked: Asked) -> Iterator[str]:
    settings = _settings(asked, f"{_DIRECTORY}/cli.ini")
    directories = dict.fromkeys([_DIRECTORY, settings.get("config-dir", _DIRECTORY)])
    for directory in directories:
        for name in asked.sources.names(f"{directory}/renewal"):
            if name.endswith(".conf"):
                yield f"{directory}/renewal/{name}"


def _reason(asked: Asked, leaf: str, settings: dict[str, str]) -> str:
    if settings.get("autorenew", "").lower() in ("false", "off", "no", "0"):
        return "switched-off"
    window = _WINDOW.match(settings.get("renew_before_expiry", ""))
    days = decimal(window[1]) * _DAYS[window[2]] if window else 0
    return asked.past_due(validity_of(asked.sources, leaf), days)
