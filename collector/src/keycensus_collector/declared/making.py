"""Make what is declared what somebody wants it to be, in one transaction: all of it, or nothing and why.

What is wanted of a kind is compared with what is there; only what differs is done, each by the function
that does it for a person, so it is checked and audited alike.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from keycensus_collector.declared.current import declared_now, first_of_lines, host_keys
from keycensus_collector.declared.model import (
    Declared,
    DeclaredPerson,
    DeclaredTeam,
    Made,
    Mistake,
    Wanted,
)
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory.export import columns_of
from keycensus_collector.ownership import leaving, moving, people, teams
from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.labels import check_label, set_label
from keycensus_collector.ownership.settings import FALLBACK, change_setting, fallback_name
from keycensus_collector.store.schema import certificate, host
from keycensus_collector.text import plain_text
from keycensus_collector.views.model import View
from keycensus_collector.views.stored import delete_view, save_view

# Things with the labels that they are to have, by list and by what they are called there.
_Labelled = dict[tuple[str, str], tuple[Thing, dict[str, str]]]

_AT_LINE = re.compile(r"line (\d+): (.*)")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class MistakesError(UsageError):
    """Some of what is wanted can't be; nothing is to be kept of the rest."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(f"{each.kind} {each.name}: {each.text}" for each in mistakes))
        self.mistakes = mistakes


def make_so(
    connection: Connection, wanted: Wanted, *, over_admins: bool, actor: str, now_ms: int
) -> Made:
    """Make it so; MistakesError with everything that can't be, and then the caller rolls back.

    `over_admins`: whoever asks may let admins leave.
    """
    before = declared_now(connection)
    making = _Making(connection, wanted, before, over_admins, actor, now_ms)
    for kind, work in (
        ("people", making.people),
        ("teams", making.teams),
        ("views", making.views),
        ("rules", making.rules),
        ("labels", making.labels),
        ("teams", making.ended_teams),
        ("people", making.ended_people),
    ):
        if kind in wanted.kinds:
            work()
    after = declared_now(connection)
    if before.fallback and not after.fallback:
        making.wrong("teams", before.fallback, "no fallback team would be left: name another one")
    making.check_rules(after)
    if making.mistakes:
        raise MistakesError(making.mistakes)
    return Made(before, after, sorted(making.kept), making.moved, making.absent)


@dataclass(slots=True)
class _Making:
    connection: Connection
    wanted: Wanted
    before: Declared
    over_admins: bool
    actor: str
    now_ms: int
    mistakes: list[Mistake] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def wrong(self, kind: str, name: str, text: str, line: int = 0) -> None:
        self.mistakes.append(Mistake(kind, name, line, text))

    def _ends(self, kind: str, name: str) -> bool:
        """Whether what is in no file is to go; else note that it stays."""
        if not self.wanted.prune:
            self.kept.append(f"{kind}/{name}" if name else kind)
        return self.wanted.prune

    @contextmanager
    def _noted(self, kind: str, name: str) -> Iterator[None]:
        """Note why something can't be, and go on with the next."""
        try:
            yield
        except UsageError as error:
            self.wrong(kind, name, str(error))

    def people(self) -> None:
        for name, person in self.wanted.declared.people.items():
            known = self.before.people.get(name)
            if person.status == "left" or person == known:
                continue
            save = people.add_person if known is None else people.change_person
            with self._noted("people", name):
                save(self.connection, _person(name, person), actor=self.actor, now_ms=self.now_ms)

    def ended_people(self) -> None:
        """Let leave who is said to have left, or is in no file."""
        for name, known in self.before.people.items():
            if known.status != "active":
                continue
            said = self.wanted.declared.people.get(name)
            if self._ends("people", name) if said is None else said.status == "left":
                with self._noted("people", name):
                    self._leave(name)
        for name, said in self.wanted.declared.people.items():
            if said.status == "left" and name not in self.before.people:
                with self._noted("people", name):
                    person = _person(name, said)
                    people.add_person(self.connection, person, actor=self.actor, now_ms=self.now_ms)
                    self._leave(name)

    def _leave(self, name: str) -> None:
        left = leaving.leave(
            self.connection,
            name,
            over_admins=self.over_admins,
            actor=self.actor,
            now_ms=self.now_ms,
        )
        held = [*([left.alone] if left.alone else []), *left.last.values()]
        if left.users:
            users = ", ".join(left.users)
            self.moved.append(f"{name} leaves: user {users} ends, with {left.tokens} tokens")
        for each in held:
            if not each.is_nothing:
                self.moved.append(f"{name} leaves: {_told(each)} goes to {left.moves_to}")

    def teams(self) -> None:
        for name, team in self.wanted.declared.teams.items():
            known = self.before.teams.get(name)
            if team.status != "dissolved" and team != known:
                with self._noted("teams", name):
                    self._team(name, team, known)
        if self.wanted.fallback is not None and self.wanted.fallback != self.before.fallback:
            with self._noted("fallback", self.wanted.fallback):
                name = self.wanted.fallback
                number = str(teams.team_no(self.connection, name)) if name else ""
                change_setting(
                    self.connection, FALLBACK, number, actor=self.actor, now_ms=self.now_ms
                )

    def _team(self, name: str, team: DeclaredTeam, known: DeclaredTeam | None) -> None:
        say = teams.create_team if known is None else teams.describe_team
        if known is None or known.status == "dissolved" or _said(team) != _said(known):
            say(
                self.connection,
                name,
                description=plain_text(team.description),
                contact=plain_text(team.contact),
                actor=self.actor,
                now_ms=self.now_ms,
            )
        members = set() if known is None else set(known.members)
        for person in sorted(members ^ set(team.members)):
            change = teams.remove_member if person in members else teams.add_member
            if any((each.kind, each.name) == ("people", person) for each in self.mistakes):
                continue
            with self._noted("teams", name):
                change(self.connection, name, person, actor=self.actor, now_ms=self.now_ms)

    def ended_teams(self) -> None:
        """Dissolve what is said to be dissolved, or is in no file."""
        for name, known in self.before.teams.items():
            if known.status != "active":
                continue
            said = self.wanted.declared.teams.get(name)
            if self._ends("teams", name) if said is None else said.status == "dissolved":
                with self._noted("teams", name):
                    self._dissolve(name)
        for name, said in self.wanted.declared.teams.items():
            if said.status == "dissolved" and name not in self.before.teams:
                with self._noted("teams", name):
                    self._team(name, replace(said, members=[]), None)
                    self._dissolve(name)

    def _dissolve(self, name: str) -> None:
        if name == fallback_name(self.connection):
            raise UsageError(f"{name} is the fallback team and can't go; let another one be that")
        held = moving.dissolve_team(self.connection, name, actor=self.actor, now_ms=self.now_ms)
        if not held.is_nothing:
            to = fallback_name(self.connection)
            self.moved.append(f"team {name} is dissolved: {_told(held)} goes to {to}")

    def views(self) -> None:
        for name, view in self.wanted.declared.views.items():
            if view == self.before.views.get(name):
                continue
            with self._noted("views", name):
                columns_of(view.what, ",".join(view.columns), "csv")
                save_view(
                    self.connection,
                    View(
                        name,
                        plain_text(view.description),
                        view.what,
                        view.query,
                        tuple(view.columns),
                    ),
                    actor=self.actor,
                    now_ms=self.now_ms,
                )
        for name in sorted(set(self.before.views) - set(self.wanted.declared.views)):
            if self._ends("views", name):
                delete_view(self.connection, name, actor=self.actor, now_ms=self.now_ms)

    def rules(self) -> None:
        lines = self.wanted.declared.rules
        if lines == self.before.rules or not (lines or self._ends("rules", "")):
            return
        text = "".join(f"{line}\n" for line in lines)
        try:
            apply_rules(self.connection, text, actor=self.actor, now_ms=self.now_ms)
        except UsageError as error:
            told = [found for line in str(error).split("\n") if (found := _AT_LINE.match(line))]
            for found in told:
                self.wrong("rules", "", found[2], int(found[1]))
            if not told:
                self.wrong("rules", "", str(error))

    def check_rules(self, after: Declared) -> None:
        """Refuse rules that don't stay as written, since who owns by them ends: they could not be applied again."""
        lines = self.wanted.declared.rules
        if "rules" in self.wanted.kinds and lines and after.rules != lines and not self.mistakes:
            differing = (old != new for old, new in zip(lines, after.rules, strict=False))
            at = next((number for number, differs in enumerate(differing, 1) if differs), 1)
            self.wrong("rules", "", "this owner ends by what other files say: name another one", at)

    def labels(self) -> None:
        things = self._hosts() | self._certificates()
        now = {("hosts", key): said for key, said in self.before.hosts.items()}
        now |= {("certificates", key): said for key, said in self.before.certificates.items()}
        numbers = {key: number for number, key in host_keys(self.connection).items()}
        changes: dict[tuple[str, str | None], list[Thing]] = defaultdict(list)
        for (kind, key), (thing, labels) in things.items():
            said = now.pop((kind, key), {})
            for name in {**said, **labels}:
                if said.get(name) != labels.get(name):
                    changes[name, labels.get(name)].append(thing)
        for (kind, key), said in now.items():
            if self._ends(f"labels/{kind}", key):
                thing = (
                    Thing("host", number=numbers[key])
                    if kind == "hosts"
                    else Thing("certificate", artifact=bytes.fromhex(key))
                )
                for name in said:
                    changes[name, None].append(thing)
        for (name, value), which in changes.items() if not self.mistakes else ():
            plain = None if value is None else plain_text(value)
            set_label(self.connection, which, name, plain, actor=self.actor, now_ms=self.now_ms)

    def _check_labels(self, kind: str, key: str, labels: dict[str, str]) -> None:
        for name, value in labels.items():
            with self._noted(f"labels/{kind}", key):
                check_label(name, plain_text(value))

    def _hosts(self) -> _Labelled:
        """Return the hosts that are here of those that are to have labels, by how they are known here."""
        keys = host_keys(self.connection)
        by_key = {key: number for number, key in keys.items()}
        rows = self.connection.execute(select(host.c.host_no, host.c.host_id))
        by_id = {row.host_id: row.host_no for row in rows if row.host_no in keys}
        found: _Labelled = {}
        for key, labels in self.wanted.declared.hosts.items():
            self._check_labels("hosts", key, labels)
            number = by_key.get(key, by_id.get(key))
            if number is None:
                self.absent.append(f"labels/hosts/{key}")
            elif ("hosts", keys[number]) in found:
                self.wrong("labels/hosts", key, f"this is host {keys[number]}, which has a file")
            else:
                found["hosts", keys[number]] = Thing("host", number=number), labels
        return found

    def _certificates(self) -> _Labelled:
        """Return likewise certificates, by the first of their line."""
        wanted = self.wanted.declared.certificates
        hashes = [key for key in wanted if _SHA256.match(key)]
        here = {
            sha256.hex()
            for chunk in chunked([bytes.fromhex(key) for key in hashes])
            for sha256 in self.connection.execute(
                select(certificate.c.sha256).where(certificate.c.sha256.in_(chunk))
            ).scalars()
        }
        first = first_of_lines(self.connection, [bytes.fromhex(key) for key in sorted(here)])
        found: _Labelled = {}
        for key, labels in wanted.items():
            self._check_labels("certificates", key, labels)
            if not _SHA256.match(key):
                self.wrong("labels/certificates", key, "a certificate stands by its SHA-256")
            elif key not in here:
                self.absent.append(f"labels/certificates/{key}")
            elif ("certificates", first[bytes.fromhex(key)].hex()) in found:
                self.wrong("labels/certificates", key, "another file labels its line")
            else:
                thing = Thing("certificate", artifact=bytes.fromhex(key))
                found["certificates", first[bytes.fromhex(key)].hex()] = thing, labels
        return found


def _person(name: str, person: DeclaredPerson) -> people.Person:
    return people.Person(
        name=name,
        full_name=plain_text(person.full_name),
        email=person.email,
        contact=plain_text(person.contact),
        user=person.user,
        subject=plain_text(person.subject),
    )


def _said(team: DeclaredTeam) -> tuple[str, str]:
    return team.description, team.contact


def _told(held: moving.Held) -> str:
    parts = [f"{count:,} {kind}(s) given by hand" for kind, count in held.given.items()]
    return " and ".join(parts + ([f"rules {', '.join(held.rules)}"] if held.rules else []))
