"""Lists of known hosts: CSV, Ansible inventories (INI, YAML), JSON as of NetBox. Pure; nothing is run.

Each reader yields hosts and mistakes with their line or place. A file with a mistake is not taken at all,
and all of its mistakes are told, up to some.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from keycensus_collector.errors import UsageError
from keycensus_collector.imports.host_ranges import MOST_NAMES, names_of

FORMATS = ("csv", "ansible-ini", "ansible-yaml", "json")
FILE_BYTES = 32 * 1024 * 1024
_TOLD = 20
_DEPTH = 24
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?\.?")
_NAME_COLUMNS = ("name", "hostname", "fqdn", "host")
_ADDRESS_COLUMNS = ("address", "addresses", "ip", "primary_ip", "primary_ip4", "primary_ip6")
_GROUP_COLUMNS = ("groups", "group", "tags")


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host that somebody's list names. `where`: its place in the file, for people."""

    name: str
    addresses: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    where: str = ""


Found = Iterator[KnownHost | str]  # a text is a mistake


def read_hosts(data: bytes, format_: str) -> list[KnownHost]:
    """Return the hosts of a file, each name once; UsageError tells every mistake."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the list is not UTF-8 text: byte {error.start}") from None
    hosts: dict[str, KnownHost] = {}
    mistakes: list[str] = []
    for each in _READERS[format_](text):
        if isinstance(each, str):
            mistakes.append(each)
            continue
        if not _NAME.fullmatch(each.name):
            mistakes.append(f"{each.where}: {each.name[:80]!r} can't be a host's name")
            continue
        key = each.name.lower().rstrip(".")
        hosts[key] = _merged(hosts.get(key), each)
        if len(hosts) > MOST_NAMES:
            raise UsageError(f"the list has more than {MOST_NAMES:,} hosts: import it in parts")
    if mistakes:
        more = f"; and {len(mistakes) - _TOLD} more" if len(mistakes) > _TOLD else ""
        raise UsageError("nothing was taken: " + "; ".join(mistakes[:_TOLD]) + more)
    if not hosts:
        raise UsageError("the list names no host")
    return list(hosts.values())


def _merged(before: KnownHost | None, now: KnownHost) -> KnownHost:
    if before is None:
        return KnownHost(now.name.rstrip("."), now.addresses, now.groups, now.where)
    addresses = tuple(dict.fromkeys((*before.addresses, *now.addresses)))
    groups = tuple(dict.fromkeys((*before.groups, *now.groups)))
    return KnownHost(before.name, addresses, groups, before.where)


def _csv(text: str) -> Found:
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        named = next((columns[name] for name in _NAME_COLUMNS if name in columns), None)
        if named is None:
            yield f"line 1: no column is called {', '.join(_NAME_COLUMNS[:-1])} or {_NAME_COLUMNS[-1]}"
            return
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row:
                yield f"{where}: more cells than columns"
                continue
            values = {key: (row[name] or "").strip() for key, name in columns.items()}
            yield KnownHost(
                (row[named] or "").strip(),
                _several(values, _ADDRESS_COLUMNS),
                _several(values, _GROUP_COLUMNS),
                where,
            )
    except csv.Error as error:
        yield f"line {reader.line_num}: {error}"


def _several(values: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    words = [word for name in names for word in re.split(r"[\s,;]+", values.get(name, ""))]
    return tuple(_address(word) for word in words if word)


def _address(text: str) -> str:
    """Return an address without the length of its network."""
    return text.partition("/")[0].lower()


def _ini(text: str) -> Found:
    group, kind = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"line {number}"
        content = line.strip()
        if not content or content[0] in "#;":
            continue
        if content.startswith("["):
            section = re.fullmatch(
                r"\[([^\]:]+)(?::(vars|children|hosts))?\]\s*(?:[#;].*)?", content
            )
            if section is None:
                yield f"{where}: this is no section: [group], [group:children], [group:vars]"
                continue
            group, kind = section[1], section[2] or "hosts"
            continue
        if kind in {"vars", "children"}:
            continue
        try:
            pattern, *variables = shlex.split(content, comments=True)
        except ValueError as error:
            yield f"{where}: {error}"
            continue
        facts = dict(each.split("=", 1) for each in variables if "=" in each)
        yield from _expanded(pattern, facts, (group,) if group else (), where)


def _expanded(
    pattern: str, facts: Mapping[str, object], groups: tuple[str, ...], where: str
) -> Found:
    # A port behind the name; not within an IPv6 address, of which no host is called.
    pattern = re.sub(r":\d{1,5}\Z", "", pattern)
    address = facts.get("ansible_host") or facts.get("ansible_ssh_host")
    addresses = (_address(str(address)),) if address else ()
    try:
        for name in names_of(pattern):
            yield KnownHost(name, addresses, groups, where)
    except ValueError as error:
        yield f"{where}: {error}"


class _Loader(yaml.SafeLoader):
    """Plain values only, and no aliases: a few of them make a list of billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - PyYAML's signature
        """Compose a node; an alias is an error with its line."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)


def _yaml(text: str) -> Found:
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        yield f"{line}{getattr(error, 'problem', None) or 'it is no YAML'}"
        return
    if not isinstance(document, dict):
        yield "an inventory is a mapping of groups: all: {hosts: {…}, children: {…}}"
        return
    for name, group in document.items():
        yield from _group(str(name), group, 0)


def _group(name: str, content: object, depth: int) -> Found:
    if content is None:
        return
    if not isinstance(content, dict) or depth > _DEPTH:
        yield f"group {name}: is no mapping of hosts, children and vars, or lies too deep"
        return
    hosts, children = content.get("hosts") or {}, content.get("children") or {}
    if not isinstance(hosts, dict) or not isinstance(children, dict):
        yield f"group {name}: hosts and children are mappings"
        return
    groups = () if name in {"all", "ungrouped"} else (name,)
    for pattern, facts in hosts.items():
        known = facts if isinstance(facts, dict) else {}
        yield from _expanded(str(pattern), known, groups, f"group {name}")
    for child, inner in children.items():
        yield from _group(str(child), inner, depth + 1)


def _json(text: str) -> Found:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"it is no JSON: {error}"
        return
    items = document.get("results") if isinstance(document, dict) else document
    if not isinstance(items, list):
        yield "a list of objects is expected, or an object whose results are one"
        return
    for number, item in enumerate(items, 1):
        where = f"item {number}"
        if not isinstance(item, dict):
            yield f"{where}: is no object"
            continue
        values = {str(key).lower(): value for key, value in item.items()}
        name = next((values[key] for key in _NAME_COLUMNS if values.get(key)), None)
        if not isinstance(name, str):
            yield f"{where}: has no name"
            continue
        addresses = [word for key in _ADDRESS_COLUMNS for word in _words(values.get(key))]
        groups = [
            word for key in (*_GROUP_COLUMNS, "role", "site") for word in _words(values.get(key))
        ]
        yield KnownHost(name.strip(), tuple(map(_address, addresses)), tuple(groups), where)


def _words(value: object) -> Iterator[str]:
    """Yield the words of a value as NetBox nests them: a text, a list, an object with a name."""
    if isinstance(value, str):
        yield from filter(None, re.split(r"[\s,;]+", value))
    elif isinstance(value, list):
        for each in value[:64]:
            yield from _words(each) if isinstance(each, str | dict) else ()
    elif isinstance(value, dict):
        inner = next((value[key] for key in ("address", "slug", "name") if key in value), None)
        if isinstance(inner, str):
            yield inner


_READERS: dict[str, Callable[[str], Found]] = {
    "csv": _csv,
    "ansible-ini": _ini,
    "ansible-yaml": _yaml,
    "json": _json,
}
