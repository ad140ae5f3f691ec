"""The file of rules in force: kept in versions, and true to what became of its owners.

A team that is renamed, dissolved or left by its last person has its rules go on under another name. The
file says so, too: else what is shown could not be applied again.
"""

from __future__ import annotations

import yaml
from sqlalchemy import Connection, insert, select

from keycensus_collector.store.tables.ownership import rule_file
from keycensus_collector.text import safe_text


def rules_text(
    connection: Connection, as_of_ms: int | None = None
) -> tuple[int, str, str, int] | None:
    """Return version, text, who applied it and when of the file in force, or that was; None: none."""
    statement = select(rule_file).order_by(rule_file.c.version.desc()).limit(1)
    if as_of_ms is not None:
        statement = statement.where(rule_file.c.applied_ms <= as_of_ms)
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.version, row.text, row.applied_by, row.applied_ms)


def keep_file(connection: Connection, text: str, *, actor: str, now_ms: int) -> int:
    """Keep a file as the one in force; return its version."""
    statement = insert(rule_file).values(text=text, applied_by=safe_text(actor), applied_ms=now_ms)
    return int(connection.execute(statement.returning(rule_file.c.version)).scalar_one())


def rename_owner(connection: Connection, old: str, new: str, *, actor: str, now_ms: int) -> None:
    """Let the file in force say `new` where it says that `old` owns something."""
    found = rules_text(connection)
    if found is None:
        return
    text = with_owner(found[1], old, new)
    if text != found[1]:
        keep_file(connection, text, actor=actor, now_ms=now_ms)


def with_owner(text: str, old: str, new: str) -> str:
    """Return a file of rules with another owner's name; all else stays as people wrote it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    places = [
        (value.start_mark.index, value.end_mark.index)
        for section in _members(root, "owners")
        for rule in (section.value if isinstance(section, yaml.SequenceNode) else [])
        for value in _members(rule, "owner")
        if value.value == old
    ]
    for start, end in sorted(places, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _members(node: yaml.Node | None, name: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [value for key, value in node.value if key.value == name]
