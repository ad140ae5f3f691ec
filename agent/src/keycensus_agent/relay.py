"""Frames between the reader and the link on their AF_UNIX stream socket.

One link process serves one connection: the reader hands it one end of a socket pair (or systemd
accepts one for it), the link opens one report stream and relays. A frame is one byte of kind, four
bytes of length (big-endian), and the payload:

    reader → link   MESSAGE  encoded ReportRequest
                    END      empty: half-close the stream, then leave
                    ASK      JSON: a question about this host's listeners (inquiry.py)
    link → reader   OPEN     JSON {"collector": "host:port", "deployment": name, "landlock": version,
                             "pid": number}: TLS stands; the version of Landlock that holds the link,
                             0 for none, and its process id, which the reader of systemd's needs
                    MESSAGE  encoded ReportResponse
                    ANSWER   JSON: the answer to the ASK before
                    CLOSED   JSON {"reason", "text", "retry_after_seconds"}: the link leaves

Reasons of CLOSED: "done", "not-enrolled", "other-machine", "unreachable", "tls", "expired",
"refused", "protocol", "rekeyed" (the identity is another one now: begin anew), "stopped". Payloads are at most 4 MiB; a longer one ends the connection.
"""

from __future__ import annotations

import json
import socket
from enum import IntEnum

HEADER_BYTES = 5
# gRPC's own receive limit, and the protocol's hard one (protos/README.md, section 8).
PAYLOAD_LIMIT = 4 * 1024 * 1024


class FrameKind(IntEnum):
    """The first byte of a frame."""

    MESSAGE = 1
    END = 2
    OPEN = 3
    CLOSED = 4
    ASK = 5
    ANSWER = 6


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return the frame's bytes; ValueError if the payload is over the limit."""
    if len(payload) > PAYLOAD_LIMIT:
        msg = f"frame of {len(payload)} bytes is over the limit of {PAYLOAD_LIMIT}"
        raise ValueError(msg)
    return bytes([kind]) + len(payload).to_bytes(4, "big") + payload


def closed_payload(reason: str, text: str) -> bytes:
    """Return the payload of a CLOSED frame that no collector had a part in."""
    closed = {"reason": reason, "text": text, "retry_after_seconds": 0, "refusal": ""}
    return json.dumps(closed).encode()


def decode_header(header: bytes) -> tuple[FrameKind, int]:
    """Return kind and payload length; ValueError for an unknown kind or a length over the limit."""
    kind, length = FrameKind(header[0]), int.from_bytes(header[1:HEADER_BYTES], "big")
    if length > PAYLOAD_LIMIT:
        msg = f"frame of {length} bytes is over the limit of {PAYLOAD_LIMIT}"
        raise ValueError(msg)
    return kind, length


def receive_frame(connection: socket.socket) -> tuple[FrameKind, bytes] | None:
    """Read one frame, blocking; None at the end of the stream. ValueError as `decode_header`."""
    header = _receive_exactly(connection, HEADER_BYTES)
    if header is None:
        return None
    kind, length = decode_header(header)
    payload = _receive_exactly(connection, length)
    return None if payload is None else (kind, payload)


def _receive_exactly(connection: socket.socket, count: int) -> bytes | None:
    received = bytearray()
    while len(received) < count:
        piece = connection.recv(min(count - len(received), 1 << 16))
        if not piece:
            return None
        received += piece
    return bytes(received)
