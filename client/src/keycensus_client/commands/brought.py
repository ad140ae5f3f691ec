"""Files of certificates, revocation lists and lists of authorities, on their way to the collector."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from keycensus_client.errors import UsageError
from keycensus_client.identity import resolve
from keycensus_client.model import ArtifactsTaken, ListTaken
from keycensus_client.output.cells import SHORT, day
from keycensus_client.rest import Client

# As much as the collector takes of one file.
_FILE_BYTES = 96 * 1024 * 1024
_PEM, _PRIVATE = b"-----BEGIN ", b"PRIVATE KEY-----"
_SEQUENCE = b"\x30"


def looks_like_artifacts(head: bytes) -> bool:
    """Whether a file may be certificates or lists, by its first bytes."""
    return _PEM in head or head[:1] == _SEQUENCE


def send_artifacts(
    client: Client, content: BinaryIO, shown: str, name: str, *, preview: bool
) -> ArtifactsTaken:
    """Send certificates and revocation lists; UsageError before that if there is a private key."""
    refuse_keys(content, shown)
    return client.import_artifacts(content, name, preview=preview)


def refuse_keys(content: BinaryIO, shown: str) -> None:
    """Raise UsageError if a private key is in the file: no key leaves its host."""
    data = content.read(_FILE_BYTES + 1)
    content.seek(0)
    if len(data) > _FILE_BYTES:
        raise UsageError(f"{shown} is longer than {_FILE_BYTES:,} bytes")
    if _PRIVATE in data:
        raise UsageError(f"{shown} holds a private key: nothing was sent; leave the key out of it")


def send_ca_list(
    client: Client,
    content: BinaryIO,
    file: Path,
    name: str | None,
    *,
    format_: str | None,
    serials: str | None,
    issuer: str | None,
    preview: bool,
) -> ListTaken:
    """Send what an authority says it issued, under a name or that of the file."""
    refuse_keys(content, str(file))
    return client.import_ca_list(
        content,
        name=name or file.stem,
        format=format_ or "",
        serials=serials or "",
        issuer=resolve(issuer).id if issuer else "",
        preview=str(preview).lower(),
    )


def artifacts_lines(taken: ArtifactsTaken, *, preview: bool) -> str:
    """Return what came of certificates and revocation lists, as lines."""
    lines = []
    verb = "would import" if preview else "imported"
    if taken.certificates:
        lines.append(
            f"{verb} {taken.certificates:,} certificates as {taken.name}: {taken.found:,} were known,"
            f" {taken.new:,} new in it, {taken.gone:,} in it no more"
        )
    lines += [
        f"{verb} a revocation list of {each.issuer}"
        + (f", number {each.number}" if each.number else "")
        + f", of {day(each.this_update)}, next due {day(each.next_update)}:"
        f" {each.revoked:,} revoked ({each.sha256[:SHORT]})"
        for each in taken.revocation_lists
    ]
    if taken.revocation_lists and not preview:
        lines.append("keycensus show HASH says whether its signature is verified and it counts")
    return "\n".join(lines)


def ca_list_lines(taken: ListTaken, *, preview: bool) -> str:
    """Return what came of a list of an authority, as lines."""
    verb = "would import" if preview else "imported"
    first = (
        f"{verb} {taken.entries:,} certificates of {taken.name} ({taken.format}): {taken.found:,} of"
        f" them in the inventory, {taken.new:,} new on the list, {taken.gone:,} on it no more"
    )
    lines = [first]
    if taken.columns:
        lines.append(f"  read: {', '.join(taken.columns)}")
    if taken.skipped:
        lines.append(f"  {taken.skipped:,} rows of requests without a certificate passed over")
    if taken.unread_times:
        lines.append(f"  {taken.unread_times:,} times in no known form left out")
    return "\n".join(lines)
