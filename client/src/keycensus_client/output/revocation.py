"""What revocation lists say of a certificate, as people read it."""

from __future__ import annotations

from keycensus_client.model import Certificate, Revocation
from keycensus_client.output.cells import SHORT, day
from keycensus_client.output.table import Cell


def revocation_cell(said: Revocation) -> Cell:
    """Return all of it, a line each: status, by which list, and where that was found."""
    if said.status == "unknown":
        return Cell(f"unknown: {said.why}", "")
    if said.status == "no":
        lines = [f"no, as of {said.as_of or 'an unknown time'}"]
    else:
        reason = said.reason or "without a reason"
        lines = [f"revoked since {said.since}: {reason}; known since {day(said.known_since)}"]
        if said.invalid_since:
            lines.append(f"to be distrusted since {said.invalid_since}, says its issuer")
    if said.list_sha256:
        lines.append(f"by the list {said.list_sha256[:SHORT]} of {said.list_issuer}")
        if said.until:
            overdue = ", which is overdue" if said.stale else ""
            lines.append(f"next list due {said.until}{overdue}")
    lines += [f"found at {place}" for place in said.found]
    return Cell("\n".join(lines), "red" if said.status == "yes" else "")


def revoked_note(certificate: Certificate) -> str:
    """Return what a list of certificates says of one that is revoked; empty: it is not."""
    if certificate.revoked != "yes":
        return ""
    reason = f", {certificate.revocation_reason}" if certificate.revocation_reason else ""
    return f"revoked {day(certificate.revoked_since)}{reason}"
