"""Certificates from the network, read where everything hostile is read: in the parser.

Runs in the reader, which hands over bytes and takes back manifest, blobs, names.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence

from keycensus_agent.context.verdicts import Known
from keycensus_agent.model import Blob, CertificateDetail, Parsed
from keycensus_agent.reader.parser_client import ParserClient

# A name for the parser, which takes hints from names; no file.
_NAME = b"/presented.pem"
_LINE = 64
_COMMON_NAME = re.compile(r"(?:^|[,+] ?)CN=((?:\\.|[^,+\\])+)", re.IGNORECASE)


class PresentedChains:
    """Reads chains once each; the parser is started when there is something to read.

    `close` ends the parser; it is started again when there is more.
    """

    def __init__(self, make_parser: Callable[[], ParserClient]) -> None:
        self._make_parser = make_parser
        self._parser: ParserClient | None = None
        self._known: dict[bytes, Known] = {}

    def close(self) -> None:
        """End the parser, if there is one."""
        if self._parser is not None:
            self._parser.close()
            self._parser = None

    def manifest(self, ders: Sequence[bytes]) -> tuple[bytes, tuple[Blob, ...]]:
        """Return the manifest that lists certificates, with the blobs; empty if none can be read."""
        parsed = self._parse(ders) if ders else None
        return (parsed.manifest, parsed.blobs) if parsed is not None else (b"", ())

    def known(self, ders: Iterable[bytes]) -> list[Known]:
        """Return what is compared of certificates."""
        wanted = {hashlib.sha256(der).digest(): der for der in ders}
        missing = [der for sha256, der in wanted.items() if sha256 not in self._known]
        if missing:
            self._parse(missing)
        return [self._known.get(sha256, Known(sha256)) for sha256 in wanted]

    def _parse(self, ders: Iterable[bytes]) -> Parsed | None:
        text = b"".join(map(_pem, ders))
        if self._parser is None:
            self._parser = self._make_parser()
        self._parser.submit(0, text, _NAME)
        for _, parsed in self._parser.results(wait=True):
            for detail in parsed.details:
                self._known[detail.sha256] = _known(detail)
            return parsed
        return None


def _known(detail: CertificateDetail) -> Known:
    names = {name.removeprefix("DNS:").lower() for name in detail.san}
    names.update(found.lower() for found in _COMMON_NAME.findall(detail.subject))
    return Known(detail.sha256, detail.key_id, frozenset(names))


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])
