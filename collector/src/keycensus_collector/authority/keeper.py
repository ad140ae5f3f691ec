"""Which authority signs now, which one follows, and which ones agents' certificates are checked against.

The database says which certificates are current, next and past; the keys lie in two directories beside
it, `authority` and `authority-next`. A roll-over is one transaction in the database; the directories
follow (`settle`), at once or at the next start, so a crash between the two ends in one of two states:
not rolled over, or rolled over.

    next      it is made or imported, and agents are told: they trust current and next
    activate  the next one signs from here on; agents trust it alone, and what the old one issued to
              them is still accepted
    retire    nothing that the old one issued is accepted any more
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, select

from keycensus_collector.authority import local
from keycensus_collector.errors import AuthorityError, StoreError
from keycensus_collector.store.schema import authority_certificate

CURRENT_DIRECTORY = "authority"
NEXT_DIRECTORY = "authority-next"
_LEAVING = "authority-leaving"


@dataclass(frozen=True, slots=True)
class Registered:
    """One certificate of an authority as the database has it. `state`: "current", "next", "past"."""

    sha256: bytes
    state: str
    is_anchor: bool
    der: bytes
    added_ms: int


def registered(connection: Connection) -> list[Registered]:
    """Return every certificate of every authority, the oldest first."""
    rows = connection.execute(
        select(authority_certificate).order_by(
            authority_certificate.c.added_ms, authority_certificate.c.sha256
        )
    )
    return [Registered(row.sha256, row.state, row.is_anchor, row.der, row.added_ms) for row in rows]


def current_anchor(connection: Connection) -> x509.Certificate:
    """Return what agents trust now, by the database; StoreError if that names no authority."""
    for row in registered(connection):
        if row.is_anchor and row.state == "current":
            return x509.load_der_x509_certificate(row.der)
    raise StoreError("the database names no authority; move it away and run init again")


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return SHA-256 of a certificate's DER."""
    return certificate.fingerprint(SHA256())


def _client_anchors_pem(rows: list[Registered]) -> bytes:
    """Return them as PEM; made once, since each handshake asks whether they changed."""
    return b"".join(
        x509.load_der_x509_certificate(row.der).public_bytes(Encoding.PEM)
        for row in rows
        if row.is_anchor and row.state in ("current", "past")
    )


class AuthorityKeeper:
    """The signing authority, in the hands of all that need it; `refresh` follows the database."""

    def __init__(self, state_directory: Path, rows: list[Registered], now: datetime) -> None:
        self._directory = state_directory
        self._lock = threading.Lock()
        self._current, self._where = self._find(rows, now)
        self._rows = rows
        self._client_anchors_pem = _client_anchors_pem(rows)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The signing certificate first, then its issuers; the trust anchor last."""
        return self._current.chain

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what a profile has built."""
        return self._current.sign(builder)

    @property
    def client_anchors_pem(self) -> bytes:
        """The anchors that agents' certificates may go back to: the current ones and the past."""
        return self._client_anchors_pem

    @property
    def next_directory(self) -> Path:
        """Where the key and chain of the next authority are."""
        return self._directory / NEXT_DIRECTORY

    def forget_next(self) -> None:
        """Remove the key and chain of the next authority."""
        shutil.rmtree(self.next_directory, ignore_errors=True)

    def refresh(self, rows: list[Registered], now: datetime) -> bool:
        """Take up what the database says now; whether another authority signs. Thread-safe."""
        with self._lock:
            return self._refresh(rows, now)

    def _refresh(self, rows: list[Registered], now: datetime) -> bool:
        if rows == self._rows and self._where == self._directory / CURRENT_DIRECTORY:
            return False
        before = fingerprint(self._current.chain[0])
        self._current, self._where = self._find(rows, now)
        self._rows = rows
        self._client_anchors_pem = _client_anchors_pem(rows)
        self.settle()
        return fingerprint(self._current.chain[0]) != before

    @property
    def is_known(self) -> bool:
        """Whether the database calls the authority current whose key is here.

        It does not if an older copy of it was put back after a roll-over.
        """
        ours = fingerprint(self._current.chain[0])
        return any(row.sha256 == ours and row.state == "current" for row in self._rows)

    def settle(self) -> None:
        """Put the signing authority's files into their usual place, after a roll-over.

        The old key goes: nothing is to be signed with it any more.
        """
        usual = self._directory / CURRENT_DIRECTORY
        if self._where == usual:
            return
        leaving = self._directory / _LEAVING
        try:
            shutil.rmtree(leaving, ignore_errors=True)
            if usual.exists():
                usual.rename(leaving)
            self._where.rename(usual)
            shutil.rmtree(leaving)
        except OSError as error:
            raise AuthorityError(
                f"{self._where} can't be moved to {usual}: {error.strerror}; move it by hand"
            ) from error
        self._where = usual

    def _find(self, rows: list[Registered], now: datetime) -> tuple[local.LocalAuthority, Path]:
        """Load the authority whose signing certificate is current by the database."""
        current = {row.sha256 for row in rows if row.state == "current"}
        usual, following = self._directory / CURRENT_DIRECTORY, self._directory / NEXT_DIRECTORY
        if usual.exists() or not following.exists():
            authority = local.load(usual, now)
            if fingerprint(authority.chain[0]) in current or not following.exists():
                return authority, usual
        authority = local.load(following, now)
        if fingerprint(authority.chain[0]) not in current:
            raise AuthorityError(
                f"neither {usual} nor {following} holds the authority that the database names; "
                "restore the one that belongs to this database"
            )
        return authority, following


def give_to_owner_of(parent: Path, path: Path) -> None:
    """Let files that root made belong to whom the state directory belongs, who is to read them."""
    owner = parent.stat()
    if os.geteuid() != 0:
        return
    for each in (path, *path.iterdir()):
        os.chown(each, owner.st_uid, owner.st_gid)
