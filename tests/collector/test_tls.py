"""What gRPC is told at each handshake: a crash of its own hangs on it (see tls.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from fakes.ports import configuration_in

from keycensus_collector.authority import local
from keycensus_collector.clock import FixedClock
from keycensus_collector.tls import ServerTls

DAY = 86_400


@pytest.mark.parametrize("ask_for_client", [False, True])
async def test_a_handshake_changes_nothing_unless_the_certificate_was_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ask_for_client: bool
) -> None:
    asked: list[Any] = []
    given = grpc.dynamic_ssl_server_credentials

    def noted(initial: Any, fetch: Any, ask: bool) -> Any:  # noqa: ANN401, FBT001
        asked.append(fetch)
        return given(initial, fetch, ask)

    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", noted)
    now = datetime.now(UTC)
    clock = FixedClock(int(now.timestamp() * 1000))
    tls = ServerTls(configuration_in(tmp_path), local.create_own("test", now), clock)
    tls.grpc_credentials(ask_for_client=ask_for_client)
    (fetch,) = asked
    assert [fetch() for _ in range(3)] == [None] * 3
    clock.advance(61 * DAY)
    await tls.renew_if_due()
    assert isinstance(fetch(), grpc.ServerCertificateConfiguration)
    assert [fetch() for _ in range(3)] == [None] * 3
