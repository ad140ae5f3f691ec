"""Caddy: its own store of certificates below its data directory, renewed by the server itself.

Source: Caddy's documentation ("Conventions: data directory", "Automatic HTTPS"), certmagic's storage.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_of

_UNITS = ("caddy.service", "caddy-api.service")
_DATA = ("/var/lib/caddy/.local/share/caddy", "/var/lib/caddy", "/data/caddy")


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each certificate of Caddy's store."""
    sources = asked.sources
    homes = [asked.units.environment(unit).get("XDG_DATA_HOME", "") for unit in _UNITS]
    moved = [f"{home}/caddy" for home in homes if home.startswith("/")]
    directories = dict.fromkeys([*_DATA, *moved, *asked.homes(".local/share/caddy")])
    for directory in directories:
        for record in sources.glob(f"{directory}/certificates/*/*/*.json"):
            stem = record.removesuffix(".json")
            if not sources.is_file(stem + ".crt"):
                continue
            yield asked.renewer(
                "caddy",
                stem.rpartition("/")[2],
                record=record,
                paths=[stem + ".crt", stem + ".key"],
                schedule=asked.schedules.daemon(*_UNITS) or asked.schedules.container("caddy"),
                last_success_ms=asked.written_ms(stem + ".crt"),
                reason=asked.past_due(validity_of(sources, stem + ".crt")),
            )
