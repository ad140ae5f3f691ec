"""The counts that people look at first, from the same filters as the lists behind them."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from keycensus_collector.inventory.certificates import CertificateFilter, filter_conditions
from keycensus_collector.inventory.keys import KeyFilter, count_keys
from keycensus_collector.inventory.places import is_now
from keycensus_collector.inventory.results import Summary
from keycensus_collector.inventory.values import time_text
from keycensus_collector.store.schema import certificate, gap, host, place, work

_DAY_MS = 86_400_000


def summarise(connection: Connection, now_ms: int) -> Summary:
    """Return the counts as of now; each equals the total of the list with the same filter."""

    def certificates(wanted: CertificateFilter) -> int:
        conditions = filter_conditions(connection, wanted, now_ms)
        statement = select(func.count()).select_from(certificate).where(*conditions)
        return connection.execute(statement).scalar_one()

    states = connection.execute(select(host.c.state, func.count()).group_by(host.c.state))
    by_state = {row[0]: row[1] for row in states}
    locked = select(func.count()).select_from(place).where(is_now(), place.c.status == "locked")
    places = select(func.count()).select_from(place).where(is_now())
    gaps = select(func.count()).select_from(gap).where(gap.c.to_ms.is_(None))
    waiting = select(func.count()).select_from(work)
    return Summary(
        as_of=time_text(now_ms),
        hosts=sum(by_state.values()),
        hosts_by_state=by_state,
        places=connection.execute(places).scalar_one(),
        certificates=certificates(CertificateFilter()),
        expired=certificates(CertificateFilter(expired=True)),
        expiring_30_days=certificates(CertificateFilter(expires_within_ms=30 * _DAY_MS)),
        keys=count_keys(connection, KeyFilter()),
        keys_without_certificate=count_keys(connection, KeyFilter(without_certificate=True)),
        keys_readable_by_world=count_keys(connection, KeyFilter(readable_by="world")),
        locked_places=connection.execute(locked).scalar_one(),
        gaps=connection.execute(gaps).scalar_one(),
        waiting=connection.execute(waiting).scalar_one(),
    )
