"""Every field of the language: what it is about, what its values are.

One table for checking, SQL, completion and documents.

A field belongs to levels. A list of certificates knows fields of certificates, and of the entries,
places and hosts where they stand; `targets` says which levels each list has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from keycensus_collector.recertification.states import ASKED

TARGETS = ("certificates", "keys", "places", "hosts", "gaps")


class Level(Enum):
    """What a field is about."""

    CERTIFICATE = "certificate"
    KEY = "key"
    ENTRY = "entry"
    PLACE = "place"
    HOST = "host"
    GAP = "gap"


class Kind(Enum):
    """What values a field takes, and what its operators mean."""

    NAME = "name"  # all of it, in any case, with *
    PART = "part"  # a part, in any case, with *
    PATH = "path"
    CHOICE = "choice"
    UNTIL = "until"  # a time that lies ahead: a length of time is from now on
    SINCE = "since"  # a time that has been: a length of time is an age
    NUMBER = "number"
    MODE = "mode"
    HASH = "hash"
    ANSWER = "answer"  # one of the words, or when something was said or done last
    SERIAL = "serial"


OPERATORS_OF = {
    Kind.NAME: (":", "=", "!="),
    Kind.PART: (":", "=", "!="),
    Kind.PATH: (":", "=", "!="),
    Kind.CHOICE: (":", "=", "!="),
    Kind.UNTIL: ("<", "<=", ">", ">=", ":"),
    Kind.SINCE: ("<", "<=", ">", ">=", ":"),
    Kind.NUMBER: (":", "<", "<=", ">", ">=", "!="),
    Kind.MODE: (":", "=", "!="),
    Kind.HASH: (":", "=", "!="),
    Kind.ANSWER: (":", "<", "<=", ">", ">="),
    Kind.SERIAL: (":", "=", "!="),
}

# What each list can ask about, and which of it the list itself is of: the rest is of a place, an
# entry or an artifact there, one and the same for the whole query.
_AT_A_PLACE = frozenset({Level.ENTRY, Level.PLACE, Level.HOST})
_ARTIFACTS = frozenset({Level.CERTIFICATE, Level.KEY})
LEVELS = {
    "certificates": _AT_A_PLACE | {Level.CERTIFICATE},
    "keys": _AT_A_PLACE | {Level.KEY},
    "places": _AT_A_PLACE | _ARTIFACTS,
    "hosts": _AT_A_PLACE | _ARTIFACTS,
    "gaps": frozenset({Level.GAP, Level.HOST}),
}
OWN = {
    "certificates": frozenset({Level.CERTIFICATE}),
    "keys": frozenset({Level.KEY}),
    "places": frozenset({Level.PLACE, Level.HOST}),
    "hosts": frozenset({Level.HOST}),
    "gaps": frozenset({Level.GAP, Level.HOST}),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `values` are all there are of a CHOICE, else examples for completion."""

    name: str
    levels: tuple[Level, ...]
    kind: Kind
    help: str
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    nullable: bool = False  # `none` and `any` ask whether there is a value
    only: tuple[str, ...] = TARGETS  # lists that have it

    def lists(self) -> tuple[str, ...]:
        """Return the lists that can be asked for it."""
        return tuple(target for target in self.only if not LEVELS[target].isdisjoint(self.levels))


_C, _K, _E, _P, _H = Level.CERTIFICATE, Level.KEY, Level.ENTRY, Level.PLACE, Level.HOST
_G = Level.GAP
_YES = ("yes", "no")
_OF_ARTIFACTS = ("certificates", "keys")
_ALGORITHMS = ("rsa", "ec", "ed25519", "ed448", "dsa", "ml-dsa-65")
# Of handshakes, held against the disk.
VERDICTS = ("served", "not-reloaded", "served-but-not-on-disk", "served-another")
STATES = ("active", "silent", "retired", "imported", "known")  # of hosts
_ENTRY_KINDS = (
    "certificate",
    "private-key",
    "sealed-key",
    "sealed-container",
    "public-key",
    "external-key",
    "opaque-key",
    "csr",
    "crl",
)

FIELDS = (
    # of certificates
    Field("name", (_C,), Kind.NAME, "common name or any alternative name", ("*.example.com",)),
    Field("san", (_C,), Kind.NAME, "an alternative name or address", ("*.example.com",)),
    Field("cn", (_C,), Kind.NAME, "common name", ("*.example.com",), nullable=True),
    Field("subject", (_C,), Kind.PART, "a part of the subject", nullable=True),
    Field("issuer", (_C,), Kind.PART, "a part of the issuer's name", ('"Let\'s Encrypt"',)),
    Field(
        "expires", (_C,), Kind.UNTIL, "when it ends", ("30d", "2026-12-31"), ("not-after",), True
    ),
    Field(
        "issued",
        (_C,),
        Kind.SINCE,
        "when it begins",
        ("7d", "2026-01-01"),
        ("not-before",),
        nullable=True,
    ),
    Field("ca", (_C,), Kind.CHOICE, "is an authority's", _YES),
    Field("self-signed", (_C,), Kind.CHOICE, "issuer and subject are one", _YES),
    Field("signature", (_C,), Kind.NAME, "algorithm of its signature", ("*sha1*",)),
    Field("eku", (_C,), Kind.NAME, "a purpose of its key", ("serverAuth",), nullable=True),
    Field("serial", (_C,), Kind.SERIAL, "serial number, hexadecimal or decimal"),
    Field("sha256", (_C,), Kind.HASH, "its fingerprint, or how it starts", (), ("fingerprint",)),
    Field("sha1", (_C,), Kind.HASH, "its SHA-1 fingerprint, or how it starts"),
    Field("line", (_C,), Kind.NUMBER, "number of its line", nullable=True),
    Field("renewed", (_C,), Kind.SINCE, "when it took the place of the one before it", ("7d",)),
    Field("under", (_C,), Kind.HASH, "issued by this certificate or key, or below, by signature"),
    Field("issuer-found", (_C,), Kind.CHOICE, "its issuer's certificate is known", _YES),
    Field("private-key", (_C,), Kind.CHOICE, "its private key is somewhere", ("found", "none")),
    Field(
        "listener",
        (_C,),
        Kind.CHOICE,
        "how a listener was seen that presents it, or has it on its disk",
        VERDICTS,
        nullable=True,
    ),
    Field(
        "revoked",
        (_C,),
        Kind.ANSWER,
        "by a revocation list; unknown: none tells of it; with a time, revoked then",
        ("yes", "no", "unknown"),
    ),
    Field(
        "revocation-reason",
        (_C,),
        Kind.NAME,
        "why it was revoked",
        ("keyCompromise", "superseded", "certificateHold"),
        nullable=True,
    ),
    Field("listed-by", (_C,), Kind.NAME, "a list of its authority names it", ("none",), (), True),
    Field("imported", (_C,), Kind.NAME, "came in a file of certificates", ("any",), (), True),
    Field(
        "issuer-list",
        (_C,),
        Kind.NAME,
        "a list of what its issuer issued was imported",
        ("any",),
        nullable=True,
    ),
    # of private keys
    Field("certificate", (_K,), Kind.CHOICE, "a certificate of it is somewhere", ("found", "none")),
    Field("sealed", (_K,), Kind.CHOICE, "its public half can't be read", _YES),
    # of both
    Field("key", (_C, _K), Kind.NAME, "algorithm of the key", _ALGORITHMS, ("algorithm",)),
    Field("bits", (_C, _K), Kind.NUMBER, "size of the key", ("2048", "<2048")),
    Field("curve", (_C, _K), Kind.NAME, "curve of the key", ("secp256r1",), nullable=True),
    Field("key-id", (_C, _K), Kind.HASH, "hash of the public key, or how it starts", (), ("id",)),
    Field("problem", (_C, _K), Kind.PART, "why it could not be read whole", (), (), True),
    Field("first-seen", (_C, _K), Kind.SINCE, "when it was seen first", ("7d",)),
    Field(
        "marked",
        (_C, _K),
        Kind.CHOICE,
        "people know it, its key or an authority above it to be so",
        ("compromised", "distrusted"),
        ("mark",),
        nullable=True,
    ),
    Field("reappeared", (_C, _K), Kind.CHOICE, "came to a place after it was marked", _YES),
    Field(
        "places",
        (_C, _K),
        Kind.NUMBER,
        "at how many places it is in use",
        (">1",),
        only=_OF_ARTIFACTS,
    ),
    Field("hosts", (_C, _K), Kind.NUMBER, "on how many hosts it is", (">1",), only=_OF_ARTIFACTS),
    Field(
        "found",
        (_C,),
        Kind.CHOICE,
        "is somewhere, or nowhere",
        ("now", "gone", "any"),
        only=("certificates",),
    ),
    Field(
        "gone",
        (_C,),
        Kind.SINCE,
        "is nowhere any more: when its last place lost it",
        ("7d",),
        only=("certificates",),
    ),
    Field("importance", (_C,), Kind.NUMBER, "how much it matters, by rules", (">50",)),
    # who owns it: of certificates and keys who renews, of places and hosts who installs
    Field(
        "owner",
        (_C, _K, _P, _H),
        Kind.NAME,
        "team or person that owns it; mine: one of yours",
        ("none", "mine"),
        nullable=True,
    ),
    Field(
        "place-owner",
        (_P,),
        Kind.NAME,
        "team or person that owns the place",
        ("none", "mine"),
        nullable=True,
    ),
    Field(
        "team",
        (_C, _K, _P, _H),
        Kind.NAME,
        "team or person that owns it or a place of it",
        ("none", "mine"),
        nullable=True,
    ),
    Field(
        "recertified",
        (_C, _K, _P, _H),
        Kind.ANSWER,
        "what its owner said of it in the last campaign, or when it was confirmed last",
        ASKED,
    ),
    # of an entry of a file
    Field("holds", (_E,), Kind.CHOICE, "what it holds there", _ENTRY_KINDS),
    Field("encrypted", (_E,), Kind.CHOICE, "is encrypted there", _YES),
    Field("member", (_E,), Kind.PART, "name inside the file, as an alias", (), (), True),
    # of a place
    Field("path", (_P,), Kind.PATH, "at it or below; * in one directory, ** in any", ("/etc/**",)),
    Field("link", (_P,), Kind.PATH, "where a link leads", (), (), True),
    Field("use", (_P,), Kind.CHOICE, "in use, or an old copy", ("live", "retained", "any")),
    Field(
        "role",
        (_P,),
        Kind.NAME,
        "what it is for",
        ("server", "client", "ca", "trust-store", "unknown", "any"),
        nullable=True,
    ),
    Field(
        "fleet",
        (_P,),
        Kind.CHOICE,
        "of a trust store: whether it has the certificates that most hosts have there",
        ("differs", "same"),
    ),
    Field(
        "status",
        (_P,),
        Kind.NAME,
        "how it could be read",
        ("read", "locked", "partial", "malformed", "too-big", "unreadable"),
    ),
    Field("reason", (_P,), Kind.NAME, "why it could not be read", (), (), True),
    Field("format", (_P,), Kind.NAME, "format of the file", ("pem", "pkcs12", "jks")),
    Field("mode", (_P,), Kind.MODE, "permission bits", ("0644",)),
    Field("user", (_P,), Kind.NAME, "who owns the file on its host", ("root",), ("file-owner",)),
    Field("group", (_P,), Kind.NAME, "the file's group", ("root",), ("file-group",)),
    Field(
        "readable-by",
        (_P,),
        Kind.CHOICE,
        "who can read the file: everybody, others than its owner, its owner alone",
        ("world", "group", "owner"),
    ),
    Field("package", (_P,), Kind.NAME, "package that owns the name", ("none",), (), True),
    Field("scope", (_P,), Kind.NAME, "host, container, …", ("host", "container")),
    Field("appeared", (_P,), Kind.SINCE, "when the place was seen first", ("7d",)),
    Field("changed", (_P,), Kind.SINCE, "when the place changed last", ("7d",)),
    Field("service", (_P,), Kind.NAME, "a service that names the place", ("nginx",), (), True),
    Field(
        "verdict",
        (_P,),
        Kind.NAME,
        "what a listener that names the place presents",
        VERDICTS,
        nullable=True,
    ),
    Field(
        "renewal",
        (_P,),
        Kind.NAME,
        "the tool that renews what is at the place, or overdue",
        ("certbot", "none", "overdue"),
        nullable=True,
    ),
    # of a host
    Field("host", (_H,), Kind.NAME, "name of the host, or its UUID", ("web*",)),
    Field(
        "state",
        (_H,),
        Kind.CHOICE,
        "of the host; imported: told of by a file; known: named by a list, without an agent",
        STATES,
    ),
    Field("os", (_H,), Kind.PART, "operating system", ("Debian", "Red Hat"), nullable=True),
    Field("kernel", (_H,), Kind.NAME, "version of the kernel", ("5.*",)),
    Field(
        "agent", (_H,), Kind.NAME, "version of the agent; none: without one", ("0.1.0",), (), True
    ),
    Field("last-seen", (_H,), Kind.SINCE, "when its agent was heard last", (">2d",)),
    Field("enrolled", (_H,), Kind.SINCE, "when it came", ("7d",)),
    Field("complete", (_H,), Kind.CHOICE, "its agent has looked everywhere once", _YES),
    Field("gap", (_H, _G), Kind.PATH, "where its agent could not look", ("any", "/srv"), (), True),
    Field("gap-reason", (_H, _G), Kind.NAME, "why its agent could not look", ("unreadable",)),
    Field("gap-detail", (_G,), Kind.PART, "what the host said of the gap", ("NFS",), (), True),
    Field("gap-since", (_G,), Kind.SINCE, "when its agent said so first", (">30d",)),
    Field("label", (_H,), Kind.NAME, "label.KEY: a label of the host", ("prod",), (), True),
)

# What is kept of today alone: on a past day it is what it is now.
OF_TODAY = frozenset({"os", "kernel", "agent", "last-seen", "complete", "importance", "fleet"})

# What `label.KEY` means of a certificate itself, beside the labels of hosts.
OWN_LABEL = Field("own-label", (_C,), Kind.NAME, "a label of its own", nullable=True)

BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}

# Asked for by name in documents and habits, and not here yet: said so, not passed for a typing error.
NOT_YET = {
    "policy": "policy is not judged by this version",
}
