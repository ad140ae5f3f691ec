"""The audit log to a syslog server: RFC 5424 over UDP, TCP, TLS or a local socket.

Each row is one message, in the order of the log, its text a JSON object with the row's hash: a copy
elsewhere that shows whether the database's own was made anew. How far it got is kept in the database, so
nothing is left out over a restart or a server that was away; a message may come twice. One collector
of several sends. A server that does not answer delays nothing but its own messages.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, select

from keycensus_collector.access.audit import rows_after
from keycensus_collector.access.syslog_target import Target
from keycensus_collector.errors import StoreError
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store, upsert
from keycensus_collector.store.tables.access import audit_sent

_log = structlog.get_logger()

# Facility "log audit" (13), severity "notice" (5): RFC 5424, section 6.2.1.
_PRIORITY = 13 * 8 + 5
# What every receiver of UDP should take (RFC 5424, section 6.1); longer details are cut there.
_DATAGRAM_BYTES = 2_048
_AT_ONCE = 200
_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 60.0
_PATIENCE_SECONDS = 10.0
_UNPRINTABLE = re.compile(r"[^!-~]")


def message(row: dict[str, Any], *, most: int | None = None) -> bytes:
    """Return a row of the audit log as a message of at most `most` bytes; its detail is cut for that."""
    at = datetime.fromtimestamp(row["at_ms"] / 1000, UTC)
    host = _UNPRINTABLE.sub("_", socket.gethostname())[:255] or "-"
    head = (
        f"<{_PRIORITY}>1 {at:%Y-%m-%dT%H:%M:%S}.{row['at_ms'] % 1000:03d}Z {host} "
        f"keycensus-collector {os.getpid()} audit - "
    )
    told = {key: row[key] for key in ("number", "actor", "action", "subject", "detail", "hash")}
    whole = (head + json.dumps(told)).encode()
    if most is None or len(whole) <= most:
        return whole
    told["detail"] = {"cut": True}
    for name in ("subject", "actor"):
        told[name] = str(told[name])[:200]
    return (head + json.dumps(told)).encode()[:most]


class Forwarder:
    """Sends what the audit log has and the server has not yet; `run` until it is cancelled."""

    def __init__(self, store: Store, duties: Duties, target: Target) -> None:
        self._store = store
        self._duties = duties
        self._target = target
        self._failing = False

    async def run(self) -> None:
        """Send now and then; trouble is logged when it begins and when it ends."""
        rest = _REST_SECONDS
        while True:
            try:
                more = await self.send() if await self._duties.is_ours("syslog") else False
                if self._failing:
                    _log.info("syslog.sending", to=self._target.url)
                self._failing, rest = False, 0.0 if more else _REST_SECONDS
            except (OSError, TimeoutError, StoreError) as error:
                if not self._failing:
                    _log.error("syslog.failed", to=self._target.url, error=str(error) or "timeout")
                self._failing, rest = True, min(max(rest, 1.0) * 2, _LONGEST_REST_SECONDS)
            await asyncio.sleep(rest)

    async def send(self) -> bool:
        """Send the next rows and keep how far that was; True if there may be more."""
        rows = await self._store.run_read(_next_rows)
        if rows:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._deliver(rows)
            await self._store.run_write(partial(_keep, number=rows[-1]["number"]))
        return len(rows) == _AT_ONCE

    async def _deliver(self, rows: list[dict[str, Any]]) -> None:
        if self._target.is_datagram:
            await asyncio.to_thread(self._send_datagrams, rows)
            return
        context = ssl.create_default_context() if self._target.kind == "tls" else None
        _, writer = await asyncio.open_connection(self._target.host, self._target.port, ssl=context)
        try:
            for row in rows:
                text = message(row)
                # Octet counting: RFC 6587, section 3.4.1, and RFC 5425, section 4.3.
                writer.write(b"%d %s" % (len(text), text))
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()

    def _send_datagrams(self, rows: list[dict[str, Any]]) -> None:
        target = self._target
        family: int = socket.AF_UNIX
        address: Any = target.path
        if target.kind == "udp":
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
            family, address = found[0][0], found[0][4]
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE_SECONDS)
            sender.connect(address)
            for row in rows:
                sender.send(message(row, most=_DATAGRAM_BYTES))


def _next_rows(connection: Connection) -> list[dict[str, Any]]:
    sent = connection.execute(select(audit_sent.c.sent_no)).scalar_one_or_none() or 0
    return rows_after(connection, sent, _AT_ONCE)


def _keep(connection: Connection, *, number: int) -> None:
    statement = upsert(connection, audit_sent).values(sent_id=1, sent_no=number)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["sent_id"], set_={"sent_no": number})
    )
