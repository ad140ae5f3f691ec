"""What a file of shell assignments sets, as far as that can be said without a shell. Pure."""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_VALUE_LIMIT = 4096
_VARIABLES_LIMIT = 1_000


def shell_variables(text: str) -> dict[str, str]:
    """Return what each variable is set to at the end; conditions are not decided, commands not run."""
    found: dict[str, str] = {}
    for name, value in _ASSIGNMENT.findall(text):
        plain = value.partition(" #")[0].strip().strip("\"'")
        if "##" in plain or "$(" in plain or len(found) >= _VARIABLES_LIMIT:
            continue
        found[name] = _VARIABLE.sub(lambda one: found.get(one[1], ""), plain)[:_VALUE_LIMIT]
    return found
