"""The parser process, `python -m keycensus_agent.parser`: requests in on stdin, answers out on stdout.

The reader starts it, and ends it by closing the pipe. It imports everything that it may ever need,
then gives up its rights, and only then says that it is ready.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

# cryptography imports it by itself at the first signature that it checks, when no file opens any more.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - for its effect, as said

from keycensus_agent.model import Parsed
from keycensus_agent.parser import pipe, sandbox
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint


def main() -> int:
    """Serve requests until the pipe is closed; return the exit status."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    landlock = sandbox.enter()
    try:
        _write(answers, pipe.encode_ready(landlock))
        while request := _next_request(requests):
            sandbox.allow_cpu()
            parsed = _parse(request)
            _write(answers, pipe.encode_answer(request.number, parsed))
    except MemoryError:
        # Nothing in here can be relied on now; the reader judges by the status.
        os._exit(pipe.OUT_OF_MEMORY)
    except BrokenPipeError:
        os._exit(0)
    return 0


def _parse(request: pipe.ParseRequest) -> Parsed:
    return parse(request.data, Hint(request.name), request.passwords, details=request.details)


def _next_request(requests: BinaryIO) -> pipe.ParseRequest | None:
    prefix = requests.read(pipe.PREFIX_BYTES)
    if len(prefix) < pipe.PREFIX_BYTES:
        return None
    header_size, attachment_size = pipe.frame_sizes(prefix)
    header = requests.read(header_size)
    return pipe.decode_request(header, requests.read(attachment_size))


def _write(answers: BinaryIO, frame: bytes) -> None:
    answers.write(frame)
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
