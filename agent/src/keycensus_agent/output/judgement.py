"""What is odd about a place, and what will bite: judgements for a person who looks at one machine.

Pure. Few and plain on purpose: rules with reasons and exceptions are the collector's. The time is
passed in.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from keycensus_agent.context.bindings import NOTHING, Context, Renewer
from keycensus_agent.known_keys import known_key
from keycensus_agent.model import (
    CertificateDetail,
    Entry,
    EntryKind,
    Finding,
    Place,
    Role,
    Status,
    Use,
)
from keycensus_agent.output.records import group_of
from keycensus_agent.text import safe_text

SOON_DAYS = 30
# NIST SP 800-131A: RSA and finite-field keys from 2,048 bits; the same for elliptic curves is 224.
WEAK_RSA_BITS = 2048
WEAK_EC_BITS = 224

_SSH_PATH = re.compile(rb"/\.ssh/|/ssh_host_[^/]*_key[^/]*\Z|/id_(?:rsa|dsa|ecdsa|ed25519)[^/]*\Z")
# Algorithms with one size, so that a number says nothing.
_FIXED_SIZE = frozenset({"ed25519", "ed448", "x25519", "x448"})
_DAY_SECONDS = 86_400
_SECRET_KINDS = frozenset({EntryKind.PRIVATE_KEY, EntryKind.OPAQUE_KEY})
# Files keep the time of their making, which is before their package's; one that is installed as it
# is made is written within this time of the database.
INSTALLATION_NS = 60 * 1_000_000_000
_SEALED_KINDS = frozenset({EntryKind.SEALED_CONTAINER, EntryKind.SEALED_KEY})
_KEY_KINDS = frozenset({EntryKind.PRIVATE_KEY, EntryKind.PUBLIC_KEY})
# Where packages put what is the administrator's from then on (FHS 3.7; Debian policy 10.7.2).
_CONFIGURATION = b"/etc/"
_WEAK_HASH = re.compile(r"(md[245]|sha1)(?!\d)", re.IGNORECASE)
# One attribute of a name: up to the next comma or plus that is not escaped.
_ATTRIBUTE = re.compile(r"((?:\\.|[^,+\\])*)(?:[,+]|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Oddity:
    """One thing that is odd: a word or two, and how bad it is ("bad", "warn" or "").

    `of_time` says that it only repeats what the day of expiry says.
    """

    text: str
    style: str = ""
    of_time: bool = False


class Judged:
    """One finding, with what follows from it. `certified` holds the key ids of all certificates.

    `shipped`: its file came with a package (see `judge`). `renewer`: the tool that renews it.
    """

    def __init__(
        self,
        finding: Finding,
        now: dt.datetime,
        certified: Mapping[bytes, Sequence[bytes]],
        *,
        shipped: bool = False,
        renewer: Renewer | None = None,
    ) -> None:
        self.finding = finding
        self.renewer = renewer
        self.place = finding.place
        self.is_shipped = shipped
        self._now = now
        self._certified = certified

    @cached_property
    def certificates(self) -> list[CertificateDetail]:
        """The certificates of the file, in its order; requests are none."""
        details = {detail.sha256: detail for detail in self.finding.parsed.details}
        entries = self.finding.parsed.entries
        return [
            details[entry.artifact]
            for entry in entries
            if entry.kind is EntryKind.CERTIFICATE and entry.artifact in details
        ]

    @cached_property
    def leaves(self) -> list[CertificateDetail]:
        """The certificates that are no authorities'."""
        return [detail for detail in self.certificates if not detail.is_ca]

    @cached_property
    def principal(self) -> list[CertificateDetail]:
        """The certificates that the file is about: its leaves, or else all of them."""
        return self.leaves or self.certificates

    @cached_property
    def soonest(self) -> CertificateDetail | None:
        """The certificate of `principal` that expires first."""
        dated = [detail for detail in self.principal if detail.not_after]
        return min(dated, key=lambda detail: detail.not_after, default=None)

    @cached_property
    def secrets(self) -> list[Entry]:
        """The private keys that lie in the file unencrypted."""
        return [
            entry
            for entry in self.finding.parsed.entries
            if entry.kind in _SECRET_KINDS and not entry.encrypted
        ]

    @property
    def is_live(self) -> bool:
        """Whether the place matters now: in use, no trust store, and this host's own."""
        return (
            self.place.use is Use.LIVE
            and self.place.role is not Role.TRUST_STORE
            and not self.is_shipped
        )

    @property
    def is_renewed(self) -> bool:
        """Whether a tool renews the certificate and is in time: then its end is nobody's worry."""
        return self.renewer is not None and not self.is_overdue

    @property
    def is_overdue(self) -> bool:
        """Whether the tool should have renewed it by now.

        A tool is late with its leaf; the authorities that it put beside it have years, and are
        others' to renew, until they are about to end themselves.
        """
        if self.renewer is None or not self.renewer.overdue:
            return False
        return bool(self.leaves) or self.days is None or self.days < SOON_DAYS

    @property
    def folds_as(self) -> str:
        """Why the place can be left out of a list for people: "trust stores", "packages"; "" if not.

        Never with a key that others can read, nor what is locked or was not read whole.
        """
        sealed = any(e.kind in _SEALED_KINDS for e in self.finding.parsed.entries)
        if self.exposed or sealed or self.place.status is not Status.READ:
            return ""
        if self.place.role is Role.TRUST_STORE and not self.secrets:
            return "trust stores"
        return "packages" if self.is_shipped else ""

    @cached_property
    def known(self) -> str:
        """Where a private key of the file, or of one of its own certificates, is published; or ""."""
        keys = [entry.artifact for entry in self.finding.parsed.entries if entry.kind in _KEY_KINDS]
        keys += [detail.key_id for detail in self.principal]
        return next(filter(None, map(known_key, keys)), "")

    @cached_property
    def days(self) -> int | None:
        """Whole days until the first certificate expires, negative after; None if none is dated."""
        return days_left(self.soonest.not_after, self._now) if self.soonest else None

    @property
    def exposed(self) -> str:
        """Who else can read an unencrypted private key here: "world", "group NAME, user NAME" or ""."""
        if not self.secrets:
            return ""
        # Group root beside owner root is nobody else.
        words = [
            f"group {group_of(self.place)}"
            if word == "group"
            else safe_text(word).replace(":", " ", 1)
            for word in self.place.readable_by.split()
            if word != "owner" and (word != "group" or self.place.facts.gid != 0)
        ]
        return ", ".join(words)

    @cached_property
    def oddities(self) -> list[Oddity]:
        """What is odd about the place, the worst first."""
        found = [
            *(*self._about_access(), *self._about_publicity(), *self._about_time()),
            *(*self._about_strength(), *self._rest()),
        ]
        order = {"bad": 0, "warn": 1, "": 2}
        return sorted(found, key=lambda oddity: order[oddity.style])

    def _about_time(self) -> Iterator[Oddity]:
        if self.days is None:
            return
        if self.days < 0:
            yield Oddity("expired", "bad" if self.is_live else "", of_time=True)
        elif self.days < SOON_DAYS:
            worry = self.is_live and not self.is_renewed
            yield Oddity("expires soon", "warn" if worry else "", of_time=True)
        if self.renewer is not None and self.principal and self.is_live:
            tool = safe_text(self.renewer.tool)
            if self.is_overdue:
                yield Oddity(f"renewal by {tool} overdue", "warn")
            else:
                yield Oddity(f"renewed by {tool}")

    def _about_access(self) -> Iterator[Oddity]:
        if self.exposed:
            style = "bad" if self.exposed == "world" else "warn"
            yield Oddity(f"key readable by {self.exposed}", style)

    def _about_strength(self) -> Iterator[Oddity]:
        keys = [(entry.algorithm, entry.bits) for entry in self.finding.parsed.entries]
        keys += [(detail.algorithm, detail.bits) for detail in self.principal]
        weak = dict.fromkeys(f"{name} {bits}" for name, bits in keys if is_weak(name, bits))
        style = "warn" if self.is_live else ""
        yield from (Oddity(f"weak key ({safe_text(text)})", style) for text in weak)
        hashes = dict.fromkeys(
            match[1].lower()
            for detail in self.principal
            if not detail.self_signed
            and (match := _WEAK_HASH.search(detail.signature_algorithm)) is not None
        )
        yield from (Oddity(f"{name} signature", style) for name in hashes)

    def _about_publicity(self) -> Iterator[Oddity]:
        if self.known:
            archive = safe_text(self.known.partition(",")[0])
            yield Oddity(f"known test key ({archive})", "warn" if self.is_live else "")

    def _rest(self) -> Iterator[Oddity]:
        place = self.place
        if place.status is Status.LOCKED:
            yield Oddity(f"locked: {safe_text(place.reason)}" if place.reason else "locked", "warn")
        elif place.status is not Status.READ:
            reason = f": {safe_text(place.reason)}" if place.reason else ""
            yield Oddity(f"{place.status.value}{reason}", "warn")
        keys = [entry for entry in self.finding.parsed.entries if entry.kind in _SECRET_KINDS]
        if keys and not self.certificates and not self._is_ssh:
            known = [entry.artifact for entry in keys if entry.artifact]
            if known and not any(artifact in self._certified for artifact in known):
                yield Oddity("no certificate")
        if any(entry.encrypted for entry in keys):
            yield Oddity("encrypted")
        if place.use is Use.RETAINED:
            yield Oddity("retained")

    @property
    def _is_ssh(self) -> bool:
        """Whether the keys are for SSH, which needs no certificate."""
        return _SSH_PATH.search(self.place.path) is not None


def judge(
    findings: Sequence[Finding],
    now: dt.datetime,
    certified: Mapping[bytes, Sequence[bytes]],
    context: Context = NOTHING,
) -> list[Judged]:
    """Judge all places of one scan together: a link came with a package if its file did.

    `context` says which of them a tool renews.
    """
    shipped = {one.place.path for one in findings if _came_with_package(one.place)}
    return [
        Judged(
            one,
            now,
            certified,
            shipped=(one.place.target or one.place.path) in shipped,
            renewer=context.renewer_of(one.place.path, one.place.target),
        )
        for one in findings
    ]


def _came_with_package(place: Place) -> bool:
    """Whether a file is as a package brought it, as far as can be told.

    Not if it is the package's configuration, or was written since the package was installed.
    """
    package = place.package
    if package is None or place.target or place.path.startswith(_CONFIGURATION):
        return False
    written_ns = place.facts.mtime_ns - INSTALLATION_NS
    return not package.installed_ns or written_ns <= package.installed_ns


def days_left(not_after: str, now: dt.datetime) -> int | None:
    """Return whole days from `now` to an RFC 3339 time, rounded down; None if it can't be read."""
    try:
        end = dt.datetime.fromisoformat(not_after)
    except ValueError:
        return None
    return int((end - now).total_seconds() // _DAY_SECONDS)


def is_weak(algorithm: str, bits: int) -> bool:
    """Tell whether a key is too short by today's rules."""
    if algorithm in ("rsa", "rsa-pss", "dsa", "dh"):
        return 0 < bits < WEAK_RSA_BITS
    return algorithm == "ec" and 0 < bits < WEAK_EC_BITS


def key_title(entry: Entry) -> str:
    """Return a key's algorithm with its size or curve, escaped: "rsa 2048", "ec secp256r1"."""
    if entry.algorithm in _FIXED_SIZE:
        return entry.algorithm
    return safe_text(f"{entry.algorithm} {entry.curve or entry.bits or ''}".strip()) or "key"


def title_of(detail: CertificateDetail) -> str:
    """Return the name a person knows a certificate by, escaped: common name, first name, subject."""
    name = common_name(detail.subject)
    if name:
        return safe_text(name)
    if detail.san:
        return safe_text(detail.san[0])
    return safe_text(detail.subject) or f"certificate {detail.sha256.hex()[:16]}"


def issuer_of(detail: CertificateDetail) -> str:
    """Return the name of an issuer, escaped: its common name, else its whole name."""
    if detail.self_signed:
        return "self-signed"
    if detail.issuer == detail.subject and detail.issuer:
        return "itself"
    return safe_text(common_name(detail.issuer) or detail.issuer)


def common_name(name: str) -> str:
    """Return the first common name of a distinguished name (RFC 4514); "" if it has none."""
    for attribute in _ATTRIBUTE.finditer(name):
        if attribute[1].startswith("CN="):
            return re.sub(r"\\(.)", r"\1", attribute[1][3:], flags=re.DOTALL)
    return ""
