"""TLS by hand, where gRPC can't: the chain a server presents, and why a connection failed.

Runs in the link. `presented_chain` trusts nobody and sends nothing but a TLS hello: the caller
compares what comes back with the token's pin (protos/README.md, section 4.1). `explain` repeats a
connection that gRPC could not make, and turns what it meets into a sentence with what to do.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keycensus_agent.address import Address
from keycensus_agent.errors import LinkError
from keycensus_agent.link.proxy import Proxy, connect
from keycensus_agent.text import safe_text

CONNECT_TIMEOUT_SECONDS = 15.0
# How long to wait for the server's first word under TLS 1.3, in which it may refuse us only after
# our side of the handshake has ended.
_FIRST_WORD_SECONDS = 5.0
_CHAIN_LIMIT = 10

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_NAME_MISMATCH = frozenset({62, 64})

_TOO_OLD = (
    "UNSUPPORTED_PROTOCOL",
    "PROTOCOL_VERSION",
    "NO_PROTOCOLS_AVAILABLE",
    "VERSION_TOO_LOW",
    "BAD_PROTOCOL_VERSION_NUMBER",
)
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "HTTP_REQUEST",
    "UNEXPECTED_MESSAGE",
    "BAD_RECORD_TYPE",
)
_CLIENT_REFUSED = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
)


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """Where our own certificate and key lie, for servers that ask for them."""

    certificate: Path
    key: Path


def presented_chain(
    address: Address, proxy: Proxy | None, *, timeout: float = CONNECT_TIMEOUT_SECONDS
) -> list[bytes]:
    """Return the certificates (DER, leaf first) that the server presents, none of them verified.

    LinkError ("unreachable", "tls") says why there is none. `timeout` in seconds, for each step.
    """
    context = _context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _handshake(context, address, proxy, timeout) as tls:
        return _unverified_chain(tls)[:_CHAIN_LIMIT]


def explain(
    address: Address,
    proxy: Proxy | None,
    roots_pem: bytes,
    client: ClientFiles | None,
    *,
    timeout: float = CONNECT_TIMEOUT_SECONDS,
) -> LinkError:
    """Return why a gRPC connection to `address` fails: by trying TLS once more, by hand."""
    context = _context()
    context.load_verify_locations(cadata=roots_pem.decode("ascii"))
    # As gRPC does: an anchor may be an intermediate of a company's root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if client:
            context.load_cert_chain(client.certificate, client.key)
        with _handshake(context, address, proxy, timeout) as tls:
            _await_first_word(tls, address)
    except LinkError as error:
        return error
    except OSError as error:
        text = f"the agent's own certificate can't be used: {error.strerror or error}"
        return LinkError(text, reason="tls")
    return LinkError(
        f"the collector {address} was not ready, but can be reached now: try again",
        reason="unreachable",
    )


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


def _handshake(
    context: ssl.SSLContext, address: Address, proxy: Proxy | None, timeout: float
) -> ssl.SSLSocket:
    connection = connect(address, proxy, timeout)
    try:
        return context.wrap_socket(connection, server_hostname=address.host)
    except (OSError, ValueError) as error:
        connection.close()
        raise _explained(error, address, timeout) from error
    except BaseException:
        connection.close()
        raise


def _unverified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the whole chain: public API from Python 3.13, before it a private method."""
    public: Callable[[], list[bytes]] | None = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    # The attribute is None once closed; its certificates know PEM (1) and DER (2).
    private: Any = getattr(tls, "_sslobj")  # noqa: B009 - private, and mypy knows no such attribute
    return [certificate.public_bytes(2) for certificate in private.get_unverified_chain() or ()]


def _await_first_word(tls: ssl.SSLSocket, address: Address) -> None:
    """Wait for the server's HTTP/2 settings: a server that refuses our certificate ends instead."""
    tls.settimeout(_FIRST_WORD_SECONDS)
    try:
        if tls.recv(1):
            return
    except OSError as error:
        raise _explained(error, address, _FIRST_WORD_SECONDS) from error
    raise LinkError(
        f"{address} ended the connection after the TLS handshake without a word: it does not take "
        "this agent's certificate (was its authority replaced? then `keycensus-agent leave "
        "--force` and enrol again), it is just stopping, or it is no collector: check the port, "
        "try again, see its log",
        reason="tls",
    )


def _explained(error: Exception, address: Address, timeout: float) -> LinkError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, address)
    if isinstance(error, TimeoutError | socket.timeout):
        return LinkError(
            f"{address} accepted the connection but did not answer the TLS hello within "
            f"{timeout:g} s: check that this is the collector's port"
        )
    reason = getattr(error, "reason", None) or ""
    for words, text in (
        (_TOO_OLD, _TOO_OLD_TEXT),
        (_NOT_TLS, _NOT_TLS_TEXT),
        (_CLIENT_REFUSED, _CLIENT_REFUSED_TEXT),
    ):
        if any(word in reason for word in words):
            return LinkError(text.format(address=address, detail=safe_text(reason)), reason="tls")
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return LinkError(_BROKE_OFF_TEXT.format(address=address), reason="tls")
    detail = safe_text(reason or str(error))
    return LinkError(f"TLS with {address} failed ({detail})", reason="tls")


_TOO_OLD_TEXT = (
    "{address} speaks only a TLS version older than 1.2, and this agent does not ({detail}): "
    "let the collector, or what stands before it, allow TLS 1.2 or 1.3"
)
_NOT_TLS_TEXT = (
    "{address} does not speak TLS ({detail}): check that this is the collector's port, "
    "8441 for enrolment and 8440 for reports, not a web page's or a proxy's"
)
_CLIENT_REFUSED_TEXT = (
    "{address} refuses this agent's certificate ({detail}): if the collector's authority was "
    "replaced, `keycensus-agent leave --force` and enrol again; else see its log"
)
_BROKE_OFF_TEXT = (
    "{address} broke off the TLS handshake: it may not speak TLS, may want another TLS version, or "
    "something between does not let TLS through"
)


def _untrusted(error: ssl.SSLCertVerificationError, address: Address) -> LinkError:
    if error.verify_code in _NAME_MISMATCH:
        text = (
            f'the collector\'s certificate is not for the name "{safe_text(address.host)}": use the '
            "name that it was set up with, or add this one with `keycensus-collector init --name`"
        )
    elif error.verify_code == _EXPIRED:
        text = (
            f"the certificate of {address} has expired, by this host's clock: renew it at the "
            "collector, and check both clocks"
        )
    elif error.verify_code == _NOT_YET_VALID:
        text = (
            f"the certificate of {address} is not valid yet, by this host's clock: the clock of "
            "this host, or of the collector, is probably wrong"
        )
    else:
        text = (
            f"the certificate of {address} was not issued by this deployment's authority "
            f"({safe_text(error.verify_message)}): this is not the collector that this agent "
            "knows, or its authority was replaced, or something between opens TLS. Nothing was sent"
        )
    return LinkError(text, reason="tls")
