"""Where what people set stands in a directory: one file for each thing, in plain YAML. Pure.

keycensus.yaml            version, the kinds that the directory decides about, the fallback team
views/NAME.yaml           teams/NAME.yaml           people/NAME.yaml
labels/hosts/NAME.yaml    labels/certificates/SHA256.yaml
rules.yaml                as it was applied, comments too
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from keycensus_client.as_code.documents import dumped
from keycensus_client.declared import Declared

VERSION = "1"
HEAD = "keycensus.yaml"
RULES = "rules.yaml"
KINDS = ("views", "teams", "people", "rules", "labels")
# Directories by kind; a file there is one thing.
FOLDERS = {
    "views": ("views",),
    "teams": ("teams",),
    "people": ("people",),
    "rules": (),
    "labels": ("labels/hosts", "labels/certificates"),
}
LISTS = ("certificates", "keys", "places", "hosts", "gaps")
# File systems take names of 255 bytes.
_MOST_NAME = 180

Members = dict[str, Any]


def things(declared: Declared) -> dict[str, Members]:
    """Return what is declared, each thing by its place without `.yaml`, with what its file says."""
    found: dict[str, Members] = {}
    for name, view in declared.views.items():
        found[f"views/{name}"] = _without_empty(
            {
                "list": view.what,
                "query": view.query,
                "description": view.description,
                "columns": view.columns,
            }
        )
    for name, team in declared.teams.items():
        found[f"teams/{name}"] = _active(asdict(team))
    for name, person in declared.people.items():
        found[f"people/{name}"] = _active(asdict(person))
    for name, labels in declared.hosts.items():
        found[f"labels/hosts/{_file_name(name)}"] = {"host": name, "labels": labels}
    for sha256, labels in declared.certificates.items():
        found[f"labels/certificates/{sha256}"] = {"certificate": sha256, "labels": labels}
    return found


def texts(declared: Declared) -> dict[str, str]:
    """Return the text of each file by its path."""
    written = {}
    for place, members in things(declared).items():
        name = declared.names.get(str(members.get("certificate", "")), "")
        comment = f"# {name}\n" if name else ""
        written[f"{place}.yaml"] = comment + (dumped(members) if members else "{}\n")
    head: Members = {"version": int(VERSION), "kinds": list(KINDS)}
    if declared.fallback:
        head["fallback"] = declared.fallback
    written[HEAD] = dumped(head)
    if declared.rules:
        written[RULES] = "".join(f"{line}\n" for line in declared.rules)
    return written


def _without_empty(members: Members) -> Members:
    return {name: value for name, value in members.items() if value}


def _active(members: Members) -> Members:
    """Leave out what is empty, and a status that goes without saying."""
    if members["status"] == "active":
        members = members | {"status": ""}
    return _without_empty(members)


def _file_name(name: str) -> str:
    """Return a host's name as one of a file, on any system; which host is meant stands inside."""
    quoted = quote(name, safe="")
    if len(quoted) <= _MOST_NAME and not quoted.startswith("."):
        return quoted
    return f"{quoted[:100].strip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
