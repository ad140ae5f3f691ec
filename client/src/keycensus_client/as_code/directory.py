"""A directory of files, read whole: what it says there is to be, or everything that is wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keycensus_client.as_code.documents import (
    Members,
    Mistakes,
    Value,
    line_of,
    members_of,
    read,
    read_text,
)
from keycensus_client.as_code.layout import FOLDERS, HEAD, KINDS, LISTS, RULES, VERSION
from keycensus_client.errors import MistakenError, UsageError
from keycensus_client.text import safe_text


@dataclass(slots=True)
class Directory:
    """What was read: `body` as the collector is told it, and the file of each thing."""

    path: Path
    mistakes: Mistakes
    body: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[Path, Value | None]] = field(default_factory=dict)

    def blame(self, error: MistakenError) -> None:
        """Raise UsageError that tells the collector's mistakes with file and line."""
        for name, line, text in error.mistakes:
            file, root = self.files.get(name, self.files[HEAD])
            self.mistakes.add(file, line or self._line(name, root, text), text)
        self.mistakes.check()

    def _line(self, name: str, root: Value | None, text: str) -> int:
        named = line_of(root, text)
        if named == 1 and name.startswith("views/") and root and isinstance(root.content, dict):
            return root.content["query"].line
        return named


def read_directory(path: Path, *, prune: bool) -> Directory:
    """Return what the files of a directory say; UsageError with everything that is wrong."""
    head = path / HEAD
    if not head.is_file():
        raise UsageError(f"there is no {HEAD} in {path}: keycensus export writes one")
    found = Directory(path, Mistakes(path))
    kinds = _head(found, head)
    found.body |= {"kinds": kinds, "prune": prune}
    for kind, work in (("views", _view), ("teams", _team), ("people", _person)):
        if kind in kinds:
            things = {name: work(members) for name, members in _each(found, kind)}
            found.body[kind] = things
    if "rules" in kinds and (path / RULES).exists():
        found.files["rules"] = (path / RULES, None)
        found.body["rules"] = read_text(path / RULES, found.mistakes).splitlines()
    if "labels" in kinds:
        for what in ("host", "certificate"):
            found.body[f"{what}s"] = _labelled(found, what)
    found.mistakes.check()
    return found


def _head(found: Directory, file: Path) -> list[str]:
    """Read the version, the kinds and the fallback team."""
    root = read(file, found.mistakes)
    found.files[HEAD] = (file, root)
    members = members_of(root, file, found.mistakes)
    members.end(("version", "kinds", "fallback"))
    members.choice("version", (VERSION,))
    if "fallback" in members.values:
        found.body["fallback"] = members.text("fallback")
        found.files[f"fallback/{found.body['fallback']}"] = (file, root)
    kinds = members.texts("kinds")
    for kind in kinds:
        if kind not in KINDS:
            text = f"kinds are {', '.join(KINDS)}, and not {safe_text(kind)!r}"
            found.mistakes.add(file, members.values["kinds"].line, text)
    for kind in KINDS:
        for name in (*FOLDERS[kind], *([RULES] if kind == "rules" else [])):
            if kind not in kinds and (found.path / name).exists():
                text = f"{name} is there, but {kind} is not among the kinds"
                found.mistakes.add(file, 1, text)
    return kinds


def _files(found: Directory, folder: str) -> Iterator[Path]:
    """Yield the files of a folder, by name; anything but `.yaml` is people's own."""
    path = found.path / folder
    if path.is_symlink():
        found.mistakes.add(path, 1, "it is a link; put the files themselves here")
    elif path.is_dir():
        yield from sorted(path.glob("*.yaml"))


def _each(found: Directory, folder: str) -> Iterator[tuple[str, Members]]:
    for file in _files(found, folder):
        root = read(file, found.mistakes)
        found.files[f"{folder}/{file.stem}"] = (file, root)
        yield file.stem, members_of(root, file, found.mistakes)


def _view(members: Members) -> dict[str, Any]:
    members.end(("list", "query", "description", "columns"))
    return {
        "what": members.choice("list", LISTS),
        "query": members.text("query"),
        "description": members.text("description", default=""),
        "columns": members.texts("columns"),
    }


def _team(members: Members) -> dict[str, Any]:
    members.end(("description", "contact", "members", "status"))
    return {
        "description": members.text("description", default=""),
        "contact": members.text("contact", default=""),
        "members": sorted(set(members.texts("members"))),
        "status": members.choice("status", ("active", "dissolved"), default="active"),
    }


_OF_PERSON = ("full_name", "email", "contact", "user", "subject")


def _person(members: Members) -> dict[str, Any]:
    members.end((*_OF_PERSON, "status"))
    said = {name: members.text(name, default="") for name in _OF_PERSON}
    return said | {"status": members.choice("status", ("active", "left"), default="active")}


def _labelled(found: Directory, what: str) -> dict[str, dict[str, str]]:
    """Return labels by hand, by the host or certificate that stands in each file."""
    labelled: dict[str, dict[str, str]] = {}
    for file in _files(found, f"labels/{what}s"):
        root = read(file, found.mistakes)
        members = members_of(root, file, found.mistakes)
        members.end((what, "labels"))
        name, labels = members.text(what), members.labels("labels")
        if name in labelled:
            there = found.files[f"labels/{what}s/{name}"][0].name
            text = f"{safe_text(name)} has its labels in {safe_text(there)} already"
            found.mistakes.add(file, 1, text)
            continue
        labelled[name] = labels
        found.files[f"labels/{what}s/{name}"] = (file, root)
    return labelled
