"""What configurations and renewal tools say of a place: as lines for people, as records for scripts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from keycensus_agent.context.bindings import Binding, Renewer
from keycensus_agent.text import safe_path, safe_text

Record = dict[str, object]

# Why a renewal is overdue, in words (docs/context.md).
OVERDUE_REASONS = {
    "not-scheduled": "nothing starts it",
    "past-due": "should have renewed it by now",
    "failing": "says that it fails",
    "switched-off": "was told not to renew it",
}
# What a table has of a usage and of a renewal, each as a column "usage_…" or "renewal_…".
_USAGE = (
    *("service", "unit", "configuration", "directive", "server_names", "listen", "protocol"),
    "password_source",
)
_RENEWAL = ("tool", "name", "configuration", "schedule", "last_success", "overdue", "reason")
COLUMNS = (*(f"usage_{name}" for name in _USAGE), *(f"renewal_{name}" for name in _RENEWAL))
# Names and addresses of a server in one line.
_SHOWN = 5


def binding_line(binding: Binding) -> str:
    """Return who uses a place, where that is said and what for, escaped."""
    unit = f" ({safe_text(binding.unit)})" if binding.unit else ""
    line = f" line {binding.line}" if binding.line else ""
    where = f"{safe_path(binding.configuration)}{line}"
    if binding.directive == "mention":
        return f"a service that is not known, mentioned in {where}"
    parts = [f"{safe_text(binding.service)}{unit} as {binding.directive}", f"by {where}"]
    if binding.server_names:
        parts.append(f"for {_some(binding.server_names)}")
    if binding.listen:
        parts.append(f"on {_some(binding.listen)} ({safe_text(binding.protocol)})")
    if binding.password_source:
        parts.append(f"password from {binding.password_source}")
    return ", ".join(parts)


def renewal_line(renewer: Renewer) -> str:
    """Return who renews a place, when it last did, what starts it, and what is wrong, escaped."""
    parts = [f"{safe_text(renewer.tool)} as {safe_text(renewer.name)}"]
    if renewer.last_success_ms:
        parts.append(f"last on {moment_text(renewer.last_success_ms // 1000)[:10]}")
    if renewer.schedule:
        parts.append(f"started by {safe_text(renewer.schedule)}")
    if renewer.overdue:
        parts.append(f"OVERDUE: {OVERDUE_REASONS.get(renewer.reason, safe_text(renewer.reason))}")
    return ", ".join(parts)


def binding_record(binding: Binding) -> Record:
    """Return one binding with the field names that scripts rely on (docs/scan-output.md)."""
    return {
        "service": safe_text(binding.service),
        "unit": safe_text(binding.unit),
        "configuration": safe_path(binding.configuration),
        "line": binding.line,
        "directive": binding.directive,
        "server_names": [safe_text(name) for name in binding.server_names],
        "listen": [safe_text(address) for address in binding.listen],
        "protocol": safe_text(binding.protocol),
        "password_source": binding.password_source,
    }


def renewal_record(renewer: Renewer) -> Record:
    """Return who renews a place with the field names that scripts rely on (docs/scan-output.md)."""
    return {
        "tool": safe_text(renewer.tool),
        "name": safe_text(renewer.name),
        "configuration": safe_path(renewer.configuration),
        "schedule": safe_text(renewer.schedule),
        "last_success": moment_text(renewer.last_success_ms // 1000)
        if renewer.last_success_ms
        else "",
        "overdue": renewer.overdue,
        "reason": renewer.reason,
    }


def columns(bindings: Sequence[Binding], renewer: Renewer | None) -> Record:
    """Return both as columns of a table, COLUMNS: of several usages each value once, in their order."""
    records = [_with_line(binding_record(binding)) for binding in bindings]
    record: Record = {}
    for name in _USAGE:
        if values := list(dict.fromkeys(_texts(each[name] for each in records))):
            record[f"usage_{name}"] = values
    if renewer is not None:
        record |= {f"renewal_{name}": value for name, value in renewal_record(renewer).items()}
    return record


def _with_line(record: Record) -> Record:
    line = f":{record['line']}" if record["line"] else ""
    return {**record, "configuration": f"{record['configuration']}{line}"}


def _texts(values: Iterable[object]) -> Iterator[str]:
    """Yield texts, and those of lists; none that is empty."""
    for value in values:
        yield from filter(None, map(str, value if isinstance(value, list) else [value]))


def _some(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return " ".join(map(safe_text, texts[:_SHOWN])) + more


def moment_text(seconds: int) -> str:
    """Return a time, in seconds since the epoch, as RFC 3339 in UTC; "" for what no calendar holds."""
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
