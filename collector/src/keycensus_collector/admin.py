"""How a command reaches the database: through the running server's socket, or by itself.

One SQLite connection writes, and it is the server's while that runs. The socket stands in the state
directory, mode 0600, and answers only root and the server's own user (SO_PEERCRED). One request is
one line of JSON, `{"operation": NAME, "arguments": {…}}`; so is the answer, `{"result": …}` or
`{"error": {"id", "text", "exit_status"}}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection

from keycensus_collector.access import rights
from keycensus_collector.access.permissions import ROLES
from keycensus_collector.authority.authority import from_ms
from keycensus_collector.authority.keeper import AuthorityKeeper, registered
from keycensus_collector.clock import Clock
from keycensus_collector.config import Configuration
from keycensus_collector.deployment import admin_socket
from keycensus_collector.errors import AddressError, KeycensusError, StoreError, UsageError
from keycensus_collector.operation import Arguments, Json, Surroundings
from keycensus_collector.operations import OPERATIONS
from keycensus_collector.store.engine import Store

_REQUEST_LIMIT = 64 * 1024
_ANSWER_LIMIT = 256 * 1024 * 1024
_PATIENCE_SECONDS = 60.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)

_log = structlog.get_logger()


def call(
    configuration: Configuration,
    clock: Clock,
    name: str,
    arguments: Arguments,
    *,
    patience_seconds: float = _PATIENCE_SECONDS,
) -> Json:
    """Run an operation where the database is open, and return its result.

    Raises what the operation raises; of the server's errors, text and exit status arrive.
    """
    try:
        connection = _connect(admin_socket(configuration))
    except (FileNotFoundError, ConnectionRefusedError):
        return _run_here(configuration, clock, name, arguments)
    except OSError as error:
        raise StoreError(
            f"{admin_socket(configuration)} can't be used: {error.strerror}; run this as root or "
            "as the collector's user"
        ) from error
    connection.settimeout(patience_seconds)
    with connection:
        return _ask(connection, name, arguments)


def server_runs(configuration: Configuration) -> bool:
    """Say whether a server answers at the socket."""
    try:
        _connect(admin_socket(configuration)).close()
    except OSError:
        return False
    return True


def _run_here(configuration: Configuration, clock: Clock, name: str, arguments: Arguments) -> Json:
    now_ms = clock.now_ms()
    operation = OPERATIONS[name]
    with Store.open(configuration.database_url) as store:
        with store.read() as connection:
            rows = registered(connection)
        authority = AuthorityKeeper(configuration.state_directory, rows, from_ms(now_ms))
        around = Surroundings(authority, now_ms)
        with store.write() if operation.writes else store.read() as connection:
            result = operation.run(connection, around, arguments)
        if operation.changes_authority:
            with store.read() as connection:
                authority.refresh(registered(connection), from_ms(now_ms))
        return result


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        with _short_name(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """Give a name of `path` that fits into the 107 bytes of a socket address."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _ask(connection: socket.socket, name: str, arguments: Arguments) -> Json:
    request = json.dumps({"operation": name, "arguments": dict(arguments)}).encode() + b"\n"
    try:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            answer = stream.readline(_ANSWER_LIMIT)
    except OSError as error:
        raise StoreError(f"the running server did not answer: {error}") from error
    if not answer.endswith(b"\n"):
        raise StoreError("the running server did not answer; its log says why")
    message: dict[str, Any] = json.loads(answer)
    if "error" in message:
        kind = UsageError if message["error"]["exit_status"] == 2 else KeycensusError
        raise kind(message["error"]["text"])
    return message["result"]


class AdminServer:
    """The server's end of the socket."""

    def __init__(
        self,
        store: Store,
        authority: AuthorityKeeper,
        clock: Clock,
        path: Path,
        follow_authority: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._authority = authority
        self._follow_authority = follow_authority
        self._clock = clock
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, in place of a socket that a killed server left; AddressError if that fails."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                with _short_name(self._path) as name:
                    listener.bind(name)
            finally:
                os.umask(before)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listener, limit=_REQUEST_LIMIT
            )
        except OSError as error:
            listener.close()
            raise AddressError(f"{self._path} can't be made: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop listening and take the socket away."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._is_allowed(writer.get_extra_info("socket")):
                line = await reader.readline()
                if not line:
                    return  # somebody looked whether a server runs
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            _log.warning("admin.broken_request")
        finally:
            writer.close()

    def _is_allowed(self, connection: socket.socket) -> bool:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(raw)[1]
        allowed = uid in (0, os.geteuid())
        if not allowed:
            _log.warning("admin.refused", uid=uid)
        return allowed

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"result": await self._run(json.loads(line))}
        except KeycensusError as error:
            told = error
        except Exception:  # noqa: BLE001 - a bug in one command must not end the server
            _log.exception("admin.failed")
            told = KeycensusError("the running server failed at this; its log says why")
        return {"error": {"id": told.error_id, "text": str(told), "exit_status": told.exit_status}}

    async def _run(self, request: object) -> Json:
        if not isinstance(request, dict) or not isinstance(request.get("arguments", {}), dict):
            raise UsageError("a request is an object with an operation and its arguments")
        name, arguments = request.get("operation"), request.get("arguments", {})
        operation = OPERATIONS.get(str(name))
        # Who reaches this socket is root or the collector's user, and so an admin.
        if operation is None or rights.OPERATIONS.get(str(name)) not in ROLES["admin"]:
            raise UsageError(f"the running server knows no operation {name!r}; restart it")
        around = Surroundings(self._authority, self._clock.now_ms())

        def work(connection: Connection) -> Json:
            return operation.run(connection, around, arguments)

        if operation.writes:
            _log.info("admin.operation", operation=name)
            result = await self._store.run_write(work, urgent=True)
            if operation.changes_authority:
                await self._follow_authority()
            return result
        return await self._store.run_read(work)
