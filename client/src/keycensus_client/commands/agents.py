"""`keycensus agents`: the identities that hosts enrolled with, what ails them, and what operators do to them."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from keycensus_client.agents import (
    Agent,
    AgentDetail,
    AgentPage,
    AgentState,
    ClonesRekeyed,
    HostState,
    Rekeyed,
)
from keycensus_client.commands.session import (
    collect,
    connect,
    effective_limit,
    limit_option,
    now,
    output_option,
    say_rest,
    text_or_json_option,
)
from keycensus_client.editing import ask_first
from keycensus_client.output.cells import SHORT, ago, counted, day
from keycensus_client.output.files import print_items, print_json
from keycensus_client.output.table import Cell, Column, Row, print_facts, print_table
from keycensus_client.rest import pages, path

_STATES = ("active", "cloned", "rekeyed", "banned", "evicted", "left")
_STYLES = {"cloned": "red", "banned": "red", "rekeyed": "yellow", "evicted": "dim", "left": "dim"}
_COLUMNS = (
    Column("HOST", fold=True),
    Column("STATE"),
    Column("WHAT AILS IT", fold=True),
    Column("LAST SEEN"),
    Column("VERSION"),
    Column("CERTIFICATE ENDS"),
    Column("ID"),
)
_MACHINES = (
    Column("NAME", fold=True),
    Column("ADDRESS"),
    Column("BOOT"),
    Column("LAST VERDICT"),
    Column("HELLOS", "right"),
    Column("LAST"),
)
_CLONES = (Column("HOST", fold=True), Column("MACHINES", "right"), Column("ID"))

_agent = click.argument("agent")
_reason = click.option("--reason", metavar="TEXT", default="", help="Why, for the record.")


@click.group("agents")
def command() -> None:
    """Say who reports, and what becomes of it. For operators and admins.

    An agent is named by its ID, the beginning of it, or its host's name.
    """


@command.command("list")
@click.option("--state", type=click.Choice(_STATES), help="In this state.")
@click.option("--host", metavar="TEXT", help="A part of the host's name.")
@output_option
@limit_option
def list_(*, output: str, limit: int | None, **filters: str | None) -> None:
    """List agents by their hosts' names, with what ails each."""
    with connect() as client:

        def page(**asked: Any) -> AgentPage:  # noqa: ANN401 - parameters of the request
            return client.ask(AgentPage, path("agents"), asked)

        found = pages(page, effective_limit(limit, output), filters)
        items, total, exact = collect(found)
    print_items(output, items, Agent, "no agents", partial(_print_agents, items))
    if output == "table":
        say_rest(len(items), total, exact=exact, what="agents")


@command.command("show")
@_agent
@text_or_json_option
def show(*, agent: str, output: str) -> None:
    """Show one agent, and the machines that used its identity."""
    with connect() as client:
        found = client.ask(AgentDetail, path("agents", agent))
    if output == "json":
        print_json(found)
        return
    facts: list[tuple[str, Cell | str]] = [
        ("host", found.host),
        ("state", Cell(found.state, _STYLES.get(found.state, ""))),
        ("why", found.reason or "-"),
        ("what ails it", ", ".join(found.problems) or "nothing"),
        ("version", found.version),
        ("enrolled", f"{day(found.enrolled)} by {found.enrolled_by}"),
        ("certificate ends", day(found.certificate_ends)),
    ]
    if found.rekey_until:
        facts.append(("copies may come", f"{found.rekey_copies_left:,} until {found.rekey_until}"))
    print_facts(facts, f"agent {found.id}")
    if found.machines:
        click.echo("")
        moment = now()
        rows = [
            (
                each.name,
                each.address,
                each.boot[:SHORT],
                each.verdict,
                f"{each.hellos:,}",
                ago(each.last_seen, moment),
            )
            for each in found.machines
        ]
        print_table(_MACHINES, rows)


@command.command("ban")
@_agent
@_reason
def ban(*, agent: str, reason: str) -> None:
    """Shut an agent's host out for good, with every identity of it."""
    _change("ban", agent, reason=reason)


@command.command("unban")
@_agent
def unban(*, agent: str) -> None:
    """Let a banned host in again."""
    _change("unban", agent)


@command.command("evict")
@_agent
@_reason
def evict(*, agent: str, reason: str) -> None:
    """End an identity; its host may enrol again with a new token."""
    _change("evict", agent, reason=reason)


@command.command("rekey")
@click.argument("agent", required=False)
@click.option("--keep", metavar="MACHINE", default="", help="Stays this host: boot, name, address.")
@click.option("--clones", is_flag=True, help="Of all identities that several machines share.")
@click.option("-q", "--query", "q", metavar="QUERY", default="", help="Of these hosts' clones.")
@click.option(
    "--within-hours", type=click.IntRange(min=1), help="So long machines may come.  [default: 168]"
)
@click.option("--copies", type=click.IntRange(min=1), help="So many of each.  [default: 2000]")
@click.option("--preview", is_flag=True, help="With --clones: say what would end, and end nothing.")
@click.option("--yes", "sure", is_flag=True, help="With --clones: do not ask; for scripts.")
def rekey(
    *,
    agent: str | None,
    keep: str,
    clones: bool,
    q: str,
    preview: bool,
    sure: bool,
    **limits: int | None,
) -> None:
    """Give each machine that shares AGENT's identity, or with --clones any, one of its own."""
    body: dict[str, object] = {name: value for name, value in limits.items() if value is not None}
    if bool(agent) == (clones or bool(q)):
        raise click.UsageError("say what is meant: either AGENT, or --clones")
    if agent:
        if preview or sure:
            raise click.UsageError("--preview and --yes are for --clones")
        with connect() as client:
            at = path("agents", agent, "rekey")
            done = client.tell(Rekeyed, "POST", at, body | {"keep": keep})
        click.echo(
            f"{done.id} has ended: {counted(done.machines, 'machine')} may come until {done.until}"
        )
        return
    if keep:
        raise click.UsageError("--keep names a machine of one agent: give that agent")
    _rekey_clones(body | {"q": q}, preview=preview, sure=sure)


@command.command("retire")
@click.argument("host")
def retire(*, host: str) -> None:
    """Evict a host's agents; its last inventory stays, marked."""
    with connect() as client:
        done = client.tell(HostState, "POST", path("hosts", host, "retire"), {})
    click.echo(f"{done.name} is {done.state}")


def _rekey_clones(body: dict[str, object], *, preview: bool, sure: bool) -> None:
    with connect() as client:

        def tell(*, preview: bool, over: str = "") -> ClonesRekeyed:
            sent = body | {"preview": preview}
            return client.tell(ClonesRekeyed, "POST", path("clones", "rekey"), sent, over=over)

        seen = tell(preview=True)
        if not seen.identities:
            click.echo("no clones")
            return
        click.echo(
            f"{counted(seen.identities, 'clone')} would end; {counted(seen.machines, 'machine')} used them"
        )
        rows = [(each.host, f"{each.machines:,}", each.id[:SHORT]) for each in seen.samples]
        print_table(_CLONES, rows)
        if preview:
            return
        ask_first(sure=sure)
        done = tell(preview=False, over=f'"{seen.digest}"')
    click.echo(f"{counted(done.identities, 'clone')} ended; machines may come until {done.until}")


def _change(what: str, agent: str, **body: str) -> None:
    with connect() as client:
        done = client.tell(AgentState, "POST", path("agents", agent, what), body)
    click.echo(f"{done.id} is {done.state}")


def _print_agents(items: list[Agent]) -> None:
    moment = now()
    rows: list[Row] = [
        (
            each.host,
            Cell(each.state, _STYLES.get(each.state, "")),
            Cell(", ".join(each.problems), "yellow"),
            ago(each.last_seen, moment),
            each.version,
            day(each.certificate_ends),
            Cell(each.id[:SHORT], "dim"),
        )
        for each in items
    ]
    print_table(_COLUMNS, rows)
