"""The agent's identity on disk: key, certificate, trust, and whose it is.

Runs in the link and in the commands enrol and leave; the reader never opens these files. The
identity belongs to the machine that it was made on: a copy of the directory on another machine is
recognised and not used (protos/README.md, section 7).
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from keycensus_agent.errors import IdentityError, StorageError
from keycensus_agent.host_facts import MachinePrints
from keycensus_agent.link.certificate import (
    chain_from_pem,
    chain_to_pem,
    key_from_pem,
    key_to_pem,
    new_key,
    validity,
)
from keycensus_agent.link.secret_directory import SecretDirectory
from keycensus_agent.text import safe_path, safe_text

KEY_FILE = "key.pem"
CERTIFICATE_FILE = "certificate.pem"
TRUST_FILE = "trust.json"
IDENTITY_FILE = "identity.json"
PENDING_KEY_FILE = "pending-key.pem"

# A trust bundle holds an anchor or two, a few more while a company changes its root.
_ANCHOR_LIMIT = 16


@dataclass(frozen=True, slots=True)
class Trust:
    """Anchors for the collector's certificates, DER: valid now, and after the next roll-over."""

    current: tuple[bytes, ...]
    next: tuple[bytes, ...] = ()

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """Both lists: the agent trusts both."""
        return tuple(dict.fromkeys((*self.current, *self.next)))

    def pem(self) -> bytes:
        """Return all anchors as PEM."""
        return chain_to_pem(self.anchors)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is at its deployment. Times are in UTC; addresses "host:port"."""

    deployment: str
    host_id: str
    agent_id: str
    report_address: str
    enrolment_address: str
    machine: MachinePrints
    enrolled_at: dt.datetime
    chain: tuple[bytes, ...]
    trust: Trust
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def not_before(self) -> dt.datetime:
        """Start of the certificate's validity."""
        return validity(self.chain[0])[0]

    @property
    def not_after(self) -> dt.datetime:
        """End of the certificate's validity."""
        return validity(self.chain[0])[1]

    def is_past_half_life(self, now: dt.datetime) -> bool:
        """Whether it is time to renew (protos/README.md, section 4.2)."""
        return now >= self.not_before + (self.not_after - self.not_before) / 2

    def renewed(
        self, key: ec.EllipticCurvePrivateKey, chain: tuple[bytes, ...], trust: Trust
    ) -> Identity:
        """Return the same identity with a new key and certificate."""
        return replace(self, key=key, chain=chain, trust=trust)


def checked_trust(current: tuple[bytes, ...], following: tuple[bytes, ...]) -> Trust:
    """Return the trust that a collector named; ValueError if it can't be used."""
    if not current or len(current) + len(following) > _ANCHOR_LIMIT:
        raise ValueError(f"a trust bundle of {len(current)} and {len(following)} anchors")
    trust = Trust(current, following)
    trust.pem()
    return trust


class IdentityStore:
    """The identity directory."""

    def __init__(self, path: Path, *, here: bool = False) -> None:
        self.directory = SecretDirectory(path, here=here)

    @property
    def path(self) -> Path:
        """The directory's path."""
        return self.directory.path

    def load(self, machine: MachinePrints) -> Identity:
        """Return the identity.

        `machine` is what this machine is now. IdentityError if there is no identity, it is damaged,
        open to others, or another machine's; StorageError if the files can't be read.
        """
        identity = self.load_any()
        if identity is None:
            raise IdentityError(
                f"this host is not enrolled ({self._shown()} holds no identity): run "
                "`keycensus-agent enrol --collector HOST:PORT --token-file FILE`"
            )
        if identity.machine.differ_from(machine):
            raise IdentityError(
                f"the identity in {self._shown()} was made on another machine and is not used "
                "here: this is a copy of that host. Enrol this machine with a token of its own; "
                "`keycensus-agent enrol` puts the copied identity aside",
                reason="other-machine",
            )
        return identity

    def load_any(self) -> Identity | None:
        """Return the identity whichever machine it was made on, None if there is none."""
        if not self.directory.exists():
            return None
        self.directory.open()
        files = self.directory.read(KEY_FILE, CERTIFICATE_FILE, TRUST_FILE, IDENTITY_FILE)
        if IDENTITY_FILE not in files:
            return None
        try:
            return _decode(files)
        except (ValueError, KeyError, TypeError) as error:
            raise IdentityError(
                f"the identity in {self._shown()} is damaged: `keycensus-agent leave --force`, "
                "then enrol again with a new token"
            ) from error

    def pending_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key of an enrolment under way, a new one if none is.

        It is on the disk before it is used, so that asking again after a lost reply asks with the
        same key, and the collector answers the same.
        """
        self.directory.create()
        content = self.directory.read(PENDING_KEY_FILE).get(PENDING_KEY_FILE)
        if content is not None:
            try:
                return key_from_pem(content)
            except ValueError as error:
                raise IdentityError(
                    f"{self._shown()}/{PENDING_KEY_FILE} is damaged: remove it, then enrol again"
                ) from error
        key = new_key()
        self.directory.write({PENDING_KEY_FILE: key_to_pem(key)})
        return key

    def save(self, identity: Identity) -> None:
        """Store the identity in place of the one before, all of it or nothing."""
        self.directory.write(_encode(identity))
        self.directory.remove(PENDING_KEY_FILE)

    def save_trust(self, trust: Trust) -> None:
        """Store the trust alone: key and certificate may have been renewed since they were read."""
        self.directory.write({TRUST_FILE: _encode_trust(trust)})

    def remove(self) -> None:
        """Remove the identity with its directory."""
        self.directory.remove_all()

    def put_aside(self, now: dt.datetime) -> Path:
        """Put another machine's identity aside; return the beginning of its files' paths.

        What says that there is an identity goes first: cut off, this leaves none, not half of one.
        """
        names = (IDENTITY_FILE, KEY_FILE, CERTIFICATE_FILE, TRUST_FILE, PENDING_KEY_FILE)
        return self.directory.put_aside(f"other-machine-{now:%Y%m%dT%H%M%SZ}", names)

    def _shown(self) -> str:
        return safe_path(bytes(self.path))


def _encode(identity: Identity) -> dict[str, bytes]:
    facts = {
        "version": 1,
        "deployment": identity.deployment,
        "host_id": identity.host_id,
        "agent_id": identity.agent_id,
        "report_address": identity.report_address,
        "enrolment_address": identity.enrolment_address,
        "machine_hash": {
            "machine_id": identity.machine.machine_id,
            "product_uuid": identity.machine.product_uuid,
        },
        "enrolled_at": identity.enrolled_at.isoformat(),
        # For `status`, which knows no cryptography; the certificate is what counts.
        "certificate_not_after": identity.not_after.isoformat(),
    }
    return {
        KEY_FILE: key_to_pem(identity.key),
        CERTIFICATE_FILE: chain_to_pem(identity.chain),
        TRUST_FILE: _encode_trust(identity.trust),
        IDENTITY_FILE: json.dumps(facts, indent=1).encode(),
    }


def _encode_trust(trust: Trust) -> bytes:
    pems = {
        "current": [_pem_text(der) for der in trust.current],
        "next": [_pem_text(der) for der in trust.next],
    }
    return json.dumps(pems, indent=1).encode()


def _pem_text(der: bytes) -> str:
    return chain_to_pem((der,)).decode("ascii")


def _decode(files: dict[str, bytes]) -> Identity:
    facts: dict[str, Any] = json.loads(files[IDENTITY_FILE])
    if facts["version"] != 1:
        raise StorageError(
            f"the identity was written by a newer agent (version {safe_text(str(facts['version']))}"
            "): upgrade keycensus-agent"
        )
    trust: dict[str, list[str]] = json.loads(files[TRUST_FILE])
    key = key_from_pem(files[KEY_FILE])
    chain = chain_from_pem(files[CERTIFICATE_FILE])
    machine = facts["machine_hash"]
    identity = Identity(
        deployment=str(facts["deployment"]),
        host_id=str(facts["host_id"]),
        agent_id=str(facts["agent_id"]),
        report_address=str(facts["report_address"]),
        enrolment_address=str(facts["enrolment_address"]),
        machine=MachinePrints(str(machine["machine_id"]), str(machine["product_uuid"])),
        enrolled_at=dt.datetime.fromisoformat(facts["enrolled_at"]),
        chain=chain,
        trust=checked_trust(_anchors(trust["current"]), _anchors(trust["next"])),
        key=key,
    )
    if not _fits(identity):
        raise ValueError("the key is not the certificate's")
    return identity


def _anchors(pems: list[str]) -> tuple[bytes, ...]:
    return tuple(der for pem in pems for der in chain_from_pem(pem.encode("ascii")))


def _fits(identity: Identity) -> bool:
    from cryptography import x509

    leaf = x509.load_der_x509_certificate(identity.chain[0])
    return leaf.public_key() == identity.key.public_key()
