"""The table of configuration keys: for each, the check that turns TOML into a value.

Pure. A check raises ValueError with what would be right; config.py adds the file and the key.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from keycensus_agent.address import ENROLMENT_PORT, REPORT_PORT, parse_address
from keycensus_agent.text import safe_text

Value = bool | int | float | str | bytes | tuple[bytes, ...] | Path | None
Check = Callable[[object], Value]

# What a label may be: it becomes a word of the query language and a column of an export.
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}\Z")
_LABEL_VALUE_LIMIT = 256
_LABEL_COUNT_LIMIT = 64
_SHOWN_LIMIT = 60


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known word, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"known are: {', '.join(names)}"


def check_labels(table: Mapping[str, object]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return (labels that are right, (key, text) of those that are not)."""
    accepted: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for key, value in table.items():
        if not _LABEL_KEY.match(key):
            text = "a label is 1 to 63 letters, digits, dots, dashes, slashes or underscores"
            problems.append((key, text))
        elif not isinstance(value, str) or not 0 < len(value) <= _LABEL_VALUE_LIMIT:
            text = f"must be a text of 1 to {_LABEL_VALUE_LIMIT} characters; it is {_show(value)}"
            problems.append((key, text))
        else:
            accepted[key] = value
    if len(table) > _LABEL_COUNT_LIMIT:
        problems.append(("", f"has {len(table)} labels; at most {_LABEL_COUNT_LIMIT} are allowed"))
    return accepted, problems


def _show(value: object) -> str:
    # TOML's words, not Python's.
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    shown = safe_text(text)
    return shown if len(shown) <= _SHOWN_LIMIT else f"{shown[:_SHOWN_LIMIT]}…"


def _boolean(value: object) -> Value:
    if value is not True and value is not False:
        raise ValueError(f"must be true or false; it is {_show(value)}")
    return value


def _integer(low: int, high: int, unit: str) -> Check:
    def check(value: object) -> Value:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(
                f"must be a whole number of {unit} from {low} to {high}; it is {_show(value)}"
            )
        return value

    return check


def _fraction(low: float, high: float) -> Check:
    def check(value: object) -> Value:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= float(value) <= high:  # type: ignore[arg-type]
            raise ValueError(f"must be a number from {low} to {high}; it is {_show(value)}")
        return float(value)  # type: ignore[arg-type]

    return check


def _one_of(*words: str) -> Check:
    def check(value: object) -> Value:
        if value not in words:
            allowed = ", ".join(f'"{word}"' for word in words)
            raise ValueError(f"must be one of {allowed}; it is {_show(value)}")
        return str(value)

    return check


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _absolute_bytes(value: object) -> Value:
    if not _is_absolute(value):
        raise ValueError(f'must be an absolute path such as "/"; it is {_show(value)}')
    return _normal(str(value))


def _normal(path: str) -> bytes:
    # normpath keeps a leading "//", which POSIX lets mean something else; here it means "/".
    return b"/" + os.path.normpath(os.fsencode(path)).lstrip(b"/")


def _path_list(value: object) -> Value:
    if not isinstance(value, list) or not value or not all(map(_is_absolute, value)):
        raise ValueError(f'must be a list of absolute paths such as ["/"]; it is {_show(value)}')
    return tuple(dict.fromkeys(_normal(path) for path in value))


def _is_glob(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip("/")) and "\0" not in value


def _glob_list(value: object) -> Value:
    if not isinstance(value, list) or not all(map(_is_glob, value)):
        raise ValueError(
            'must be a list of paths or names with wildcards such as ["/srv/backup/*", "*.bak"]; '
            f"it is {_show(value)}"
        )
    return tuple(dict.fromkeys(os.fsencode(glob) for glob in value))


def _directory(value: object) -> Value:
    if not _is_absolute(value) or value == "/":
        raise ValueError(
            f'must be an absolute path such as "/var/lib/keycensus-agent"; it is {_show(value)}'
        )
    return Path(str(value))


def _optional_file(value: object) -> Value:
    if value == "":
        return None
    if not _is_absolute(value):
        raise ValueError(f'must be an absolute path, or "" for none; it is {_show(value)}')
    return Path(str(value))


def _text(value: object, right: str) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{right}; it is {_show(value)}")


def _optional_address(value: object) -> Value:
    text = _text(value, 'must be a text such as "collector.example.com:8440"')
    return str(parse_address(text, REPORT_PORT)) if text else ""


def _optional_enrolment_address(value: object) -> Value:
    text = _text(value, 'must be a text such as "collector.example.com:8441"')
    return str(parse_address(text, ENROLMENT_PORT)) if text else ""


def _proxy(value: object) -> Value:
    right = 'must be "http://host:port", "none", or "" for what the environment says'
    text = _text(value, right)
    if text in {"", "none"}:
        return text
    try:
        parts = urlsplit(text)
        usable = parts.scheme == "http" and parts.hostname and parts.port
    except ValueError:
        usable = None
    if not usable:
        # Not shown: a proxy's address may carry a password.
        raise ValueError(right)
    return text


KEYS: Mapping[str, Mapping[str, Check]] = {
    "scan": {
        "roots": _path_list,
        "root": _absolute_bytes,
        "exclude": _glob_list,
        "network_file_systems": _boolean,
        "password_file": _optional_file,
        "try_default_passwords": _boolean,
    },
    "state": {
        "directory": _directory,
        "max_outbox_mib": _integer(1, 65536, "MiB"),
    },
    "collector": {
        "address": _optional_address,
        "proxy": _proxy,
        "enrol_address": _optional_enrolment_address,
        "token_file": _optional_file,
    },
    "link": {
        "socket": _optional_file,
        "identity": _optional_file,
    },
    "sweep": {
        "interval_seconds": _integer(1, 7 * 86400, "seconds"),
        "start_delay_seconds": _integer(0, 86400, "seconds"),
        "cpu_share": _fraction(0.01, 1.0),
    },
    "context": {
        "probe": _boolean,
        "probe_all": _boolean,
        "probe_seconds": _integer(1, 7 * 86400, "seconds"),
        "processes": _boolean,
    },
    "log": {
        "format": _one_of("auto", "json", "console"),
        "level": _one_of("debug", "info", "warning", "error"),
    },
}
