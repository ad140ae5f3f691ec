"""`keycensus-agent-link`: the link as systemd starts it, one process for one accepted connection.

Runs as the link's user, before the link itself. systemd hands over the connection of whoever came
to the socket; this looks who that is, reads from the configuration what the reader otherwise passes
as arguments, and becomes the link by exec. Source: sd_listen_fds(3), unix(7) SO_PEERCRED.
"""

from __future__ import annotations

import argparse
import os
import pwd
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from keycensus_agent.config import Config, load_config
from keycensus_agent.errors import KeycensusError, LinkError, UsageError
from keycensus_agent.relay import FrameKind, closed_payload, encode_frame

_PASSED_DESCRIPTOR = 3
_CREDENTIALS = struct.Struct("3i")
_ROOT = 0
_SYSTEMDS_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def main(argv: Sequence[str] | None = None) -> None:
    """Become the link of the connection that systemd passed; exits with an error's status."""
    arguments = _parser().parse_args(argv)
    try:
        connection = _passed_connection()
    except KeycensusError as error:
        _tell_and_exit(error)
    try:
        _check_peer(connection, arguments.reader)
        config = load_config(Path(arguments.config) if arguments.config else None)
        _become_link(connection, config)
    except KeycensusError as error:
        # The reader is told too: that is where people look.
        with suppress(OSError):
            payload = closed_payload("stopped", str(error))
            connection.sendall(encode_frame(FrameKind.CLOSED, payload))
        _tell_and_exit(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keycensus-agent-link",
        description="Relays between the reader and the collector; started by systemd only.",
    )
    parser.add_argument("--reader", required=True, metavar="USER", help="who may connect")
    parser.add_argument("--config", metavar="FILE", help="instead of /etc/keycensus/agent.toml")
    return parser


def _passed_connection() -> socket.socket:
    passed = os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS")
    if passed != "1":
        raise UsageError(
            "keycensus-agent-link is started by systemd for a connection to "
            "keycensus-agent-link.socket, not by hand: `systemctl start keycensus-agent`"
        )
    connection = socket.socket(fileno=_PASSED_DESCRIPTOR)
    if connection.family != socket.AF_UNIX:
        connection.close()
        raise UsageError(
            "the socket that systemd passed is not AF_UNIX: keycensus-agent-link.socket must have "
            "ListenStream= with a path"
        )
    return connection


def _check_peer(connection: socket.socket, reader: str) -> None:
    """LinkError unless the other end is the reader or root: the socket's mode may be mistaken."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(packed)
    try:
        allowed = pwd.getpwnam(reader).pw_uid
    except KeyError as error:
        raise UsageError(f"there is no user {reader!a}: `systemd-sysusers` makes it") from error
    if uid not in {allowed, _ROOT}:
        raise LinkError(
            f"user {uid} is not the reader ({reader}) and is not served; the mode of the socket "
            "should have kept it out: see SocketMode= in keycensus-agent-link.socket",
            reason="refused",
        )


def _become_link(connection: socket.socket, config: Config) -> None:
    command = [sys.executable, "-I", "-B", "-m", "keycensus_agent.link"]
    command += ["--fd", str(connection.fileno()), "--identity", str(config.identity_directory)]
    command += ["--address", config.collector.address]
    command += ["--log-format", config.log.format, "--log-level", config.log.level]
    environment = {
        name: value for name, value in os.environ.items() if name not in _SYSTEMDS_VARIABLES
    }
    environment |= {"GRPC_VERBOSITY": "NONE", "KEYCENSUS_PROXY": config.collector.proxy}
    connection.set_inheritable(True)
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own program, no shell


def _tell_and_exit(error: KeycensusError) -> NoReturn:
    # To the journal; the log's settings may be what is mistaken.
    sys.stderr.write(f"keycensus-agent-link: {error}\n")
    sys.exit(error.exit_status)
