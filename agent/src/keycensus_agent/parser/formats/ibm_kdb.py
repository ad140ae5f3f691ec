"""IBM's CMS key database (.kdb), with its requests (.rdb): certificates and labels, private keys sealed.

Pure, on hostile bytes. GSKit keeps certificates and keys of IBM HTTP Server, MQ and Db2 in it: a header
with two MACs under the password, then slots of one size, each with a record in DER and its label. The
password often lies beside it in a stash file (.sth). IBM publishes nothing of it; source: the
description in KdbKeyDatabase.java and KdbRecord.java of KeyStore Explorer, and databases themselves.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser import der, findings
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
    sealed_container,
)
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.rescue import rescued_certificates
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import Candidates, IterationBudget
from keycensus_agent.parser.x509 import check_revocation_list

NAME = "ibm-kdb"
DESCRIPTION = "IBM's CMS key database: certificates and labels without its password, keys with it"
SUFFIXES = ("kdb", "rdb", "crl")

_MAGIC = b"7H"
_TAGS = (b"X509KEY", b"X509KYP", b"X509CRL")
_TAG_AT, _SLOT_AT = 8, 16
# Length of the header by version: 48 bytes, and two MACs of SHA-1 or of SHA-384.
_HEADER_BYTES = {4: 48 + 2 * 20, 6: 48 + 2 * 48}
_SLOT_BYTES = range(64, 1 << 24)
# What a record holds, by its tag: a request and its key, a certificate, one with its key, a secret key.
_REQUEST, _SECRET_KEY = 0xA0, 0xA3
_CONTENTS = range(0xA0, 0xA4)
_NESTING_LIMIT = 4


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the magic number and the name of its contents."""
    del hint
    sure = data.startswith(_MAGIC) and data.startswith(_TAGS, _TAG_AT)
    return Confidence.SURE if sure else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return of each record the key, as opened or sealed, and the certificate, with its label as member."""
    header = Cursor(data, _SLOT_AT)
    start = _HEADER_BYTES.get(data[2], 0)
    try:
        slot, count = header.number(4), header.number(4)
    except CutError:
        return conclude(NAME, (), ["truncated"])
    if not start or slot not in _SLOT_BYTES:
        return _of_unknown_version(data)
    records = _Records(request)
    for at in range(start, min(start + slot * count, len(data)), slot):
        try:
            records.read(Cursor(data[at : at + slot], 8))
        except (CutError, der.DerError):
            records.problems.append("malformed-record")
        except MalformedKeyError as error:
            records.problems.append(str(error))
    if start + slot * count > len(data):
        records.problems.append("truncated")
    return conclude(NAME, records.found, records.problems)


def _of_unknown_version(data: bytes) -> FormatResult:
    """Return the certificates that can be seen, and the rest as one locked container."""
    locked = sealed_container(data, "unsupported-keystore")
    found = (*rescued_certificates(data), locked)
    return FormatResult(NAME, found, Status.LOCKED, "unsupported-keystore")


class _Records:
    """Reads records into `found`; one that is damaged does not cost the others."""

    def __init__(self, request: Request) -> None:
        self.found: list[Found] = []
        self.problems: list[str] = []
        self._passwords = Candidates(request.passwords)
        self._budget = IterationBudget()

    def read(self, slot: Cursor) -> None:
        """Read one slot, behind its type and number."""
        record = slot.counted(4)
        label = slot.counted(4).partition(b"\0")[0]
        for field in der.expect(record, der.read_whole(record), der.INTEGER):
            if field.tag in _CONTENTS and field.tag != _SECRET_KEY:
                wrapped = der.content(record, field)
                self._item(wrapped, label, is_request=field.tag == _REQUEST, depth=0)

    def _item(self, data: bytes, label: bytes, *, is_request: bool, depth: int) -> None:
        fields = der.children(data, der.read_whole(data))
        tags = tuple(field.tag for field in fields)
        if tags == (der.SEQUENCE, der.OCTET_STRING):
            self.found.append(read_sealed_key(data, self._passwords, self._budget, label))
        elif tags == (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
            self.found.append(_signed(data, label, is_request=is_request))
        elif depth < _NESTING_LIMIT:
            for field in fields:
                if field.tag == der.SEQUENCE:
                    inner = der.encoding(data, field)
                    self._item(inner, label, is_request=is_request, depth=depth + 1)


def _signed(data: bytes, label: bytes, *, is_request: bool) -> Found:
    if is_request:
        return findings.request(data, label)
    try:
        check_revocation_list(data)
    except der.DerError:
        return findings.certificate(data, label)
    return findings.revocation_list(data, label)
