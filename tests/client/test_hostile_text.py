"""Every command prints hostile text so that it does nothing, in every form of output (FAULTS T11, T13)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from fakes import hostile
from fakes.served import Served, api_token
from sqlalchemy import select

from keycensus_client.cli import COMMANDS, keycensus
from keycensus_collector.store.schema import certificate, host, public_key

# A change of colour, which is the command's own on a terminal.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What they change is told by other tests; `login` prints nothing of the inventory.
_WRITES = {"login", "views save", "views delete"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = hostile.fill(directory)
    served = Served(census, directory, api_token(census, role="admin"))
    yield served
    served.close()


def readers(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below one that has an output to choose."""
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield from readers(found, f"{name} {inner}".strip())
    elif name not in _WRITES and any(option.name == "output" for option in command.params):
        yield name, command


def arguments(served: Served, name: str, command: click.Command) -> list[list[str]]:
    """Return what a command is called with: its identities, or a view, or nothing."""
    needed = [
        each.name for each in command.params if isinstance(each, click.Argument) and each.required
    ]
    if not needed:
        return [[]]
    if name == "views run":
        return [["expiring"], ["locked-keystores"], ["blind-spots"], ["lone-keys"]]
    census = served.census
    hashes = [row[0].hex() for row in census.rows(select(certificate.c.sha256).limit(2))]
    keys = [row[0].hex() for row in census.rows(select(public_key.c.key_id).limit(2))]
    hosts = [row[0] for row in census.rows(select(host.c.host_id).limit(2))]
    return [[each] for each in (*hashes, *keys, *hosts, *hostile.TEXTS[:1])]


def test_no_command_prints_anything_that_acts(served: Served) -> None:
    environment = {
        "KEYCENSUS_URL": served.url,
        "KEYCENSUS_TOKEN_FILE": str(served.token_file),
        "KEYCENSUS_CA_FILE": str(served.ca_file),
        "COLUMNS": "200",
    }
    seen, cells = set(), 0
    for name, command in readers(keycensus, ""):
        output = next(option for option in command.params if option.name == "output")
        assert isinstance(output.type, click.Choice)
        for form in output.type.choices:
            for colour in ("", "1") if form == "table" else ("",):
                for given in arguments(served, name, command):
                    done = CliRunner().invoke(
                        keycensus,
                        [*name.split(), *given, "-o", form],
                        env=environment | {"FORCE_COLOR": colour or None},
                    )
                    said = (name, form, given, done.output)
                    assert done.exception is None or done.exit_code or given, said
                    assert not isinstance(done.exception, AssertionError | TypeError | KeyError), (
                        said
                    )
                    shown = _COLOUR.sub("", done.output) if colour else done.output
                    assert hostile.is_inert(shown), said
                    if done.exit_code == 0 and form == "json":
                        cells += hostile.check_json(done.stdout)
                    if done.exit_code == 0 and form == "csv":
                        cells += hostile.check_csv(done.stdout)
        seen.add(name)
    assert {"certs", "keys", "hosts", "places", "show", "where", "summary", "views list"} <= seen
    assert {name.split()[0] for name in seen} <= set(COMMANDS)
    assert cells > 2_000
