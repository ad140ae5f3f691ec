"""The lists as pages show them: what each is called, what it can be asked, and its columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `name`: in the template; `members`: what it is made of, as exports name them."""

    name: str
    heading: str
    members: tuple[str, ...]
    is_usual: bool = True  # shown to who chose nothing
    sort: str = ""  # by what its heading sorts the list (inventory/sorting.py); empty: by nothing


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a query lists of a list, under a title of its own."""

    query: str
    title: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One list. `facets`: by what its rows are counted beside it; `excerpts`: what is led to as a list, too."""

    name: str
    title: str
    placeholder: str
    columns: tuple[Column, ...]
    facets: tuple[str, ...]
    excerpts: tuple[Excerpt, ...] = ()

    def title_of(self, query: str) -> str:
        """Return what it is called where it shows what a query lists."""
        own = (excerpt.title for excerpt in self.excerpts if excerpt.query == query)
        return next(own, self.title)

    def shown(self, chosen: Collection[str] | None) -> list[Column]:
        """Return the columns that somebody chose, in their order here; the first is always there."""
        if chosen is None:
            return [column for column in self.columns if column.is_usual]
        return [
            column
            for number, column in enumerate(self.columns)
            if number == 0 or column.name in chosen
        ]


def members_of(columns: Sequence[Column]) -> str:
    """Return what an export of these columns is asked for."""
    return ",".join(dict.fromkeys(member for column in columns for member in column.members))


LOCKED = Excerpt("status:locked", "Locked containers")
LISTS = {
    listed.name: listed
    for listed in (
        Listed(
            "certificates",
            "Certificates",
            'expires<30d host:web*   ·   issuer:"Let\'s Encrypt"   ·   owner:none',
            (
                Column("name", "Certificate", ("name", "sha256"), sort="name"),
                Column("ends", "Expires", ("not_after",), sort="expiry"),
                Column("begins", "Valid from", ("not_before",), is_usual=False, sort="not_before"),
                Column("issuer", "Issuer", ("issuer",), sort="issuer"),
                Column("names", "Names", ("names",), is_usual=False),
                Column("serial", "Serial", ("serial",), is_usual=False, sort="serial"),
                Column(
                    "algorithm",
                    "Key",
                    ("algorithm", "bits", "curve"),
                    is_usual=False,
                    sort="algorithm",
                ),
                Column(
                    "signature",
                    "Signature",
                    ("signature_algorithm",),
                    is_usual=False,
                    sort="signature_algorithm",
                ),
                Column("places", "Places", ("live_places", "retained_places"), sort="live_places"),
                Column("hosts", "Hosts", ("hosts",), sort="hosts"),
                Column(
                    "service",
                    "Service",
                    ("verdict", "renewed_by", "renewal_overdue"),
                    sort="verdict",
                ),
                Column("owners", "Owner", ("owners", "owned_by"), sort="owners"),
                Column(
                    "revoked",
                    "Revoked",
                    ("revoked", "revoked_since"),
                    is_usual=False,
                    sort="revoked",
                ),
                Column("seen", "First seen", ("first_seen",), is_usual=False, sort="first_seen"),
            ),
            ("issuer", "owner", "state", "renewal", "key-size", "host"),
        ),
        Listed(
            "keys",
            "Private keys",
            "readable-by:world   ·   certificate:none   ·   key:rsa bits<2048",
            (
                Column(
                    "key", "Key", ("id", "kind", "algorithm", "bits", "curve"), sort="algorithm"
                ),
                Column("certificates", "Certificates", ("certificates",)),
                Column("places", "Places", ("live_places",), sort="live_places"),
                Column("hosts", "Hosts", ("hosts",), sort="hosts"),
                Column("readers", "Readable by", ()),
                Column("owners", "Owner", ("owners", "owned_by"), sort="owners"),
            ),
            ("key-size", "owner", "host"),
        ),
        Listed(
            "places",
            "Places",
            "status:locked   ·   path:/etc/nginx/**   ·   readable-by:world",
            (
                Column("path", "Path", ("path", "scope", "target"), sort="path"),
                Column("host", "Host", ("host",), sort="host"),
                Column("format", "Format", ("format", "kinds"), sort="format"),
                Column("status", "Status", ("status", "reason"), sort="status"),
                Column("role", "Role", ("role", "use"), sort="role"),
                Column("mode", "Mode", ("mode", "owner", "readable_by"), sort="mode"),
                Column("package", "Package", ("package",), is_usual=False, sort="package"),
                Column("changed", "Changed", ("changed",), sort="changed"),
            ),
            ("role", "status", "format", "owner"),
            (LOCKED,),
        ),
        Listed(
            "hosts",
            "Hosts",
            "state:silent   ·   gap:any   ·   label.environment:production",
            (
                Column("name", "Host", ("id", "name"), sort="name"),
                Column("state", "State", ("state",), sort="state"),
                Column("seen", "Heard of", ("last_seen",), sort="last_seen"),
                Column("certificates", "Certificates", ("certificates",), sort="certificates"),
                Column("keys", "Keys", ("keys",), sort="keys"),
                Column("gaps", "Gaps", ("gaps",), sort="gaps"),
                Column("os", "System", ("operating_system",), sort="operating_system"),
                Column("agent", "Agent", ("agent_version",), is_usual=False, sort="agent_version"),
            ),
            ("state", "os", "owner"),
        ),
        Listed(
            "gaps",
            "Gaps",
            "gap-reason:unreadable   ·   gap:/srv   ·   state:active gap-since>30d",
            (
                Column("prefix", "Where", ("prefix",), sort="prefix"),
                Column("host", "Host", ("host_id", "host"), sort="host"),
                Column("reason", "Why", ("reason",), sort="reason"),
                Column("detail", "Detail", ("detail",)),
                Column("since", "Since", ("since",), sort="since"),
            ),
            ("reason", "host", "owner"),
        ),
    )
}
# The lists, as a form offers them: names with titles.
CHOICES = [(listed.name, listed.title) for listed in LISTS.values()]
