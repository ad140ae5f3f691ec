"""The `keycensus` command. Commands are imported when they are run, so that help comes at once."""

from __future__ import annotations

import importlib
import os
import sys

import click

from keycensus_client import __version__
from keycensus_client.errors import KeycensusError

# Name, and what it does in a line; each is `command` in its own file below commands/.
COMMANDS = {
    "login": "Log in to a collector with a password or an API token.",
    "certs": "List certificates, those that expire first at the top.",
    "keys": "List private keys with their places.",
    "hosts": "List hosts by name.",
    "places": "List places by host and path, whatever they hold.",
    "gaps": "List where agents could not look, and why.",
    "owners": "Say who owns what: teams, what they are given, and why.",
    "recertify": "Ask owners by a date what is theirs, and answer.",
    "agents": "Say which agents report, and ban, end or rekey them.",
    "enrolment": "List, make and revoke tokens with which hosts enrol.",
    "people": "Say who there is, and what they held when they leave.",
    "labels": "Say what hosts and certificates are for, and why.",
    "rules": "Try and apply rules, which say whose things are.",
    "views": "List, run, save and delete views: queries with a name.",
    "history": "Show what happened to a certificate, key or host.",
    "diff": "Show what differs between two dates.",
    "coverage": "Show how much of the fleet was looked at.",
    "import": "Bring a file: a bundle of a host that can't enrol.",
    "imports": "List what was imported, by whom and when.",
    "mark": "Mark a certificate, key or authority as compromised or distrusted; list marks.",
    "unmark": "Lift marks.",
    "tokens": "List, make and revoke your API tokens.",
    "audit": "List what was done, and by whom.",
    "export": "Write saved views into files, for git.",
    "apply": "Make saved views what files say, after showing how.",
    "show": "Show everything about a certificate, key or host.",
    "where": "List every place of a certificate or key.",
    "summary": "Show the counts to look at first.",
}


class _Commands(click.Group):
    """The commands of COMMANDS, imported only when one is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        # "import" is a word of the language.
        name = "import_" if cmd_name == "import" else cmd_name
        module = importlib.import_module(f"keycensus_client.commands.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keycensus")
def keycensus() -> None:
    """Ask a keycensus collector where every certificate and private key is.

    Exit status: 0 done; 1 show and where found nothing; 2 usage; 3 the collector can't be asked.
    """


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        keycensus.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except KeycensusError as error:
        click.echo(f"keycensus: {error}", err=True)
        sys.exit(error.exit_status)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
