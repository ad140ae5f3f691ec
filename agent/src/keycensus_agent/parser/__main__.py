"""The parser process, `python -m keycensus_agent.parser`: requests in on stdin, answers out on stdout.

The reader starts it, and ends it by closing its stdin, a socket. It imports everything that it may ever
need, then gives up its rights, and only then says that it is ready. It opens nothing: of an archive the
descriptor comes with the request, open for reading, and is closed before the answer.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

# cryptography imports it by itself at the first signature that it checks, when no file opens any more.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - for its effect, as said

from keycensus_agent.collection import collect_seldom
from keycensus_agent.descriptors import OpenFile, Receiver
from keycensus_agent.model import Parsed
from keycensus_agent.parser import pipe, sandbox
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import Hint


def main() -> int:
    """Serve requests until the channel is closed; return the exit status."""
    requests, answers = Receiver(sys.stdin.fileno()), sys.stdout.buffer
    cpu, landlock = sandbox.CpuAllowance(), sandbox.enter()
    collect_seldom()
    try:
        _write(answers, pipe.encode_ready(landlock))
        while received := next_request(requests):
            request, archive = received
            if archive is None:
                cpu.allow()
                parsed = _parse(request)
            else:
                cpu.allow(sandbox.ARCHIVE_CPU_SECONDS)
                parsed = _parse_archive(request, archive)
                archive.close()
            _write(answers, pipe.encode_answer(request.number, parsed))
    except MemoryError:
        # Nothing in here can be relied on now; the reader judges by the status.
        os._exit(pipe.OUT_OF_MEMORY)
    except BrokenPipeError:
        os._exit(0)
    return 0


def _parse(request: pipe.ParseRequest) -> Parsed:
    return parse(request.data, Hint(request.name), request.passwords, details=request.details)


def _parse_archive(request: pipe.ParseRequest, archive: OpenFile) -> Parsed:
    hint = Hint(request.name)
    return parse_archive(archive, hint, request.passwords, details=request.details)


def next_request(requests: Receiver) -> tuple[pipe.ParseRequest, OpenFile | None] | None:
    """Wait for a request, and the archive that came with it; None at the end."""
    prefix, descriptor = requests.receive(pipe.PREFIX_BYTES)
    if len(prefix) < pipe.PREFIX_BYTES:
        return None
    header_size, attachment_size = pipe.frame_sizes(prefix)
    header = bytes(requests.receive_bytes(header_size))
    request = pipe.decode_request(header, bytes(requests.receive_bytes(attachment_size)))
    if (request.archive_size is None) != (descriptor is None):
        raise pipe.FrameError("an archive without its descriptor")
    if request.archive_size is None or descriptor is None:
        return request, None
    return request, OpenFile(descriptor, request.archive_size)


def _write(answers: BinaryIO, frame: bytes) -> None:
    answers.write(frame)
    answers.flush()


if __name__ == "__main__":
    # Not by way of the interpreter's end: every answer is sent, and the reader waits for this one.
    os._exit(main())
