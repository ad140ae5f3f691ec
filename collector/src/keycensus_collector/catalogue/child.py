"""The limited child that reads hostile blobs: `python -m keycensus_collector.catalogue`.

It has one socket (its standard input) and nothing else: no more files, bounded memory, bounded
processor time for each blob, no core. Whatever goes wrong in it costs this process and one blob.
The parent is `parser.CatalogueParser`.
"""

from __future__ import annotations

import resource
import socket
from dataclasses import replace
from itertools import islice
from typing import Any

# Named for its effect: verifying a signature imports it, which fails once files can't be opened.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - see above

from keycensus_collector.catalogue.der import DerError
from keycensus_collector.catalogue.facts import CertificateFacts, Facts
from keycensus_collector.catalogue.parse import CAPS, parse
from keycensus_collector.catalogue.revocation_list import parse_revocation_list, revoked_entries
from keycensus_collector.catalogue.signature import are_issued, are_signed, is_issued_by
from keycensus_collector.catalogue.split import split
from keycensus_collector.catalogue.wire import (
    encode_frame,
    entries_to_json,
    facts_to_json,
    read_frame,
)

# Seconds of processor time for one request; the dearest honest one takes milliseconds.
CPU_SECONDS = 5
# For a long revocation list: a million entries take some ten.
LIST_CPU_SECONDS = 60
# Bytes of the largest revocation list that an operator may bring: some 1.8 million entries.
LIST_BYTES = 64 * 1024 * 1024
# Entries of a list in one answer, of some 70 bytes each.
_ENTRIES = 5_000
# Address space: the interpreter with cryptography takes about 100 MiB, the largest list 64 MiB, which is
# there twice while it is received.
MEMORY_BYTES = 512 * 1024 * 1024
# Standard input, output and error are all that is ever open.
_OPEN_FILES = 3
PART_LIMIT = max(LIST_BYTES, *CAPS.values())


def limit_process() -> None:
    """Take away what reading a blob does not need. Not to be undone in this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def allow_processor_time(seconds: int = CPU_SECONDS) -> None:
    """Let this process use so much more processor time from now on, then SIGXCPU ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def answer(request: dict[str, Any], parts: list[bytes]) -> dict[str, Any]:
    """Return the answer to one request: "parse" with a kind and a blob, "verify" with several.

    "list" is a revocation list and certificates that may have signed it, "split" what somebody brought.
    """
    if request["do"] == "verify":
        return {"issued": are_issued(parts, request["pairs"])}
    if request["do"] == "split":
        try:
            return {"spans": split(parts[0])}
        except DerError as error:
            return {"problem": str(error)}
    if request["do"] == "list":
        facts = facts_to_json(parse_revocation_list(parts[0]))
        return {"facts": facts, "signed": are_signed(parts[0], parts[1:])}
    return {"facts": facts_to_json(read_blob(request["kind"], parts[0]))}


def read_blob(kind: int, data: bytes) -> Facts:
    """Parse a blob; for a certificate, also whether its own key signed it."""
    facts = parse(kind, data)
    if not isinstance(facts, CertificateFacts) or facts.subject_der_hash != facts.issuer_der_hash:
        return facts
    # Where the signature can't be judged, the equal names stand.
    self_signed = bool(facts.subject_der_hash) and is_issued_by(data, data) is not False
    return replace(facts, self_signed=self_signed)


def send_entries(connection: socket.socket, data: bytes) -> None:
    """Answer "entries": those of a revocation list in some frames, then one that says it was all."""
    entries = revoked_entries(data)
    while chunk := list(islice(entries, _ENTRIES)):
        connection.sendall(encode_frame({"entries": entries_to_json(chunk)}))
        allow_processor_time()
    connection.sendall(encode_frame({"end": True}))


def serve(connection: socket.socket) -> None:
    """Answer requests until the parent closes the socket."""
    stream = connection.makefile("rb")

    def read(count: int) -> bytes:
        data = stream.read(count)
        if len(data) < count:
            raise EOFError
        return data

    while True:
        try:
            request, parts = read_frame(read, PART_LIMIT)
        except EOFError:
            return
        allow_processor_time(LIST_CPU_SECONDS if request["do"] == "list" else CPU_SECONDS)
        if request["do"] == "entries":
            send_entries(connection, parts[0])
        else:
            connection.sendall(encode_frame(answer(request, parts)))


def main() -> None:
    """Run as the child of `parser.CatalogueParser`, whose socket is standard input."""
    connection = socket.socket(fileno=0)
    limit_process()
    connection.sendall(encode_frame({"ready": True}))
    try:
        serve(connection)
    except MemoryError:
        raise SystemExit(MEMORY_STATUS) from None


# Exit status of a child that ran out of memory.
MEMORY_STATUS = 70
