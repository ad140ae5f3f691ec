"""`keycensus import FILE`: bring what hosts can't report by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import click

from keycensus_client.commands.brought import (
    artifacts_lines,
    ca_list_lines,
    looks_like_artifacts,
    send_artifacts,
    send_ca_list,
)
from keycensus_client.commands.session import connect, text_or_json_option
from keycensus_client.errors import UsageError
from keycensus_client.model import ArtifactsTaken, BundleTaken, KnownTaken, ListTaken
from keycensus_client.output.files import print_json
from keycensus_client.text import safe_text

_MAGIC = b"KCBUNDLE"
_HEAD_BYTES = 64 * 1024
_OF_HOSTS = ("csv", "ansible-ini", "ansible-yaml", "json")
# Hosts named one by one; lists are for more.
_SHOWN = 20


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rename", is_flag=True, help="Another machine took an imported host's name.")
@click.option(
    "--hosts", "source", metavar="SOURCE", help="FILE lists known hosts, as SOURCE has them."
)
@click.option("--ca-list", is_flag=True, help="FILE lists what an authority issued.")
@click.option("--name", metavar="NAME", help="What the file is called; else by its own name.")
@click.option(
    "--format",
    "format_",
    type=click.Choice([*_OF_HOSTS, "openssl-index", "pem"]),
    help="How the list is written; else by the file.",
)
@click.option("--serials", type=click.Choice(["hex", "decimal"]), help="How a list writes them.")
@click.option("--issuer", metavar="ID", help="Certificate of the authority that a list is of.")
@click.option("--preview", is_flag=True, help="Only tell what it would come to.")
@text_or_json_option
def command(
    *,
    file: Path,
    rename: bool,
    source: str | None,
    ca_list: bool,
    output: str,
    **options: Any,  # noqa: ANN401 - as click gives them
) -> None:
    """Import FILE: a host's bundle, certificates, revocation lists; with an option, a list.

    It replaces what was imported of that host, source or name before. What it tells is shown as imported.
    """
    _check_options(source, options, ca_list=ca_list)
    shown = safe_text(str(file))
    try:
        with file.open("rb") as content, connect() as client:
            taken: BundleTaken | KnownTaken | ArtifactsTaken | ListTaken
            preview = options["preview"]
            if ca_list:
                taken = send_ca_list(client, content, file, **options)
            elif source is not None:
                format_ = options["format_"] or _format_of(file)
                taken = client.import_hosts(content, source, format_)
            elif _is_bundle(content, shown):
                taken = client.import_bundle(content, rename=rename)
            else:
                name = options["name"] or file.name
                taken = send_artifacts(client, content, shown, name, preview=preview)
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror}") from None
    if output == "json":
        print_json(taken)
    else:
        click.echo(_text(taken, preview=preview))


def _check_options(source: str | None, options: dict[str, Any], *, ca_list: bool) -> None:
    """Raise UsageError for options that don't go with what is imported."""
    if source is None and not ca_list and options["format_"]:
        raise UsageError("--format is of lists: give --hosts SOURCE or --ca-list with it")
    if not ca_list and (options["serials"] or options["issuer"]):
        raise UsageError("--serials and --issuer are of lists of authorities: give --ca-list")
    if source is not None and (ca_list or options["name"] or options["preview"]):
        raise UsageError("--hosts goes with --format alone")


def _text(taken: BundleTaken | KnownTaken | ArtifactsTaken | ListTaken, *, preview: bool) -> str:
    if isinstance(taken, BundleTaken):
        return _line(taken)
    if isinstance(taken, KnownTaken):
        return _lines(taken)
    if isinstance(taken, ListTaken):
        return ca_list_lines(taken, preview=preview)
    return artifacts_lines(taken, preview=preview)


def _is_bundle(content: BinaryIO, shown: str) -> bool:
    """Tell a bundle from certificates and lists before anything is sent; UsageError if it is neither."""
    head = content.read(_HEAD_BYTES)
    content.seek(0)
    if not head.startswith(_MAGIC) and not looks_like_artifacts(head):
        raise UsageError(
            f"{shown} is no bundle: keycensus-agent scan --bundle FILE writes one; nor certificates or"
            " revocation lists in PEM, DER or PKCS#7; of a list say --hosts SOURCE or --ca-list"
        )
    return head.startswith(_MAGIC)


def _format_of(file: Path) -> str:
    known = {".csv": "csv", ".json": "json", ".yml": "ansible-yaml", ".yaml": "ansible-yaml"}
    return known.get(file.suffix.lower(), "ansible-ini")


def _lines(taken: KnownTaken) -> str:
    first = (
        f"imported {taken.hosts:,} known hosts of {taken.source}: {taken.with_agent:,} report,"
        f" {taken.without_agent:,} without an agent, {taken.removed:,} named no more"
    )
    lines = [first]
    lines += [f"  {each.name} is {each.host}, by its {each.by}" for each in taken.matched_otherwise]
    lines += [f"  {name}: without an agent" for name in taken.without[:_SHOWN]]
    lines += [f"  {name}: named no more" for name in taken.gone[:_SHOWN]]
    if max(len(taken.without), len(taken.gone)) > _SHOWN:
        lines.append("  and more: keycensus hosts --without-agent lists them")
    return "\n".join(lines)


def _line(taken: BundleTaken) -> str:
    what = "new host" if taken.new_host else "host"
    parts = [f"imported {what} {taken.host}: {taken.rows:,} rows, {taken.removed:,} gone since"]
    if taken.gaps:
        parts.append(f"{taken.gaps:,} places were out of its sight")
    if not taken.complete:
        parts.append("its sweep was not finished")
    return "; ".join(parts)
