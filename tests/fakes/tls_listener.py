"""A listener on loopback that speaks TLS with a given chain, behind words of a test's choice."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fakes.pki import Issued

Before = Callable[[socket.socket], None]


def server_context(*chains: Sequence[Issued]) -> ssl.SSLContext:
    """Return a context with each chain, the key of its first certificate included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        for chain in chains:
            path = Path(directory) / "chain.pem"
            path.write_bytes(b"".join(each.pem for each in chain) + chain[0].key_pem)
            context.load_cert_chain(path)
    return context


@contextmanager
def listening(
    context: ssl.SSLContext | None, before: Before = lambda _: None, *, address: str = "127.0.0.1"
) -> Iterator[int]:
    """Serve one connection after the other; yields the port. None: nothing but `before`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((address, 0))
    listener.listen()
    thread = threading.Thread(target=_serve, args=(listener, context, before), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _serve(listener: socket.socket, context: ssl.SSLContext | None, before: Before) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(10)
        with suppress(OSError, ssl.SSLError), connection:
            before(connection)
            if context is not None:
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(1)
