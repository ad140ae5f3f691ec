"""dehydrated: a directory per certificate, links in it to what was made last; what it renews stands in domains.txt.

Source: dehydrated's docs/examples/config, docs/domains_txt.md, and the script's own defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_of
from keycensus_agent.context.shell import shell_variables
from keycensus_agent.context.sources import absolute, decimal

_COMMAND = re.compile(r"\bdehydrated\b.*(?:\s-c\b|--cron\b)")
_CONFIGURATIONS = (
    "/etc/dehydrated/config",
    "/usr/local/etc/dehydrated/config",
    "/opt/dehydrated/config",
    "/usr/local/dehydrated/config",
)
_FILES = ("cert.pem", "privkey.pem", "fullchain.pem", "chain.pem")
_WINDOW_DAYS = 32


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each certificate that dehydrated has made."""
    for configuration in filter(asked.sources.is_file, _CONFIGURATIONS):
        yield from _of(asked, configuration)


def _of(asked: Asked, configuration: str) -> Iterator[Renewer]:
    sources, home = asked.sources, configuration.rpartition("/")[0]
    text = sources.text(configuration) or ""
    more = shell_variables(text).get("CONFIG_D", "")
    for path in sources.glob(f"{more}/*.sh") if more.startswith("/") else ():
        text += "\n" + (sources.text(path) or "")
    settings = shell_variables(f"BASEDIR={home}\n{text}")
    base = settings["BASEDIR"] or home
    directory = absolute(base, settings.get("CERTDIR", "") or "certs")
    listed = _listed(sources.text(absolute(base, settings.get("DOMAINS_TXT", "") or "domains.txt")))
    days = decimal(settings.get("RENEW_DAYS", ""), _WINDOW_DAYS)
    for name in sources.names(directory):
        leaf = f"{directory}/{name}/cert.pem"
        if not sources.is_file(leaf):
            continue
        own = shell_variables(sources.text(f"{directory}/{name}/config") or "")
        window = decimal(own.get("RENEW_DAYS", ""), days)
        known = listed is None or name in listed
        yield asked.renewer(
            "dehydrated",
            name,
            record=configuration,
            paths=[f"{directory}/{name}/{file}" for file in _FILES],
            schedule=asked.schedules.of(_COMMAND),
            last_success_ms=asked.written_ms(leaf),
            reason=asked.past_due(validity_of(sources, leaf), window) if known else "switched-off",
        )


def _listed(text: str | None) -> frozenset[str] | None:
    """Return the directories of domains.txt: a line's first name, or what stands behind ">"."""
    if text is None:
        return None
    found = set()
    for line in text.splitlines():
        names, _, alias = line.partition("#")[0].partition(">")
        found.update(alias.split()[:1] or names.split()[:1])
    return frozenset(found)
