"""`keycensus-agent`: arguments of all commands, and the one place where errors become exit statuses.

A command's module is imported when it is chosen, so that `--help` costs an interpreter and argparse.
Nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import BinaryIO, NoReturn

from keycensus_agent import __version__
from keycensus_agent.errors import KeycensusError, UsageError

_INTERRUPTED = 130
_BROKEN_PIPE = 141
_INTERNAL = 3
_DEBUG = "KEYCENSUS_DEBUG"
# Commands by what their process gives up before it works. `run` sees to it by itself: it has a
# link to start. The others neither read what is a stranger's nor speak with anybody.
_WITHOUT_NETWORK = frozenset({"scan", "check", "explain"})
_WITH_NETWORK = frozenset({"enrol", "leave"})
_SPAN = re.compile(r"(\d{1,5})\s*([dw]?)")

_EPILOG = """\
Exit status: 0 done, gaps or not; 1 with --strict and gaps; 2 usage or configuration; 3 internal.
`check` speaks to monitoring: 0 fine, 1 warning, 2 critical, 3 unknown.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose usage errors have one exit status; `check` has its own."""

    usage_status = 2

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and leave."""
        self.print_usage(sys.stderr)
        self.exit(self.usage_status, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and shows no traceback to people.

    Without `arguments` it is the program, takes those of the process, and gives up the process's
    rights for good. Given some, it is a function of another program, whose rights stay as they are.
    """
    try:
        options = build_parser().parse_args(arguments)
        command = importlib.import_module(f"keycensus_agent.commands.{options.module}")
        options.own_process = arguments is None
        if getattr(options, "bundle", None) is not None:
            # While this is still the user who asked for it: the reader may write no file of theirs.
            options.bundle_file = _new_file(options.bundle)
        if options.own_process:
            _give_up(options.module)
        status: int = command.run(options)
        sys.stdout.flush()
    except KeycensusError as error:
        _say(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered goes nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        _say(
            f"agent.internal: {type(error).__name__}: this is a mistake in the program; please "
            f"report it, with what the same command prints under {_DEBUG}=1"
        )
        return _INTERNAL
    return status


def _give_up(command: str) -> None:
    """Give up what the command does not need, for good."""
    if command in _WITHOUT_NETWORK:
        from keycensus_agent.isolation.profiles import enter_reader

        enter_reader()
    elif command in _WITH_NETWORK:
        from keycensus_agent.isolation.profiles import enter_enrolment

        enter_enrolment()


def _new_file(path: str) -> BinaryIO:
    """Make a file that only its owner can read; UsageError if it is there or can't be made."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"--bundle {path!r}: is there already, and is not written over") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--bundle {path!r}: {reason}") from None
    return os.fdopen(fd, "wb")


def _say(text: str) -> None:
    sys.stderr.write(f"keycensus-agent: {text}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; the namespace has `module`, the command's."""
    parser = _Parser(
        prog="keycensus-agent",
        description="Finds every certificate and private key on this host.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"keycensus-agent {__version__}")
    _add_places(parser, default=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_scan(commands)
    _add_explain(commands)
    _add_check(commands)
    _add_enrol(commands)
    _add_run(commands)
    _add_leave(commands)
    _add_status(commands)
    _add(commands, "check-config", "print the effective configuration, or all its mistakes")
    _add(commands, "formats", "list the file formats that are understood")
    return parser


_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for its type


def _add(commands: _Commands[_Parser], name: str, text: str) -> _Parser:
    command = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    command.set_defaults(module=name.replace("-", "_"))
    _add_places(command, default=argparse.SUPPRESS)
    return command


def _add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add what every command takes, before or after its name."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=default,
        help="configuration file instead of /etc/keycensus/agent.toml",
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        default=default,
        help="state directory instead of /var/lib/keycensus-agent",
    )


def _add_search(command: argparse.ArgumentParser) -> None:
    """Add what says where to look and where not."""
    command.add_argument(
        "--root",
        metavar="DIR",
        default="/",
        help="look at the file system below DIR as if DIR were /",
    )
    command.add_argument(
        "--exclude",
        metavar="GLOB",
        action="append",
        default=[],
        help="stay out of paths or names like GLOB (may be given again)",
    )
    command.add_argument(
        "--network-file-systems", action="store_true", help="look at NFS, CIFS and the like too"
    )
    command.add_argument(
        "--password-file",
        metavar="FILE",
        help="passwords for keystores: lines of PATTERN:PASSWORD, mode 0600",
    )
    command.add_argument(
        "--try-default-passwords",
        action="store_true",
        help='try what keystores are often left with, such as "changeit"',
    )


def _add_scan(commands: _Commands[_Parser]) -> None:
    command = _add(commands, "scan", "print every certificate and key below PATH (default: /)")
    command.add_argument("paths", metavar="PATH", nargs="*")
    command.add_argument(
        "-o", "--output", choices=("table", "json", "ndjson", "csv"), default="table"
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="table: show trust stores and what packages brought, name by name",
    )
    command.add_argument(
        "--strict", action="store_true", help="exit with 1 if anything could not be looked at whole"
    )
    command.add_argument(
        "--bundle",
        metavar="FILE",
        help="print nothing: write what `run` would send to FILE, for `keycensus import`",
    )
    _add_search(command)


def _add_explain(commands: _Commands[_Parser]) -> None:
    command = _add(commands, "explain", "say why PATH is seen, skipped or refused")
    command.add_argument("paths", metavar="PATH", nargs="+")
    _add_search(command)


def _add_check(commands: _Commands[_Parser]) -> None:
    command = _add(
        commands,
        "check",
        "one line for monitoring: expired or expiring certificates below PATH (default: /)",
    )
    command.usage_status = 3
    command.add_argument("paths", metavar="PATH", nargs="*")
    command.add_argument(
        "--within",
        metavar="30d",
        type=_days,
        default=30,
        help="warn of what expires within so many days (30d) or weeks (4w); default 30d",
    )
    command.add_argument(
        "--include-trust-stores",
        action="store_true",
        help="look at the roots of trust stores, and at what packages brought, too",
    )
    _add_search(command)


def _add_enrol(commands: _Commands[_Parser]) -> None:
    command = _add(commands, "enrol", "get an identity from a collector")
    command.add_argument("--collector", metavar="HOST[:PORT]", required=True)
    command.add_argument(
        "--token-file",
        metavar="FILE",
        required=True,
        help='file with the enrolment token, "-" for standard input',
    )


def _add_run(commands: _Commands[_Parser]) -> None:
    command = _add(commands, "run", "look, report, and go on doing so")
    command.add_argument(
        "--once", action="store_true", help="one sweep and one report, as for cron"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="with --once: print what would be sent, send nothing"
    )


def _add_leave(commands: _Commands[_Parser]) -> None:
    command = _add(
        commands, "leave", "tell the collector that this host leaves, and give up the identity"
    )
    command.add_argument(
        "--reason", metavar="TEXT", default="", help="why, for the people at the collector"
    )
    command.add_argument(
        "--force",
        action="store_true",
        help="give up the identity even if the collector can't be told",
    )
    command.add_argument("--purge", action="store_true", help="remove the state directory too")


def _add_status(commands: _Commands[_Parser]) -> None:
    command = _add(commands, "status", "say how the agent of this host is doing")
    command.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _days(text: str) -> int:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span: write 30d or 4w")
    return int(match[1]) * (7 if match[2] == "w" else 1)


if __name__ == "__main__":
    sys.exit(main())
