"""acme.sh: a directory per domain with DOMAIN.conf in its home; copies where it was told to install them.

Source: acme.sh itself (_savedomainconf, installcert, _initpath) and its wiki ("How to install", "Utilize multiple DNS API").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import DAY_MS, validity_of
from keycensus_agent.context.shell import shell_variables
from keycensus_agent.context.sources import decimal

_COMMAND = re.compile(r"\bacme\.sh\b.*--(?:cron|renew-all)\b")
_HOMES = (
    "/etc/acme.sh",
    "/usr/local/etc/acme.sh",
    "/opt/acme.sh",
    "/var/lib/acme.sh",
    "/usr/local/share/acme.sh",
)
_INSTALLED = ("Le_RealCertPath", "Le_RealKeyPath", "Le_RealFullChainPath", "Le_RealCACertPath")
# Its line of cron runs once a day.
_GRACE_MS = 2 * DAY_MS


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each domain that acme.sh keeps."""
    sources = asked.sources
    for home in (*asked.homes(".acme.sh"), *filter(sources.is_directory, _HOMES)):
        schedule = asked.schedules.of(_COMMAND)
        moved = shell_variables(sources.text(f"{home}/account.conf") or "").get("CERT_HOME", "")
        for directory in dict.fromkeys((home, moved or home)):
            for name in sources.names(directory):
                domain = name.removesuffix("_ecc")
                record = f"{directory}/{name}/{domain}.conf"
                settings = shell_variables(sources.text(record) or "")
                if "Le_Domain" in settings:
                    yield _renewer(asked, record, settings, schedule)


def _renewer(asked: Asked, record: str, settings: dict[str, str], schedule: str) -> Renewer:
    directory = record.rpartition("/")[0]
    domain = record.rpartition("/")[2].removesuffix(".conf")
    own = [
        f"{directory}/{name}"
        for name in (f"{domain}.cer", f"{domain}.key", "fullchain.cer", "ca.cer")
    ]
    made_ms = 1000 * decimal(settings.get("Le_CertCreateTime", ""))
    next_ms = 1000 * decimal(settings.get("Le_NextRenewTime", ""))
    late = next_ms and asked.now_ms > next_ms + _GRACE_MS
    return asked.renewer(
        "acme.sh",
        settings["Le_Domain"],
        record=record,
        paths=[
            *own,
            *(path for name in _INSTALLED if (path := settings.get(name, "")).startswith("/")),
        ],
        schedule=schedule,
        last_success_ms=made_ms or asked.written_ms(own[0]),
        reason="past-due" if late else asked.past_due(validity_of(asked.sources, own[0])),
    )
