"""What every command shares that changes many things: it tells first, asks, and does what it told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from keycensus_client.commands.session import connect, list_option
from keycensus_client.identity import resolve
from keycensus_client.output.cells import counted
from keycensus_client.rest import path

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Edited:
    """What was changed, or would be. `digest`: what was told, to be done only if it is still the same."""

    done: bool
    things: int
    changed: int
    unchanged: int
    refused: dict[str, int]
    taken_from: dict[str, int]
    samples: list[str]
    refused_samples: list[str]
    digest: str


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to be changed, as the collector is told it; `many`: it is told first, and asked."""

    body: Mapping[str, object]
    many: bool
    preview: bool
    sure: bool

    @property
    def id(self) -> str:
        """Return the ID of one thing."""
        return str(self.body["id"])

    @property
    def kind(self) -> str:
        """Return the kind of one thing, where the ID says it."""
        return str(self.body["kind"])


def things_options(lists: Sequence[str], default: str) -> Callable[[_Function], _Function]:
    """Add `[ID]…`, `-q QUERY`, `--list`, `--preview` and `--yes`; `meant` makes of them what is told."""

    def add(function: _Function) -> _Function:
        for option in (
            click.option("--yes", "sure", is_flag=True, help="Do not ask; for scripts."),
            click.option(
                "--preview",
                "--dry-run",
                "preview",
                is_flag=True,
                help="Say what would change, and change nothing.",
            ),
            list_option(lists, default),
            click.option(
                "-q", "--query", "q", metavar="QUERY", help="All that a query lists, instead of ID."
            ),
            click.argument("ids", metavar="[ID]...", nargs=-1),
        ):
            function = option(function)
        return function

    return add


def meant(*, ids: Sequence[str], q: str | None, what: str, preview: bool, sure: bool) -> Meant:
    """Return what the options of `things_options` name."""
    if bool(ids) == (q is not None):
        raise click.UsageError("say what is meant: either ID, or -q QUERY")
    if q is not None:
        return Meant({"what": what, "q": q}, True, preview, sure)
    found = [resolve(each) for each in ids]
    if len(found) == 1:
        return Meant({"id": found[0].id, "kind": found[0].kind}, False, preview, sure)
    return Meant({"ids": [each.id for each in found]}, True, preview, sure)


def edit(what: Meant, said: Mapping[str, object], done: str, *at: str) -> None:
    """Tell the collector what is said of what is meant; of many things only after asking.

    `done`: what becomes of things, as in "given to web"; `at`: the path of the interface.
    """
    body = {**what.body, **said}
    with connect() as client:

        def tell(*, preview: bool, over: str = "") -> Edited:
            return client.tell(Edited, "POST", path(*at), {**body, "preview": preview}, over=over)

        if what.preview or not what.many:
            _print(tell(preview=what.preview), done)
            return
        seen = tell(preview=True)
        _print(seen, done)
        if not seen.changed:
            return
        ask_first(sure=what.sure)
        made = tell(preview=False, over=f'"{seen.digest}"')
    click.echo(f"{counted(made.changed, 'thing')} {done}")


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_first(*, sure: bool) -> None:
    """Ask whether to do what was told, unless somebody is `sure`; where nobody can be asked, UsageError."""
    if sure:
        return
    if not can_ask():
        raise click.UsageError("nothing was changed: say --yes where nobody can be asked")
    click.confirm("Change that?", abort=True)


def _print(found: Edited, done: str) -> None:
    would = "" if found.done else "would be "
    click.echo(f"{found.changed:,} of {found.things:,} {would}{done}")
    for name, count in found.taken_from.items():
        click.echo(f"  {count:,} by hand {name} before")
    for sample in found.samples:
        click.echo(f"  {sample}")
    if found.changed > len(found.samples):
        click.echo(f"  and {found.changed - len(found.samples):,} more")
    if found.unchanged:
        stay = "stays as it is" if found.unchanged == 1 else "stay as they are"
        click.echo(f"{found.unchanged:,} {stay}")
    for reason, count in found.refused.items():
        click.echo(f"{count:,} refused: {reason}")
    for name in found.refused_samples:
        click.echo(f"  {name}")
