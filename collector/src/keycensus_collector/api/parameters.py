"""What can be asked: the query parameters of each list, and the query that they make.

An unknown parameter is refused: a misspelt filter must not pass for an answer to everything.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from keycensus_collector.access.principals import Principal
from keycensus_collector.api import filters
from keycensus_collector.errors import QueryError, UsageError
from keycensus_collector.inventory.paging import DEFAULT_LIMIT, PAGE_LIMIT
from keycensus_collector.inventory.sorting import SORTS
from keycensus_collector.query.bind import AS_OF_TAKES, is_moment
from keycensus_collector.query.model import Query
from keycensus_collector.query.parse import parse

_TEXT = 1_000
# A cursor has the texts in it by which a list is sorted.
_CURSOR = 4_000
_DURATION = re.compile(r"\d{1,6}[hdwy]")
# Numbers of a query have 15 digits.
_BIGGEST_LINE = 10**15 - 1


def _duration(text: str) -> str:
    """Return "36h", "30d", "4w" or "1y" as a query has it; ValueError for anything else."""
    if not _DURATION.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no duration; write 36h, 30d, 4w or 1y")
    return text.strip()


Text = Annotated[str, Field(max_length=_TEXT)]


def _sorting(list_: str) -> Any:  # noqa: ANN401 - what pydantic's Field returns
    names = list(SORTS[list_])
    return Field(
        max_length=_TEXT,
        description="By what, from its end with `-` before it (docs/api.md#order); empty: as is usual.",
        json_schema_extra={"enum": ["", *names, *(f"-{name}" for name in names)]},
    )


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
        Field(max_length=_CURSOR, description="`next` of the page before; empty: from the start."),
    ] = ""
    sort: str = ""
    total: Annotated[
        Literal["bounded", "exact"],
        Field(description="Count to 10,000 at most, or `exact`: all, however long that takes."),
    ] = "bounded"

    @property
    def exactly(self) -> bool:
        """Whether all is to be counted."""
        return self.total == "exact"


class CertificateParameters(ListParameters):
    """Filters of the list of certificates."""

    sort: Annotated[str, _sorting("certificates")] = ""

    expires_within: Annotated[
        str | None,
        AfterValidator(lambda text: text and _duration(text)),
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
        int | None, Field(ge=1, le=_BIGGEST_LINE, description="Belongs to this line.")
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

    def as_query(self) -> Query:
        """Return all that is asked for as one query."""
        query = super().as_query()
        nodes = [
            *filters.text("issuer", self.issuer),
            *filters.text("name", self.name),
            *filters.text("host", self.host),
            *filters.path(self.path),
            *filters.expiry(self.expires_within, expired=self.expired),
            *filters.choice("ca", self.is_ca),
            *filters.word("key-id", self.key_id),
            *filters.word("line", self.line),
            *filters.word("listener", self.verdict),
        ]
        if self.without_key:
            nodes += filters.word("private-key", "none")
        nodes += filters.status_of_certificates(
            self._status(query),
            trust_stores=self.include == "trust-stores",
            at_a_place=bool(self.host or self.path),
        )
        return filters.narrowed(query, nodes)

    def _status(self, query: Query) -> str:
        """Return the status that is meant; empty: a query says itself which uses and roles it means."""
        if "status" in self.model_fields_set:
            return self.status
        if query.expression is not None:
            return ""
        return "any" if self.verdict else ""


class KeyParameters(ListParameters):
    """Filters of the list of private keys."""

    sort: Annotated[str, _sorting("keys")] = ""

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

    def as_query(self) -> Query:
        """Return all that is asked for as one query."""
        nodes = [
            *filters.word("readable-by", self.readable_by),
            *filters.text("host", self.host),
            *filters.path(self.path),
            *filters.text("key", self.algorithm, operator="="),
            *filters.choice("encrypted", self.encrypted),
            *filters.choice("sealed", self.sealed),
        ]
        if self.without_certificate:
            nodes += filters.word("certificate", "none")
        if "status" in self.model_fields_set:
            nodes += filters.status_of_keys(self.status)
        return filters.narrowed(super().as_query(), nodes)


class HostParameters(ListParameters):
    """Filters of the list of hosts."""

    sort: Annotated[str, _sorting("hosts")] = ""

    state: Annotated[
        Literal["", "active", "silent", "retired", "imported", "known"],
        Field(description="In this state."),
    ] = ""
    name: Annotated[Text, Field(description="Part of the name, with `*`.", examples=["web"])] = ""

    def as_query(self) -> Query:
        """Return all that is asked for as one query."""
        nodes = [*filters.word("state", self.state), *filters.part_of_name(self.name)]
        return filters.narrowed(super().as_query(), nodes)


class GapParameters(ListParameters):
    """The list of gaps: what it is to hold is said by the query."""

    sort: Annotated[str, _sorting("gaps")] = ""


class PlaceParameters(ListParameters):
    """The list of places: what it is to hold is said by the query."""

    sort: Annotated[str, _sorting("places")] = ""


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
