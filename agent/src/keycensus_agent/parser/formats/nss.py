"""NSS databases (cert9.db, key4.db): certificates with nicknames, and private keys by their public half.

Pure, on hostile bytes, through `database`. Firefox, Thunderbird, 389 Directory Server, FreeIPA, Dogtag and
Chromium keep their certificates so. Of a private key NSS encrypts the private numbers only, so that it
is known without the master password; whether there is one decides whether the key counts as
encrypted. Sources: lib/softoken/sdb.c, sftkdb.c and sftkpwd.c of NSS.
"""

from __future__ import annotations

from keycensus_agent.parser.database import DatabaseError, Table, read_tables
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Hint,
    Request,
    conclude,
)
from keycensus_agent.parser.nss_objects import COLUMNS, private_object, public_object
from keycensus_agent.parser.nss_password import opens
from keycensus_agent.parser.rescue import rescued_certificates

NAME = "nss"
DESCRIPTION = "NSS databases of SQLite: certificates, and private keys by their public half"
SUFFIXES = ("db",)

_MAGIC = b"SQLite format 3\0"
_PUBLIC, _PRIVATE, _METADATA = "nssPublic", "nssPrivate", "metaData"
# Where the list of tables starts: the largest first page.
_FIRST_PAGE = 65_536


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by SQLite's magic number and the name of a table of NSS in the first page."""
    del hint
    first = data[:_FIRST_PAGE]
    sure = data.startswith(_MAGIC) and (b"nssPublic" in first or b"nssPrivate" in first)
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return certificates and CRLs of nssPublic, then private keys of nssPrivate, each with its label."""
    del request
    wanted = {_PUBLIC: COLUMNS, _PRIVATE: COLUMNS, _METADATA: ("id", "item1", "item2")}
    reason = ""
    tables: dict[str, Table] = {}
    try:
        tables = read_tables(data, wanted)
    except DatabaseError as error:
        reason = str(error)
    found = [entry for row in _rows(tables, _PUBLIC) if (entry := public_object(row))]
    encrypted = not _opens_without(tables)
    found += [
        entry
        for row in _rows(tables, _PRIVATE)
        if (entry := private_object(row, encrypted=encrypted))
    ]
    if not tables or any(table.damaged for table in tables.values()):
        reason = reason or "malformed-database"
    if not reason:
        return FormatResult(NAME, tuple(found))
    known = {entry.entry.artifact for entry in found}
    found += [entry for entry in rescued_certificates(data) if entry.entry.artifact not in known]
    return conclude(NAME, list(dict.fromkeys(found)), [reason])


def _rows(tables: dict[str, Table], name: str) -> list[dict[str, bytes]]:
    return tables[name].rows if name in tables else []


def _opens_without(tables: dict[str, Table]) -> bool:
    """Tell whether there is no master password; where that can't be known, suppose there is one."""
    return any(
        opens(row.get("item1", b""), row.get("item2", b""))
        for row in _rows(tables, _METADATA)
        if row.get("id") == b"password"
    )
