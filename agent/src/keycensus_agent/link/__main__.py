"""`python -m keycensus_agent.link --fd N --identity DIR`: one connection of the reader, then leave.

The link process. It inherits its socket from the reader, has network and the identity directory,
and ends with the connection. Everything that it may need is imported before it gives up the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from keycensus_agent.isolation.ownership import give_to_link
from keycensus_agent.isolation.profiles import enter_link
from keycensus_agent.link.anew import Invitation
from keycensus_agent.link.control import Route
from keycensus_agent.link.identity import IdentityStore
from keycensus_agent.link.machine import ThisMachine
from keycensus_agent.link.preload import preload
from keycensus_agent.link.stream import Link
from keycensus_agent.logs import set_up_logs

_GOOD_ENDINGS = frozenset({"done", "stopped"})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="keycensus_agent.link", description="Relays between the reader and the collector."
    )
    parser.add_argument("--fd", type=int, required=True, help="connected AF_UNIX stream socket")
    parser.add_argument("--identity", type=Path, required=True, help="identity directory")
    parser.add_argument("--address", default="", help="host:port instead of the identity's")
    parser.add_argument("--enrol", default="", help="host:port to enrol at if there is no identity")
    parser.add_argument("--token-file", type=Path, help="file with the token for that")
    parser.add_argument("--log-format", default="auto", choices=["auto", "json", "console"])
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    return parser.parse_args()


async def _serve(
    arguments: argparse.Namespace,
    store: IdentityStore,
    machine: ThisMachine,
    invitation: Invitation,
    landlock: int,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The proxy, which may carry a password, comes in the environment and not in argv.
    route = Route(arguments.address, os.environ.get("KEYCENSUS_PROXY", ""))
    connection = socket.socket(fileno=arguments.fd)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    link = Link(reader, writer, store, route, machine, invitation=invitation, landlock=landlock)
    closing = await link.serve(stop)
    status = 0 if closing.reason in _GOOD_ENDINGS else 3
    sys.stderr.flush()
    # Not by way of the interpreter's end: it would wait for a thread that explains a failed
    # handshake to a silent server. Everything is on disk or sent.
    os._exit(status)


def _enter(identity: Path) -> tuple[IdentityStore, int]:
    """Give up everything but the network and the identity directory, for good.

    Returns the store and the version of Landlock in force. Root hands the directory to the user that
    this process then is; the directory is entered before, since that user may not pass those above.
    """
    give_to_link(identity)
    try:
        descriptor = os.open(identity, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # There is none, or none of ours: the store says so.
        return IdentityStore(identity), enter_link(None)
    os.fchdir(descriptor)
    os.close(descriptor)
    return IdentityStore(identity, here=True), enter_link(".")


def main() -> None:
    """Run the link process."""
    arguments = _arguments()
    # The agent's key is in this process: it leaves no core file behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_up_logs(arguments.log_format, arguments.log_level)
    # Root's: what tells machines apart, and the token, are not for every user.
    machine = ThisMachine.look()
    invitation = Invitation.open(arguments.enrol, arguments.token_file)
    preload()
    store, landlock = _enter(arguments.identity)
    asyncio.run(_serve(arguments, store, machine, invitation, landlock))


if __name__ == "__main__":
    main()
