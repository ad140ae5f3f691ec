"""A list of everybody, as a directory exports it: who is new, who changed, who has left.

CSV with a head, JSON as a list of objects, or LDIF (RFC 2849; what `ldapsearch` prints). Whoever is missing
in it has left, so a list that is cut short must not empty the company: a share is told and refused.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.people import (
    Person,
    add_person,
    change_person,
    check_name,
    list_people,
)
from keycensus_collector.text import safe_text

FORMATS = ("csv", "json", "ldif")
MOST_CHARACTERS = 900_000
MOST_PEOPLE = 20_000
# Of a hundred: more leave at once only if somebody says so.
MOST_LEAVE = 10
# A small company loses one of five, too.
_ALWAYS = 2

# By our name, what directories call it, in lower case.
_NAMES = {
    "name": ("name", "uid", "samaccountname", "login", "username"),
    "full_name": ("full_name", "displayname", "cn", "full name"),
    "email": ("email", "mail", "e-mail"),
    "contact": ("contact", "telephonenumber", "phone"),
    "user": ("user",),
    "subject": ("subject", "sub", "entryuuid"),
}


@dataclass(frozen=True, slots=True)
class Roster:
    """What a list would do, by names."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    leaving: tuple[str, ...]
    share: int  # of those who are here, how many of a hundred leave


def read_people(text: str, format_: str) -> list[Person]:
    """Return the people of a list; UsageError with every mistake, by line or number of the entry."""
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"a list of people has at most {MOST_CHARACTERS:,} characters")
    readers = {"csv": _csv, "json": _json, "ldif": _ldif}
    people: dict[str, Person] = {}
    mistakes: list[str] = []
    for number, entry in readers[format_](text):
        values = {
            ours: next((entry[name].strip() for name in names if entry.get(name)), "")
            for ours, names in _NAMES.items()
        }
        try:
            person = Person(
                name=check_name(values["name"].lower()),
                full_name=values["full_name"],
                email=values["email"],
                contact=values["contact"],
                user=values["user"],
                subject=values["subject"],
            )
        except UsageError as error:
            mistakes.append(f"{number}: {error}")
            continue
        if person.name in people:
            mistakes.append(f"{number}: {person.name} is there twice")
        people[person.name] = person
    if not people and not mistakes:
        mistakes.append("nobody is in it: is it a list of people?")
    if len(people) > MOST_PEOPLE:
        mistakes.append(f"there are more than {MOST_PEOPLE:,} people")
    if mistakes:
        raise UsageError("the list was not taken:\n" + "\n".join(mistakes[:50]))
    return list(people.values())


def preview_people(connection: Connection, people: list[Person]) -> Roster:
    """Return what a list would do."""
    known = {person.name: person for person in list_people(connection)}
    here = {name for name, person in known.items() if person.state == "active"}
    listed = {person.name: person for person in people}
    leaving = sorted(here - listed.keys())
    changed = [
        name
        for name in sorted(listed.keys() & known.keys())
        if not _is_same(listed[name], known[name])
    ]
    share = -(-100 * len(leaving) // len(here)) if here else 0
    return Roster(
        tuple(sorted(listed.keys() - known.keys())), tuple(changed), tuple(leaving), share
    )


def take_people(
    connection: Connection,
    people: list[Person],
    *,
    to: str,
    sure: bool,
    over_admins: bool = False,
    actor: str,
    now_ms: int,
) -> Roster:
    """Take a list: add, change, let leave. What leavers held moves to the team `to`, or the fallback.

    UsageError, and nothing is done, if more than MOST_LEAVE of a hundred would leave and nobody is `sure`.
    """
    seen = preview_people(connection, people)
    if len(seen.leaving) > _ALWAYS and seen.share > MOST_LEAVE and not sure:
        raise UsageError(
            f"{len(seen.leaving):,} people would leave, {seen.share} % of all: if the list is whole, "
            "say so with --yes"
        )
    listed = {person.name: person for person in people}
    for name in seen.added:
        add_person(connection, listed[name], actor=actor, now_ms=now_ms)
    for name in seen.changed:
        change_person(connection, listed[name], actor=actor, now_ms=now_ms)
    for name in seen.leaving:
        leave(connection, name, to=to, over_admins=over_admins, actor=actor, now_ms=now_ms)
    return seen


def _is_same(wanted: Person, known: Person) -> bool:
    shown = replace(
        wanted,
        full_name=safe_text(wanted.full_name),
        email=wanted.email.lower(),
        contact=safe_text(wanted.contact),
        subject=safe_text(wanted.subject),
    )
    return replace(known, teams=(), by_groups=()) == shown


_Entries = Iterator[tuple[str, Mapping[str, str]]]


def _csv(text: str) -> _Entries:
    try:
        rows = csv.DictReader(io.StringIO(text), strict=True)
        heads = {name: (name or "").strip().lower() for name in rows.fieldnames or ()}
        for row in rows:
            yield f"line {rows.line_num}", {heads[k]: v or "" for k, v in row.items() if k in heads}
    except csv.Error as error:
        raise UsageError(f"this is no CSV: {error}") from None


def _json(text: str) -> _Entries:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("this is no JSON") from None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise UsageError('a list of people is a list of objects: [{"name": "anna"}]')
    for number, each in enumerate(content, 1):
        yield f"entry {number}", {str(k).lower(): v for k, v in each.items() if isinstance(v, str)}


def _ldif(text: str) -> _Entries:
    """Read LDIF: entries apart by empty lines, long lines go on behind a blank, `::` is base64."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and lines and lines[-1]:
            lines[-1] += line[1:]
        elif not line.startswith("#"):
            lines.append(line)
    entry: dict[str, str] = {}
    number = 0
    for line in [*lines, ""]:
        if not line.strip():
            # The first one may only say the version.
            if "dn" in entry:
                number += 1
                yield f"entry {number}", entry
            entry = {}
            continue
        name, _, value = line.partition(":")
        if value.startswith(":"):
            try:
                value = base64.b64decode(value[1:].strip(), validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                continue  # a picture or a certificate
        entry.setdefault(name.strip().lower(), value.strip())
