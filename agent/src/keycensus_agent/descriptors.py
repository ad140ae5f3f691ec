"""Hand an open descriptor over an AF_UNIX socket (unix(7), SCM_RIGHTS).

Runs on both sides of the border between reader and parser: the reader opens an archive, checks what it
is, and hands it over for reading; the parser can't open anything itself.
"""

from __future__ import annotations

import os
import socket
import struct

_DESCRIPTOR = struct.Struct("=i")
_SPACE = socket.CMSG_SPACE(_DESCRIPTOR.size)


def send_with(channel: socket.socket, data: memoryview, descriptor: int | None) -> int:
    """Send as many bytes as fit, a descriptor with the first of them; return how many were sent.

    BlockingIOError if none fits; BrokenPipeError or ConnectionResetError if nobody is there any more.
    """
    if descriptor is None:
        return channel.send(data)
    rights = _DESCRIPTOR.pack(descriptor)
    return channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


class Receiver:
    """The receiving end, blocking. Made before system calls are given up."""

    def __init__(self, descriptor: int) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)

    def receive(self, size: int) -> tuple[bytes, int | None]:
        """Return the next bytes and what descriptor came with them; fewer bytes at the end only."""
        data, descriptor = b"", None
        while len(data) < size:
            # What does not belong into a process is closed at once, and the frame is none then.
            piece, ancillary, _, _ = self._channel.recvmsg(size - len(data), _SPACE)
            for level, kind, rights in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS) and rights:
                    (descriptor,) = _DESCRIPTOR.unpack_from(rights)
            if not piece:
                break
            data += piece
        return data, descriptor

    def receive_bytes(self, size: int) -> bytearray:
        """Return the next bytes; fewer at the end only. None of them may have a descriptor."""
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            count = os.readv(self._channel.fileno(), [view[filled:]])
            if not count:
                break
            filled += count
        view.release()
        del data[filled:]
        return data


class OpenFile:
    """A descriptor that is read from anywhere; whoever drops it closes it."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self._size = size

    @property
    def size(self) -> int:
        """How many bytes there are, when it was opened."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer only at the end. OSError if they can't be read."""
        pieces = []
        while size > 0 and 0 <= offset < self._size:
            piece = os.pread(self.descriptor, min(size, self._size - offset), offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the descriptor; more than once does no harm."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()
