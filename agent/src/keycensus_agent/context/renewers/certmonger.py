"""certmonger: one file per request, which says where key and certificate are and how the request stands.

Source: certmonger's store-files.c (names of fields) and getcert-list(1) (states), certmonger.conf(5) (enroll_ttls).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import Validity, validity_of

_REQUESTS = "/var/lib/certmonger/requests"
_DAEMON = "certmonger.service"
_FIELD = re.compile(r"^([a-z_]+)=(.*)$", re.MULTILINE)
# It starts to enrol anew 28 days before the end.
_WINDOW_DAYS = 28
# States in which it waits for somebody, or for a CA that does not answer.
_FAILING = re.compile(
    r"CA_(?!WORKING)\w+\Z|NEED_(?:CA|GUIDANCE)\Z|NEED_\w+_(?:PIN|TOKEN|PERMS)\Z|\w*REJECT\w*\Z"
)
# Of an NSS database, before its directory.
_SCHEME = re.compile(r"\A(?:sql|dbm):")
_DATABASE = ("cert9.db", "key4.db", "cert8.db", "key3.db")


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each request that certmonger keeps."""
    sources = asked.sources
    for name in sources.names(_REQUESTS):
        record = f"{_REQUESTS}/{name}"
        fields = dict(_FIELD.findall(sources.text(record) or ""))
        for field in ("cert_storage_location", "key_storage_location"):
            fields[field] = _SCHEME.sub("", fields.get(field, ""))
        if not fields["cert_storage_location"].startswith("/"):
            sources.note(record, 0, "names no certificate")
            continue
        yield asked.renewer(
            "certmonger",
            fields.get("id", "") or name,
            record=record,
            paths=_paths(asked, fields),
            schedule=asked.schedules.daemon(_DAEMON),
            last_success_ms=_last_success_ms(asked, fields),
            reason=_reason(asked, fields),
        )


def _paths(asked: Asked, fields: dict[str, str]) -> Iterator[str]:
    for kind in ("cert", "key"):
        path = fields.get(f"{kind}_storage_location", "")
        if fields.get(f"{kind}_storage_type", "FILE") != "NSSDB":
            yield path
        else:
            files = (f"{path}/{name}" for name in _DATABASE)
            yield from filter(asked.sources.is_file, files)


def _last_success_ms(asked: Asked, fields: dict[str, str]) -> int:
    if fields.get("cert_storage_type", "FILE") == "FILE":
        written_ms = asked.written_ms(fields["cert_storage_location"])
        if written_ms:
            return written_ms
    # A database is written for other reasons, too.
    return _moment_ms(fields.get("cert_not_before", "")) if "cert" in fields else 0


def _reason(asked: Asked, fields: dict[str, str]) -> str:
    if _FAILING.match(fields.get("state", "")):
        return "failing"
    if fields.get("autorenew") == "0":
        return "switched-off"
    first, last = (_moment_ms(fields.get(f"cert_not_{word}", "")) for word in ("before", "after"))
    if last:
        return asked.past_due(Validity(first, last), _WINDOW_DAYS)
    leaf = fields["cert_storage_location"]
    return asked.past_due(validity_of(asked.sources, leaf), _WINDOW_DAYS)


def _moment_ms(text: str) -> int:
    try:
        moment = dt.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return 0
    return max(int(moment.timestamp()) * 1000, 0)
