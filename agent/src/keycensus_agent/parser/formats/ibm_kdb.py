"""IBM's CMS key database (.kdb): recognised, and reported as locked.

Pure, on hostile bytes. GSKit keeps certificates and keys of IBM HTTP Server, MQ and Db2 in it, in records
whose layout is not published; the password often lies beside it in a stash file (.sth). Source: the
headers of databases as gskcapicmd writes them.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Hint,
    Request,
    sealed_container,
)

NAME = "ibm-kdb"
DESCRIPTION = "IBM's CMS key database: that it is there"
SUFFIXES = ("kdb", "rdb")

_MAGIC = b"7H"
_NAME = b"X509KEY"
_NAME_AT = 8


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number and the name of its contents."""
    del hint
    sure = data.startswith(_MAGIC) and data.startswith(_NAME, _NAME_AT)
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the database as one locked container."""
    del request
    found = sealed_container(data, "unsupported-keystore")
    return FormatResult(NAME, (found,), Status.LOCKED, "unsupported-keystore")
