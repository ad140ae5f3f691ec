"""What can be asked: the query parameters of each list, and what they mean as filters.

An unknown parameter is refused: a misspelt filter must not pass for an answer to everything.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from keycensus_collector.access.principals import Principal
from keycensus_collector.errors import QueryError, UsageError
from keycensus_collector.inventory.certificates import CertificateFilter
from keycensus_collector.inventory.hosts import HostFilter
from keycensus_collector.inventory.keys import KeyFilter
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, DEFAULT_LIMIT, PAGE_LIMIT
from keycensus_collector.query.bind import AS_OF_TAKES, is_moment
from keycensus_collector.query.model import EVERYTHING, Query
from keycensus_collector.query.parse import parse

_TEXT = 1_000
_DURATION = re.compile(r"(\d{1,6})([hdwy])")
_UNIT_MS = {"h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}


def duration_ms(text: str) -> int:
    """Return "36h", "30d", "4w" or "1y" in milliseconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 36h, 30d, 4w or 1y")
    return int(match[1]) * _UNIT_MS[match[2]]


def _checked(text: str) -> str:
    duration_ms(text)
    return text


Text = Annotated[str, Field(max_length=_TEXT)]


class QueryParameters(BaseModel):
    """What every list takes: a query, and the past day that it is about."""

    model_config = ConfigDict(extra="forbid")

    q: Annotated[
        str,
        Field(
            description="A query, as in `expires<30d host:web*` (docs/query.md). Filters hold besides.",
            examples=["expires<30d host:web*"],
        ),
    ] = ""
    as_of: Annotated[
        str,
        Field(
            max_length=_TEXT,
            description="What was known on a past day, as `as-of:` in the query.",
            examples=["2026-09-30"],
        ),
    ] = ""

    _asker: str = PrivateAttr(default="")

    def asked_by(self, principal: Principal) -> Self:
        """Return these with who asks, so that `mine` means something."""
        self._asker = principal.user
        return self

    def as_query(self) -> Query:
        """Return the query; QueryError points at a mistake in it."""
        query = replace(parse(self.q), asker=self._asker)
        if not self.as_of:
            return query
        if query.as_of:
            raise UsageError("as_of stands beside a query that has as-of: itself; leave one out")
        # The mistakes of this parameter are pointed at in itself, not in the query beside it.
        if not is_moment(self.as_of):
            raise QueryError(AS_OF_TAKES, self.as_of, 0, len(self.as_of))
        return replace(query, as_of=self.as_of)


class ListParameters(QueryParameters):
    """A page of a list."""

    limit: Annotated[
        int, Field(ge=1, le=PAGE_LIMIT, description="How many items a page has at most.")
    ] = DEFAULT_LIMIT
    cursor: Annotated[
        str,
        Field(max_length=_TEXT, description="`next` of the page before; empty: from the start."),
    ] = ""
    total: Annotated[
        Literal["bounded", "exact"],
        Field(description="Count to 10,000, or `exact`: all, however long that takes."),
    ] = "bounded"

    @property
    def exactly(self) -> bool:
        """Whether all is to be counted."""
        return self.total == "exact"


class CertificateParameters(ListParameters):
    """Filters of the list of certificates."""

    expires_within: Annotated[
        str | None,
        AfterValidator(lambda text: text and _checked(text)),
        Field(
            description="Still valid, and expires within this time: hours, days, weeks, years.",
            examples=["30d"],
        ),
    ] = None
    expired: Annotated[bool | None, Field(description="Has expired, or has not.")] = None
    host: Annotated[
        Text, Field(description="Stands on this host: name with `*`, or UUID.", examples=["web*"])
    ] = ""
    issuer: Annotated[
        Text, Field(description="Part of the issuer's name.", examples=["Let's Encrypt"])
    ] = ""
    name: Annotated[
        Text,
        Field(
            description="Common name or any alternative name, with `*`.",
            examples=["*.example.com"],
        ),
    ] = ""
    path: Annotated[
        Text,
        Field(
            description="Stands at this path, below this directory, or at a path with `*`.",
            examples=["/etc/nginx"],
        ),
    ] = ""
    status: Annotated[
        Literal["live", "retained", "gone", "any"],
        Field(description="Live somewhere; kept only; nowhere any more; or any of them."),
    ] = "live"
    is_ca: Annotated[bool | None, Field(description="Is a certificate authority's.")] = None
    key_id: Annotated[
        str | None, Field(pattern="^[0-9a-fA-F]{64}$", description="Certifies this key.")
    ] = None
    line: Annotated[
        int | None, Field(ge=1, le=BIGGEST_INTEGER, description="Belongs to this line.")
    ] = None
    without_key: Annotated[bool, Field(description="Its private key was found nowhere.")] = False
    include: Annotated[
        Literal["", "trust-stores"],
        Field(description="`trust-stores`: also certificates that stand in trust stores only."),
    ] = ""
    places: Annotated[bool, Field(description="With up to 50 places each; `/where` has all.")] = (
        False
    )
    verdict: Annotated[
        Literal["", "served", "not-reloaded", "served-but-not-on-disk", "served-another"],
        Field(
            description="A listener of it was seen so: what it presents, held against the disk."
            " Without `status`: any, since what is presented may stand on no disk.",
            examples=["not-reloaded"],
        ),
    ] = ""

    sort: Annotated[
        Literal["expiry", "importance"],
        Field(description="By their end, or the most important first (docs/ownership.md)."),
    ] = "expiry"

    def as_filter(self) -> CertificateFilter:
        """Return what is asked for."""
        within, query = self.expires_within, self.as_query()
        # A query says itself what it means; so does whoever asks for a verdict.
        open_ = bool(self.verdict or query != EVERYTHING) and "status" not in self.model_fields_set
        return CertificateFilter(
            expires_within_ms=duration_ms(within) if within else None,
            expired=self.expired,
            host=self.host,
            issuer=self.issuer,
            name=self.name,
            path=self.path,
            status="any" if open_ else self.status,
            is_ca=self.is_ca,
            key_id=bytes.fromhex(self.key_id) if self.key_id else None,
            line=self.line,
            without_key=self.without_key,
            trust_stores=self.include == "trust-stores"
            or (query != EVERYTHING and "status" not in self.model_fields_set),
            verdict=self.verdict,
            query=query,
        )


class KeyParameters(ListParameters):
    """Filters of the list of private keys."""

    without_certificate: Annotated[
        bool, Field(description="No certificate of this key was found anywhere.")
    ] = False
    readable_by: Annotated[
        Literal["", "world", "group"],
        Field(description="Its file's mode lets everybody, or at least its group, read it."),
    ] = ""
    host: Annotated[Text, Field(description="Stands on this host: name with `*`, or UUID.")] = ""
    path: Annotated[
        Text, Field(description="Stands at this path, below this directory, or with `*`.")
    ] = ""
    algorithm: Annotated[Text, Field(description="Key algorithm.", examples=["rsa"])] = ""
    encrypted: Annotated[bool | None, Field(description="Is encrypted at rest, or is not.")] = None
    sealed: Annotated[
        bool | None,
        Field(description="Its public half can't be read without a password, or can."),
    ] = None
    status: Annotated[
        Literal["live", "retained", "any"],
        Field(description="Live somewhere; kept only; or either."),
    ] = "live"

    def as_filter(self) -> KeyFilter:
        """Return what is asked for."""
        query = self.as_query()
        open_ = query != EVERYTHING and "status" not in self.model_fields_set
        return KeyFilter(
            without_certificate=self.without_certificate,
            readable_by=self.readable_by,
            host=self.host,
            path=self.path,
            algorithm=self.algorithm,
            encrypted=self.encrypted,
            sealed=self.sealed,
            status="any" if open_ else self.status,
            query=query,
        )


class HostParameters(ListParameters):
    """Filters of the list of hosts."""

    state: Annotated[
        Literal["", "active", "silent", "retired", "imported", "known"],
        Field(description="In this state."),
    ] = ""
    name: Annotated[Text, Field(description="Part of the name, with `*`.", examples=["web"])] = ""

    def as_filter(self) -> HostFilter:
        """Return what is asked for."""
        return HostFilter(self.state, self.name, self.as_query())


class PlaceParameters(ListParameters):
    """The list of places: what it is to hold is said by the query."""


class IdParameters(BaseModel):
    """An ID as people paste it."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=_TEXT,
            description="SHA-256 or SHA-1 in any spelling, 8 or more digits of a SHA-256, a serial"
            " in hexadecimal or decimal, a key's id, a host's name or UUID.",
            examples=["5a:c3:0f:…", "web1"],
        ),
    ]
    kind: Annotated[
        Literal["", "certificate", "key", "host", "request", "revocation-list", "over-cap"],
        Field(description="Only things of this kind, where an ID fits several."),
    ] = ""
