"""The `keycensus-collector` command: one file a group of commands, errors told without traceback."""

from __future__ import annotations

import os
import sys

import click

from keycensus_collector import __version__
from keycensus_collector.cli.agent import agent
from keycensus_collector.cli.agent_rekey import rekey
from keycensus_collector.cli.agent_show import show
from keycensus_collector.cli.audit import audit
from keycensus_collector.cli.ca import ca
from keycensus_collector.cli.db import db
from keycensus_collector.cli.doctor import doctor
from keycensus_collector.cli.host import host
from keycensus_collector.cli.host_succeeds import succeeds
from keycensus_collector.cli.init import init
from keycensus_collector.cli.serve import serve
from keycensus_collector.cli.token import token
from keycensus_collector.cli.user import user
from keycensus_collector.errors import KeycensusError

PROGRAM = "keycensus-collector"
TRACEBACK_ENVIRONMENT = "KEYCENSUS_TRACEBACK"
_INTERNAL = 3
_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM)
def command() -> None:
    """Keep one record per certificate and key of a company, with every place it lives."""


for _each in (init, serve, token, agent, host, user, audit, ca, db, doctor):
    command.add_command(_each)
for _each in (rekey, show):
    agent.add_command(_each)
host.add_command(succeeds)


def main() -> None:
    """Run the command line and exit with its status (errors.py)."""
    # gRPC's own lines on standard error say less than our errors do.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        result = command.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except KeycensusError as error:
        for line in str(error).splitlines():
            click.echo(f"{PROGRAM}: {line}", err=True)
        return error.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get(TRACEBACK_ENVIRONMENT):
            raise
        click.echo(
            f"{PROGRAM}: internal error: {type(error).__name__}: {error}. This is a bug: please "
            f"report it, with what {TRACEBACK_ENVIRONMENT}=1 shows",
            err=True,
        )
        return _INTERNAL
