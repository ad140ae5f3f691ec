"""The limited child: what kills it costs one blob, and nothing else."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.pki import issue

from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.parse import CAPS, CERTIFICATE, CRL, CSR, SPKI
from keycensus_collector.catalogue.parser import (
    COMMAND,
    CatalogueParser,
    ParserUnavailableError,
)

ROOT = issue("Root", is_ca=True)
LEAF = issue("leaf.example", issuer=ROOT, sans=("leaf.example",))

# How a child begins: it says that it is ready.
READY = (
    "import socket; s = socket.socket(fileno=0)\n"
    "h = b'{\"parts\": []}'; s.sendall(len(h).to_bytes(4, 'big') + h)\n"
)


@pytest.fixture
def parser() -> Iterator[CatalogueParser]:
    with CatalogueParser() as parser:
        yield parser


def test_facts_come_back_as_they_were_read(parser: CatalogueParser) -> None:
    facts = parser.parse(CERTIFICATE, LEAF.der)
    assert isinstance(facts, CertificateFacts)
    assert facts.names[0].value == "leaf.example"
    assert facts.key.key_id
    assert not facts.self_signed
    for kind in (SPKI, CSR, CRL):
        assert parser.parse(kind, b"nonsense").problem
    assert parser.lost == 0


def test_self_signed_is_judged_by_the_signature(parser: CatalogueParser) -> None:
    forged = bytearray(ROOT.der)
    forged[-1] ^= 1
    for data, expected in ((ROOT.der, True), (bytes(forged), False)):
        facts = parser.parse(CERTIFICATE, data)
        assert isinstance(facts, CertificateFacts)
        assert facts.self_signed is expected


def test_an_issuer_is_one_whose_key_signed(parser: CatalogueParser) -> None:
    impostor = issue("Root", is_ca=True)
    certificates = [LEAF.der, ROOT.der, impostor.der, b"nonsense"]
    pairs = [(0, 1), (0, 2), (0, 0), (3, 1)]
    assert parser.are_issued(certificates, pairs) == [True, False, None, None]
    assert parser.are_issued([], []) == []


def test_a_certificate_that_kills_the_child_costs_only_its_own_verdicts(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        "import os, socket\n"
        "from keycensus_collector.catalogue import child\n"
        "real = child.are_issued\n"
        "child.are_issued = lambda c, p: os.abort() if b'deadly' in c else real(c, p)\n"
        "child.limit_process = lambda: None\n"
        "child.main()\n"
    )
    with CatalogueParser((sys.executable, str(program))) as parser:
        certificates = [LEAF.der, ROOT.der, b"deadly"]
        assert parser.are_issued(certificates, [(0, 1), (2, 1)]) == [True, None]


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E])
def test_names_in_every_string_type_are_read_in_the_child(
    parser: CatalogueParser, tag: int
) -> None:
    encoding = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}.get(tag, "ascii")
    der_ = LEAF.der.replace(b"\x0c\x0cleaf.example", _padded(tag, encoding))
    facts = parser.parse(CERTIFICATE, der_)
    assert isinstance(facts, CertificateFacts)
    assert facts.common_name in {"leaf.example", "lea", "leaf.e"}
    assert parser.lost == 0


def _padded(tag: int, encoding: str) -> bytes:
    """Return a string of this type that takes as many bytes as "leaf.example" does in ASCII."""
    width = {"utf-32-be": 4, "utf-16-be": 2}.get(encoding, 1)
    return bytes((tag, 12)) + "leaf.example"[: 12 // width].encode(encoding)


def test_a_killed_child_is_replaced_and_the_blob_read_again(parser: CatalogueParser) -> None:
    parser.parse(CERTIFICATE, LEAF.der)
    child = parser._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert parser.parse(CERTIFICATE, LEAF.der).problem == ""
    assert parser.lost == 1


def test_a_blob_that_kills_the_child_twice_is_kept_with_that_reason(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        READY + "import os, signal; os.read(0, 1); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with CatalogueParser((sys.executable, str(program))) as parser:
        assert parser.parse(CERTIFICATE, LEAF.der) == CertificateFacts(problem="crash")
        assert parser.are_issued([LEAF.der, ROOT.der], [(0, 1)]) == [None]
        assert parser.lost == 4


def test_a_blob_that_hangs_the_child_ends_at_the_limit(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(READY + "import time; time.sleep(60)")
    with CatalogueParser((sys.executable, str(program)), seconds=0.2) as parser:
        assert parser.parse(CERTIFICATE, LEAF.der) == CertificateFacts(problem="limit")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise SystemExit(70)", "limit"),
        ("s.sendall(b'\\xff\\xff\\xff\\xff')", "crash"),
        ("s.sendall((9).to_bytes(4,'big') + b'{\"a\": 12}')", "crash"),
        (
            'h=b\'{"parts": [], "facts": {"type": "key"}}\'; s.sendall(len(h).to_bytes(4,\'big\')+h)',
            "crash",
        ),
        ("h=b'{\"parts\": []}'; s.sendall(len(h).to_bytes(4,'big')+h)", "crash"),
    ],
)
def test_what_a_taken_over_child_says_is_checked(tmp_path: Path, body: str, problem: str) -> None:
    program = tmp_path / "child.py"
    program.write_text(f"{READY}while True:\n    s.recv(1 << 20); {body}\n")
    with CatalogueParser((sys.executable, str(program))) as parser:
        assert parser.parse(SPKI, b"x").problem == problem


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (None, "No such file"),
        ("raise SystemExit(1)", "it ended"),
        ("import time; time.sleep(60)", "timed out"),
        ("import os; os.write(0, b'\\xff' * 4); os.read(0, 1)", "over the limit"),
    ],
)
def test_a_child_that_does_not_start_is_no_blobs_fault(
    tmp_path: Path, program: str | None, why: str
) -> None:
    command = ["/nonexistent"]
    if program is not None:
        (tmp_path / "child.py").write_text(program)
        command = [sys.executable, str(tmp_path / "child.py")]
    seconds = 0.2 if why == "timed out" else 20
    with CatalogueParser(command, start_seconds=seconds) as parser:
        with pytest.raises(ParserUnavailableError, match=why):
            parser.parse(CERTIFICATE, LEAF.der)
        with pytest.raises(ParserUnavailableError, match=why):
            parser.are_issued([LEAF.der, ROOT.der], [(0, 1)])
        assert parser.lost == 0


def test_a_child_that_can_not_be_replaced_judges_no_blob(tmp_path: Path) -> None:
    program = tmp_path / "child.py"
    program.write_text(READY + f"import os; os.read(0, 1); os.unlink({str(program)!r})")
    with (
        CatalogueParser((sys.executable, str(program))) as parser,
        pytest.raises(ParserUnavailableError),
    ):
        parser.parse(CERTIFICATE, LEAF.der)


@pytest.mark.parametrize("ready", [READY, ""])
def test_closing_waits_for_no_blob(tmp_path: Path, ready: str) -> None:
    program = tmp_path / "child.py"
    program.write_text(
        f"{ready}import pathlib, time; pathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    parser = CatalogueParser((sys.executable, str(program)))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(parser.parse, CERTIFICATE, LEAF.der)
        until = time.monotonic() + 20
        while not (tmp_path / "began").exists() and time.monotonic() < until:
            time.sleep(0.01)
        started = time.monotonic()
        parser.close()
        assert time.monotonic() - started < 0.5
        with pytest.raises(ParserUnavailableError, match="closed"):
            asked.result(5)
    assert parser._child is None
    assert parser.lost == 0
    with pytest.raises(ParserUnavailableError, match="closed"):
        parser.parse(CERTIFICATE, LEAF.der)


def test_a_blob_over_its_cap_is_not_given_to_the_child() -> None:
    with CatalogueParser(("/nonexistent",)) as parser:
        facts = parser.parse(CERTIFICATE, bytes(CAPS[CERTIFICATE] + 1))
        assert "too big" in facts.problem


def test_the_child_has_no_core_no_files_and_bounded_memory(parser: CatalogueParser) -> None:
    parser.parse(CERTIFICATE, LEAF.der)
    assert parser._child is not None
    limits = Path(f"/proc/{parser._child.pid}/limits").read_text()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert soft["Max core file size"] == "0"
    assert soft["Max file size"] == "0"
    assert soft["Max open files"] == "3"
    assert soft["Max address space"] == str(512 * 1024 * 1024)
    assert int(soft["Max cpu time"]) < 60
    assert len(list(Path(f"/proc/{parser._child.pid}/fd").iterdir())) == 3


def test_the_child_ends_when_its_parent_goes() -> None:
    parser = CatalogueParser(COMMAND)
    parser.parse(CERTIFICATE, LEAF.der)
    child = parser._child
    assert child is not None
    assert parser._socket is not None
    parser._socket.close()
    assert child.wait(timeout=10) == 0
