from __future__ import annotations

import json

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import pipe
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint

ANSWER = {
    "number": 1,
    "format": "pem",
    "status": "read",
    "reason": "",
    "manifest": "",
    "entries": [],
    "blobs": [],
    "details": [],
    "sizes": [],
}


def split(frame: bytes) -> tuple[bytes, bytes]:
    header, attachments = pipe.frame_sizes(frame[: pipe.PREFIX_BYTES])
    body = frame[pipe.PREFIX_BYTES :]
    assert len(body) == header + attachments
    return body[:header], body[header:]


def test_a_request_comes_out_as_it_went_in() -> None:
    request = pipe.ParseRequest(b"/\xff\n", b"\0data", ("p\udc80", "ü"), details=True, number=9)
    assert pipe.decode_request(*split(b"".join(pipe.encode_request(request)))) == request


@pytest.mark.parametrize("name", ["chain.p7b", "keystore.jks", "request.csr", "locked.p12"])
def test_an_answer_comes_out_as_it_went_in(name: str) -> None:
    parsed = parse((FILES / name).read_bytes(), Hint(name.encode()), details=True)
    assert pipe.decode_answer(*split(pipe.encode_answer(7, parsed))) == (7, parsed)


def test_the_first_frame_is_no_answer() -> None:
    assert pipe.decode_answer(*split(pipe.encode_ready())) is None


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps({**ANSWER, "status": "fine"}).encode(),
        json.dumps({**ANSWER, "format": 1}).encode(),
        json.dumps({**ANSWER, "entries": [["certificate"]]}).encode(),
        json.dumps({**ANSWER, "blobs": [[1, "00"]], "sizes": []}).encode(),
        json.dumps({**ANSWER, "blobs": [[1, "00"]], "sizes": [-1]}).encode(),
        json.dumps({**ANSWER, "blobs": [[1, "00"]], "sizes": [True]}).encode(),
        json.dumps({**ANSWER, "blobs": [[9, "00"]], "sizes": [1]}).encode(),
        json.dumps({**ANSWER, "details": [[]]}).encode(),
    ],
)
def test_an_answer_that_is_none_is_refused(wrong: bytes) -> None:
    with pytest.raises(pipe.FrameError):
        pipe.decode_answer(wrong, b"x")


def test_attachments_that_nobody_names_are_refused() -> None:
    with pytest.raises(pipe.FrameError):
        pipe.decode_answer(json.dumps(ANSWER).encode(), b"x")


@pytest.mark.parametrize(
    "wrong", [b"{}", b"[]", b"x", b'{"name":1}', b'{"name":"zz"}', b'{"name":""}']
)
def test_a_request_that_is_none_is_refused(wrong: bytes) -> None:
    with pytest.raises(pipe.FrameError):
        pipe.decode_request(wrong, b"")


@pytest.mark.parametrize("prefix", [b"\xff" * 4 + bytes(4), bytes(4) + b"\xff" * 4])
def test_a_frame_over_the_limit_is_refused_before_it_is_read(prefix: bytes) -> None:
    with pytest.raises(pipe.FrameError):
        pipe.frame_sizes(prefix)
