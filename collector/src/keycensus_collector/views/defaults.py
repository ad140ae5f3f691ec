"""The views that every collector has: what to look at first. They follow the program, not the database."""

from __future__ import annotations

from keycensus_collector.views.model import View


def _view(
    name: str, list_: str, query: str, description: str, columns: tuple[str, ...] = ()
) -> View:
    return View(name, description, list_, query, columns, built_in=True)


DEFAULTS = (
    _view("expiring", "certificates", "expires:0d..30d", "Valid, and not for longer than 30 days"),
    _view("expired", "certificates", "expires<0d", "In use, and no longer valid"),
    _view(
        "expiring-unrenewed",
        "certificates",
        "expires:0d..30d renewal:none ca:no",
        "Valid for 30 days at most, and nothing is known to renew them",
    ),
    _view(
        "overdue-renewals",
        "certificates",
        "renewal:overdue (ca:no or expires<30d)",
        "Their renewal tool should have renewed them by now",
    ),
    _view(
        "renewed-not-reloaded",
        "certificates",
        "verdict:not-reloaded ca:no",
        "New on the disk, while a listener still presents the one before",
    ),
    _view("ownerless", "certificates", "owner:none", "Nobody renews them, as far as is known"),
    _view("owned-by-me", "certificates", "owner:mine", "Those that you or your teams renew"),
    _view(
        "mine-to-confirm",
        "certificates",
        "recertified:open owner:mine",
        "A campaign asks you or your teams whether they are still yours",
    ),
    _view(
        "unconfirmed",
        "certificates",
        "recertified:lapsed",
        "Their owners did not say by the date that they are theirs",
    ),
    _view("open-keys", "keys", "readable-by:world", "Private keys whose file anyone can read"),
    _view("shared-keys", "keys", "hosts>1", "The same private key on several hosts"),
    _view("lone-keys", "keys", "certificate:none", "Private keys without any certificate"),
    _view("weak-keys", "certificates", "key:rsa bits<2048", "RSA keys of less than 2048 bits"),
    _view(
        "self-signed-servers",
        "certificates",
        "self-signed:yes ca:no role:server",
        "Servers whose certificate nobody vouches for",
    ),
    _view(
        "unknown-issuers",
        "certificates",
        "issuer-found:no self-signed:no",
        "Issued by an authority whose certificate was found nowhere",
    ),
    _view(
        "marked",
        "certificates",
        "marked:any use:any role:any",
        "Compromised or distrusted, or below an authority that is, and still somewhere",
    ),
    _view(
        "revoked-but-live",
        "certificates",
        "revoked:yes",
        "Revoked by their issuer, and still in use",
    ),
    _view(
        "issued-not-seen",
        "certificates",
        "issuer-list:any listed-by:any found:gone",
        "On a list of what their authority issued, and seen nowhere",
    ),
    _view(
        "seen-not-listed",
        "certificates",
        "issuer-list:any listed-by:none",
        "In use, and not on the list of what their authority issued",
    ),
    _view("marked-keys", "keys", "marked:any use:any", "Compromised or distrusted keys"),
    _view(
        "marked-and-back",
        "certificates",
        "reappeared:yes role:any",
        "Came to a place after they, their key or an authority above were marked",
    ),
    _view("locked-keystores", "places", "status:locked", "Files that only a password opens"),
    _view(
        "odd-trust-stores",
        "places",
        "fleet:differs",
        "Trust stores that differ from the fleet: not the certificates that most hosts have there",
        ("host", "path", "place_owner", "package", "package_version", "changed"),
    ),
    _view(
        "blind-spots",
        "hosts",
        "gap:any or complete:no",
        "Hosts where an agent could not look everywhere",
    ),
    _view(
        "without-agent",
        "hosts",
        "state:known",
        "Named by lists of known hosts, and no agent reports",
    ),
    _view("silent-hosts", "hosts", "state:silent", "Hosts that are not heard of any more"),
)
BY_NAME = {view.name: view for view in DEFAULTS}
