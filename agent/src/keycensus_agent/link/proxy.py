"""HTTP CONNECT proxies: which one to use, and the tunnel for connections that gRPC does not make.

Runs in the link. A proxy's address may carry a password: it is never logged, shown, or in argv.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from keycensus_agent.address import Address
from keycensus_agent.errors import LinkError
from keycensus_agent.text import safe_text

# In gRPC's own order, so that both kinds of connection take the same way.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_BYPASS_VARIABLES = ("no_grpc_proxy", "no_proxy")
# A proxy's answer to CONNECT is a status line and a few headers.
_ANSWER_LIMIT = 16384


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `url` is what gRPC is given."""

    address: Address
    url: str = field(repr=False)
    authorization: str = field(default="", repr=False)


def choose_proxy(address: Address, setting: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy on the way to `address`, None for none.

    `setting` is the configuration's: a URL, "none", or empty for what the environment says.
    LinkError if the environment's is no URL of an HTTP proxy.
    """
    if setting == "none" or _is_bypassed(address.host, environment):
        return None
    named = [environment[name] for name in _PROXY_VARIABLES if environment.get(name)]
    url = setting or (named[0] if named else "")
    return _parse(url) if url else None


def _parse(url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host = parts.hostname if parts.scheme == "http" else None
        port = parts.port or 80
    except ValueError:
        host = None
    if not host:
        raise LinkError(
            'the proxy is not usable: it must be "http://host:port" (setting `proxy` of '
            "[collector], or the environment's https_proxy)"
        )
    credentials = parts.netloc.rpartition("@")[0]
    encoded = base64.b64encode(unquote(credentials).encode()).decode("ascii")
    authorization = f"Basic {encoded}" if credentials else ""
    return Proxy(Address(host, port), parts.geturl(), authorization)


def _is_bypassed(host: str, environment: Mapping[str, str]) -> bool:
    lists = [environment[name] for name in _BYPASS_VARIABLES if environment.get(name)]
    entries = [entry.strip().lower() for entry in lists[0].split(",")] if lists else []
    return any(_matches(host.lower(), entry) for entry in entries if entry)


def _matches(host: str, entry: str) -> bool:
    if entry == "*" or host.endswith(entry):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def connect(address: Address, proxy: Proxy | None, timeout: float) -> socket.socket:
    """Return a TCP connection to `address`; LinkError ("unreachable") says what failed.

    `timeout` in seconds is for each step, and stays set on the socket.
    """
    hop = proxy.address if proxy else address
    try:
        connection = socket.create_connection((hop.host, hop.port), timeout)
    except OSError as error:
        via = f"the proxy {hop} on the way to {address}" if proxy else f"the collector {address}"
        raise LinkError(f"{via} can't be reached: {_why(error, hop, timeout)}") from error
    if proxy is None:
        return connection
    try:
        _tunnel(connection, address, proxy)
    except BaseException:
        connection.close()
        raise
    return connection


def _why(error: OSError, hop: Address, timeout: float) -> str:
    if isinstance(error, socket.gaierror):
        return f'the name "{safe_text(hop.host)}" is not known: check its spelling and DNS'
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {hop.port}: check the port, and that it is running"
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s: check firewalls on the way to port {hop.port}"
    return f"{error.strerror or error}: check the network"


def _tunnel(connection: socket.socket, address: Address, proxy: Proxy) -> None:
    authorization = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    request = f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n"
    answer = b""
    try:
        connection.sendall(request.encode("ascii"))
        # Byte by byte would be exact; a proxy sends nothing of the tunnel before we speak.
        while b"\r\n\r\n" not in answer and len(answer) < _ANSWER_LIMIT:
            piece = connection.recv(4096)
            if not piece:
                break
            answer += piece
    except OSError as error:
        raise LinkError(
            f"the proxy {proxy.address} broke off: {error.strerror or error}"
        ) from error
    line = answer.split(b"\r\n", 1)[0].decode("latin-1")
    words = line.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or words[1] != "200":
        raise LinkError(
            f'the proxy {proxy.address} does not let us through to {address}: it answered "'
            f'{safe_text(line[:200])}"; ask for CONNECT to that port, or set proxy = "none"'
        )
