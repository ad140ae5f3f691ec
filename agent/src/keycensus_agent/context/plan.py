"""Which listeners to ask, and for what: configuration and listening sockets laid together. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.inquiry import FAMILIES, PROTOCOLS, Listener, Question, is_server_name

# Where TLS begins at once, by IANA's registry of ports and the habits of well-known services.
TLS_PORTS = frozenset(
    {
        *(443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995),
        *(2376, 3269, 5061, 5223, 5671, 5986, 6443, 6514, 6697, 8443, 8883, 9443, 10250),
    }
)
# Where it begins after a word; asked only where every listener is.
STARTTLS_PORTS = {
    25: "starttls-smtp",
    587: "starttls-smtp",
    143: "starttls-imap",
    110: "starttls-pop3",
    389: "starttls-ldap",
    5432: "starttls-postgresql",
    3306: "starttls-mysql",
}
# Names asked for on behalf of one binding, and questions of one binding.
_NAMES = 16
_QUESTIONS = 64
# What of a configuration clients see; keys, authorities and revocation lists they don't.
PRESENTING = frozenset({"certificate", "store"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listening socket as it is asked: at `address`, which is the host's own."""

    address: str
    port: int
    listener: Listener


def endpoints(listeners: Iterable[Listener]) -> dict[int, list[Endpoint]]:
    """Return listening sockets by port; of an address for every address, loopback is asked."""
    found: dict[int, list[Endpoint]] = {}
    for each in listeners:
        address = ipaddress.ip_address(each.address)
        if getattr(address, "scope_id", None) or (address.version == 6 and address.is_link_local):
            continue
        asked = str(getattr(address, "ipv4_mapped", None) or address)
        if address.is_unspecified:
            asked = "127.0.0.1" if address.version == 4 or not each.v6only else "::1"
        found.setdefault(each.port, []).append(Endpoint(asked, each.port, each))
    for here in found.values():
        here.sort(key=lambda endpoint: (":" in endpoint.address, endpoint.address))
    return found


def questions(
    binding: Binding, by_port: Mapping[int, Sequence[Endpoint]], *, several: bool
) -> list[tuple[Question, Endpoint]]:
    """Return what to ask on behalf of a binding; nothing where nobody listens.

    `several`: it names several certificates, so each kind of signature is asked for.
    """
    if binding.directive not in PRESENTING or binding.protocol not in PROTOCOLS:
        return []
    names = list(dict.fromkeys(_asked_names(binding.server_names)))[:_NAMES] or [""]
    families = FAMILIES if several else FAMILIES[:1]
    found: dict[Question, Endpoint] = {}
    for listen in binding.listen:
        for endpoint in _matching(listen, by_port):
            for name in names:
                for family in families:
                    question = Question(
                        endpoint.address, endpoint.port, name, binding.protocol, family
                    )
                    found.setdefault(question, endpoint)
    return list(found.items())[:_QUESTIONS]


def unbound(
    by_port: Mapping[int, Sequence[Endpoint]], asked: Iterable[Question], *, every: bool
) -> list[tuple[Question, Endpoint]]:
    """Return what to ask listeners that no configuration was found for.

    On the known ports of TLS; with `every`, on all.
    """
    bound = {(question.address, question.port) for question in asked}
    found: dict[Question, Endpoint] = {}
    for port, here in sorted(by_port.items()):
        if not every and port not in TLS_PORTS:
            continue
        protocol = STARTTLS_PORTS.get(port, "tls")
        for endpoint in here:
            if (endpoint.address, port) not in bound:
                found.setdefault(Question(endpoint.address, port, protocol=protocol), endpoint)
    return list(found.items())


def _asked_names(server_names: Iterable[str]) -> Iterator[str]:
    """Yield names that a client could ask for; of a wildcard, one that it covers."""
    for name in server_names:
        lowered = name.lower().rstrip(".")
        if lowered.startswith("*."):
            lowered = "www" + lowered[1:]
        elif lowered.startswith("."):
            lowered = lowered[1:]
        if lowered not in {"", "_"} and is_server_name(lowered):
            yield lowered


def _matching(listen: str, by_port: Mapping[int, Sequence[Endpoint]]) -> Iterator[Endpoint]:
    """Yield listening sockets that an address of a configuration means."""
    host, _, port = listen.rpartition(":")
    if not port.isascii() or not port.isdigit() or len(port) > 5:
        return
    host = host.strip("[]")
    here = by_port.get(int(port), ())
    if host in {"*", "", "::"}:
        # Every address: one answers for all, the first in the order of IPv4, IPv6.
        wildcard = [
            each for each in here if ipaddress.ip_address(each.listener.address).is_unspecified
        ]
        yield from (wildcard or here)[:1]
        return
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        yield from here[:1]  # a name: whatever it leads to listens here, or nobody does
        return
    for each in here:
        listening = ipaddress.ip_address(each.listener.address)
        if listening == address:
            yield each
            return
        if listening.is_unspecified:
            asked = "::1" if address.is_unspecified and address.version == 6 else str(address)
            yield Endpoint(asked, each.port, each.listener)
            return
