"""`keycensus recertify`: owners say by a date what is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from keycensus_client.commands.session import (
    LISTS,
    collect,
    connect,
    effective_limit,
    limit_option,
    list_option,
    output_option,
    say_rest,
)
from keycensus_client.identity import resolve
from keycensus_client.output.cells import SHORT, counted, day
from keycensus_client.output.files import (
    field_titles,
    field_values,
    print_csv,
    print_items,
    print_json,
)
from keycensus_client.output.table import Cell, Column, print_facts, print_table
from keycensus_client.recertification import (
    STATES,
    Accepted,
    Answered,
    Campaign,
    CampaignLine,
    CampaignLinePage,
    CampaignOwner,
)
from keycensus_client.rest import pages, path

_Function = TypeVar("_Function", bound=Callable[..., Any])

_CAMPAIGNS = (
    Column("CAMPAIGN"),
    Column("STATE"),
    Column("BY"),
    Column("OF"),
    Column("QUERY", fold=True),
    Column("STARTED"),
)
_OWNERS = (
    Column("OWNER"),
    *(Column(word.upper(), "right") for word in STATES),
    Column("REACH", fold=True),
)
_LINES = (
    Column("LINE", "right"),
    Column("OWNER"),
    Column("KIND"),
    Column("NAME", fold=True),
    Column("ID"),
    Column("EXPIRES"),
    Column("STATE"),
    Column("SAID", fold=True),
)
_STYLES = {"lapsed": "red", "disputed": "red", "open": "yellow", "moved": "dim", "gone": "dim"}

_line_option = click.option(
    "--line", "lines", metavar="N", type=click.IntRange(min=1), multiple=True, help="This line."
)


@click.group("recertify")
def command() -> None:
    """Ask owners by a date what is theirs, and answer for your teams."""


@command.command("start")
@click.option(
    "--by", metavar="DATE", required=True, help="Until when: 2026-12-31, or 30d from now."
)
@click.option("--name", metavar="NAME", default="", help="[default: by- and the date]")
@click.option("-q", "--query", "q", metavar="QUERY", default="", help="Only what a query lists.")
@click.option(
    "--list",
    "lists",
    type=click.Choice(LISTS),
    multiple=True,
    help="Of this list.  [default: all; with a query, certificates]",
)
@click.option("--team", metavar="TEAM", default="", help="Only what this team holds.")
@click.option("--preview", is_flag=True, help="Say who would be asked, and start nothing.")
@output_option
def start(*, preview: bool, output: str, lists: tuple[str, ...], **said: str) -> None:
    """Start a campaign: what owners hold now is what they are asked about."""
    body = {**said, "lists": list(lists)}
    with connect() as client:
        if not preview:
            made = client.tell(Campaign, "POST", path("campaigns"), body)
        else:
            asked = client.tell(list[CampaignOwner], "POST", path("campaigns", "preview"), body)
    if preview:
        rows = [_owner(each) for each in asked]
        table = partial(print_table, _OWNERS, rows)
        print_items(output, asked, CampaignOwner, "nobody would be asked", table)
    elif output == "table":
        _print_campaign(made)
    else:
        without = ("counts",)
        print_items(output, [made], Campaign, "", partial(_print_campaign, made), without=without)


@command.command("list")
@output_option
def list_(*, output: str) -> None:
    """List campaigns, the newest first."""
    with connect() as client:
        found = client.ask(list[Campaign], path("campaigns"))
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(Campaign, without=("counts",))
        print_csv(titles, (field_values(each, titles) for each in found))
    elif not found:
        click.echo("no campaigns")
    else:
        rows = [
            (
                each.name,
                each.state,
                day(each.until),
                each.team or "all",
                each.query,
                f"{day(each.started)} by {each.started_by}",
            )
            for each in found
        ]
        print_table(_CAMPAIGNS, rows)


@command.command("status")
@click.argument("campaign")
@output_option
def status(*, campaign: str, output: str) -> None:
    """Show who owes what in a campaign."""
    with connect() as client:
        found = client.ask(Campaign, path("campaigns", campaign))
        owners = client.ask(list[CampaignOwner], path("campaigns", campaign, "owners"))
    if output == "json":
        print_json(owners)
    elif output == "csv":
        titles = field_titles(CampaignOwner)
        print_csv(titles, (field_values(each, titles) for each in owners))
    else:
        _print_campaign(found)
        click.echo("")
        print_table(_OWNERS, [_owner(each) for each in owners])


@command.command("show")
@click.argument("campaign")
@click.option("--team", metavar="TEAM", help="Of this owner.")
@click.option("--mine", is_flag=True, help="Of your own teams.")
@click.option("--state", type=click.Choice(STATES), help="That stand so.")
@output_option
@limit_option
def show(
    *,
    campaign: str,
    team: str | None,
    mine: bool,
    state: str | None,
    output: str,
    limit: int | None,
) -> None:
    """List the lines of a campaign, by owner and name."""
    at, filters = path("campaigns", campaign, "lines"), {"team": team, "mine": mine, "state": state}
    with connect() as client:

        def page(**asked: str | int | bool | None) -> CampaignLinePage:
            return client.ask(CampaignLinePage, at, asked)

        found, total, exact = collect(pages(page, effective_limit(limit, output), filters))
    if output == "json":
        print_json(found)
    elif output == "csv":
        titles = field_titles(CampaignLine)
        print_csv(titles, (field_values(each, titles) for each in found))
    else:
        print_table(_LINES, [_line(each) for each in found])
        say_rest(len(found), total, exact=exact, what="lines")


def _answering(function: _Function) -> _Function:
    """Add `CAMPAIGN [ID]` and the options that say which lines are meant."""
    for add in (
        click.option(
            "--team", metavar="TEAM", default="", help="Whose.  [default: your own teams']"
        ),
        click.option("--all", "everything", is_flag=True, help="All that are open."),
        _line_option,
        list_option(LISTS, "certificates"),
        click.option("-q", "--query", "q", metavar="QUERY", help="All that a query lists."),
        click.argument("id", required=False),
        click.argument("campaign"),
    ):
        function = add(function)
    return function


@command.command("confirm")
@_answering
@click.option("--comment", metavar="TEXT", default="", help="A remark, for the record.")
def confirm(*, campaign: str, comment: str, **meant: Any) -> None:  # noqa: ANN401 - as _meant has them
    """Say that things are yours: ID, lines, all that are open, or what a query lists."""
    _answer(campaign, {"answer": "confirmed", "remark": comment}, meant, "confirmed")


@command.command("dispute")
@_answering
@click.option("--reason", metavar="TEXT", required=True, help="Why they are not yours.")
@click.option("--owner", metavar="NAME", default="", help="Whose they are: a team or person.")
def dispute(*, campaign: str, reason: str, owner: str, **meant: Any) -> None:  # noqa: ANN401 - as _meant has them
    """Say that things are not yours. Who owns them changes when an operator accepts it."""
    body = {"answer": "disputed", "remark": reason, "proposed": owner}
    _answer(campaign, body, meant, "disputed")


@command.command("comment")
@_answering
@click.option("--text", metavar="TEXT", required=True, help="The remark.")
def comment(*, campaign: str, text: str, **meant: Any) -> None:  # noqa: ANN401 - as _meant has them
    """Write a remark at lines, and leave what was answered."""
    _answer(campaign, {"answer": None, "remark": text}, meant, "commented")


@command.command("reopen")
@_answering
def reopen(*, campaign: str, **meant: Any) -> None:  # noqa: ANN401 - as _meant has them
    """Take answers back: the lines are open again."""
    _answer(campaign, {"answer": "open"}, meant, "open again")


@command.command("accept")
@click.argument("campaign")
@_line_option
@click.option("--all", "everything", is_flag=True, help="All that are disputed.")
def accept(*, campaign: str, lines: tuple[int, ...], everything: bool) -> None:
    """Give disputed things to whose they are said to be, else to the fallback team."""
    body = {"items": list(lines), "all": everything}
    with connect() as client:
        done = client.tell(Accepted, "POST", path("campaigns", campaign, "accept"), body)
    for owner, count in done.given.items():
        click.echo(f"{counted(count, 'thing')} given to {owner}")
    if not done.given:
        click.echo("nothing is disputed")


@command.command("close")
@click.argument("campaign")
def close(*, campaign: str) -> None:
    """Close a campaign: it takes no answers any more, and what is open is lapsed."""
    with connect() as client:
        _print_campaign(client.tell(Campaign, "POST", path("campaigns", campaign, "close"), {}))


@command.command("cancel")
@click.argument("campaign")
def cancel(*, campaign: str) -> None:
    """Cancel a campaign before its date: it counts for nothing."""
    with connect() as client:
        _print_campaign(client.tell(Campaign, "POST", path("campaigns", campaign, "cancel"), {}))


def _answer(campaign: str, said: Mapping[str, object], meant: dict[str, Any], done: str) -> None:
    with connect() as client:
        found = client.tell(
            Answered, "POST", path("campaigns", campaign, "answers"), {**said, **_meant(**meant)}
        )
    click.echo(f"{found.changed:,} of {counted(found.lines, 'line')} {done}")


def _meant(
    *,
    id: str | None,  # noqa: A002 - the argument's name, as in the usage
    q: str | None,
    what: str,
    lines: Sequence[int],
    everything: bool,
    team: str,
) -> dict[str, object]:
    ways = (id is not None, q is not None, bool(lines), everything)
    if sum(ways) != 1:
        raise click.UsageError("say which lines are meant: ID, --line N, -q QUERY or --all")
    body: dict[str, object] = {"team": team}
    if id is not None:
        identity = resolve(id)
        return body | {"id": identity.id, "kind": identity.kind}
    if q is not None:
        return body | {"what": what, "q": q}
    return body | ({"items": list(lines)} if lines else {"all": True})


def _print_campaign(found: Campaign) -> None:
    facts: list[tuple[str, Cell | str]] = [
        ("state", found.state),
        ("by", found.until or "-"),
        ("of", found.team or "all teams"),
        ("lists", ", ".join(found.lists)),
        ("query", found.query or "-"),
        ("started", f"{found.started} by {found.started_by}"),
    ]
    if found.ended_by:
        facts.append((found.state, f"{found.ended} by {found.ended_by}"))
    if found.counts is not None:
        told = [f"{found.counts[word]:,} {word}" for word in STATES if found.counts.get(word)]
        facts.append(("lines", ", ".join(told) or "none"))
    print_facts(facts, f"campaign {found.name}")


def _owner(each: CampaignOwner) -> tuple[Cell | str, ...]:
    counts: dict[str, int] = {word: getattr(each, word) for word in STATES}
    return (
        each.owner,
        *(
            Cell(f"{count:,}", _STYLES.get(word, "") if count else "")
            for word, count in counts.items()
        ),
        ", ".join([*([each.contact] if each.contact else []), *each.people]) or "nobody",
    )


def _line(each: CampaignLine) -> tuple[Cell | str, ...]:
    said = [f"{day(each.answered)} by {each.answered_by}"] if each.answered else []
    said += [each.remark] if each.remark else []
    said += [f"-> {each.proposed}"] if each.proposed else []
    return (
        str(each.item),
        each.owner,
        each.kind,
        f"{each.host}:{each.name}" if each.host else each.name,
        each.id[:SHORT],
        day(each.not_after) if each.kind == "certificate" else "-",
        Cell(each.state, _STYLES.get(each.state, "")),
        ": ".join(said),
    )
