"""What gRPC is told at each handshake: a crash of its own hangs on it (see tls.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from fakes.ports import running_server

from keycensus_collector.clock import FixedClock

DAY = 86_400


async def test_a_handshake_changes_nothing_unless_the_certificate_was_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    given = grpc.dynamic_ssl_server_credentials

    def noted(initial: Any, fetch: Any, ask: bool) -> Any:  # noqa: ANN401, FBT001
        asked.append(fetch)
        return given(initial, fetch, ask)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", noted)
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    async with running_server(tmp_path / "state", clock=clock) as running:
        assert running.server.tls is not None
        assert [fetch() for fetch in asked * 3] == [None] * 6
        clock.advance(61 * DAY)
        await running.server.tls.renew_if_due()
        renewed = [fetch() for fetch in asked]
        assert [type(each) for each in renewed] == [grpc.ServerCertificateConfiguration] * 2
        assert [fetch() for fetch in asked * 3] == [None] * 6
