"""Traefik: all certificates of its ACME resolvers in one JSON file, renewed by the server itself.

Source: Traefik's documentation ("ACME: storage"), pkg/provider/acme/local_store.go.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_in
from keycensus_agent.context.sources import absolute

_UNIT = "traefik.service"
_CONFIGURATIONS = (
    "/etc/traefik/traefik.toml",
    "/etc/traefik/traefik.yml",
    "/etc/traefik/traefik.yaml",
)
_STORAGE = re.compile(r"""^[ \t]*storage\s*[:=]\s*["']?([^"'\s#]+)""", re.MULTILINE)
_ON_COMMAND_LINE = re.compile(r"--certificatesresolvers\.[\w-]+\.acme\.storage=(.+)", re.IGNORECASE)
_STORES = (
    "/etc/traefik/acme.json",
    "/etc/traefik/acme/acme.json",
    "/var/lib/traefik/acme.json",
    "/opt/traefik/acme.json",
    "/srv/traefik/acme.json",
    "/letsencrypt/acme.json",
    "/acme.json",
)
_STORE_LIMIT = 16 * 1024 * 1024


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each certificate of Traefik's stores."""
    for path in dict.fromkeys([*_named(asked), *_STORES]):
        text = asked.sources.text(path, _STORE_LIMIT)
        if text is None:
            continue
        try:
            store = json.loads(text)
        except (ValueError, RecursionError):
            asked.sources.note(path, 0, "no JSON")
            continue
        for name, certificate in _certificates(store):
            validity = validity_in(certificate)
            yield asked.renewer(
                "traefik",
                name,
                record=path,
                paths=[path],
                schedule=asked.schedules.daemon(_UNIT) or asked.schedules.container("traefik"),
                last_success_ms=validity.not_before_ms if validity else 0,
                reason=asked.past_due(validity),
            )


def _named(asked: Asked) -> Iterator[str]:
    for configuration in _CONFIGURATIONS:
        for path in _STORAGE.findall(asked.sources.text(configuration) or ""):
            yield absolute("/", path)
    for command in asked.units.commands(_UNIT):
        for word in command:
            match = _ON_COMMAND_LINE.match(word)
            if match:
                yield absolute("/", match[1])


def _certificates(store: object) -> Iterator[tuple[str, str]]:
    """Yield each certificate's main name and its PEM; what has another form is left out."""
    for resolver in store.values() if isinstance(store, dict) else ():
        found = resolver.get("Certificates") if isinstance(resolver, dict) else None
        for one in found if isinstance(found, list) else ():
            domain = one.get("domain") if isinstance(one, dict) else None
            name = domain.get("main") if isinstance(domain, dict) else None
            encoded = one.get("certificate") if isinstance(one, dict) else None
            if not isinstance(name, str):
                continue
            try:
                pem = binascii.a2b_base64(encoded if isinstance(encoded, str) else "")
            except ValueError:
                pem = b""
            yield name, pem.decode("ascii", "replace")
