"""Clients that are no agents: they begin a TLS handshake and break it off, over and over."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def break_off_handshakes(
    address: str, *, count: int, threads: int = 8, seed: int = 1, longest_wait: float = 0.01
) -> int:
    """Say a TLS hello `count` times and reset the connection a moment later; how many were said."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    said = [0] * threads

    def work(number: int) -> None:
        dice = random.Random(seed + number)  # noqa: S311 - a test's dice
        for _ in range(count // threads):
            with suppress(OSError):
                _hello_and_reset(address, context, dice.uniform(0, longest_wait))
                said[number] += 1

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(said)


def _hello_and_reset(address: str, context: ssl.SSLContext, wait: float) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        outgoing = ssl.MemoryBIO()
        handshake = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            handshake.do_handshake()
        connection.sendall(outgoing.read())
        time.sleep(wait)
