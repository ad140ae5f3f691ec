"""lego: certificates/DOMAIN.json with certificate, key and issuer beside it, in a directory of its user's choice.

Source: lego's documentation ("Obtain a Certificate", "Renew a Certificate"; --path, --days), cmd/certs_storage.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_of

_COMMAND = re.compile(r"\blego\b.*\brenew\b")
_DIRECTORIES = (
    "/etc/lego",
    "/var/lib/lego",
    "/opt/lego",
    "/srv/lego",
    "/usr/local/etc/lego",
    "/.lego",
)
_ENDINGS = (".crt", ".key", ".issuer.crt", ".pem", ".pfx")


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each certificate that lego has a record of."""
    sources = asked.sources
    for directory in (*asked.homes(".lego"), *_DIRECTORIES):
        for name in sources.names(f"{directory}/certificates"):
            stem = f"{directory}/certificates/{name.removesuffix('.json')}"
            if not name.endswith(".json") or not sources.is_file(stem + ".crt"):
                continue
            yield asked.renewer(
                "lego",
                name.removesuffix(".json"),
                record=f"{stem}.json",
                paths=[stem + end for end in _ENDINGS if sources.is_file(stem + end)],
                schedule=asked.schedules.of(_COMMAND),
                last_success_ms=asked.written_ms(stem + ".crt"),
                reason=asked.past_due(validity_of(sources, stem + ".crt")),
            )
