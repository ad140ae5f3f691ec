"""Files, names and file systems made to stop a scan: it ends, it says what it met, it finds the rest.

Each tree has an honest certificate beside what is hostile. Real commands, real files (FAULTS 26 to 32).
"""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fakes.certificates import Leaf
from faults.kit.fuse import SilentFileSystem
from faults.kit.hostile_files import BOMBS, bundle

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.model import Status
from keycensus_agent.reader import kept_parser, service
from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.state import State

CLI = (sys.executable, "-m", "keycensus_agent.cli")
# Not a measure of anything: what would hang fails here.
SECONDS = 200
HONEST = Leaf("honest.example")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and devices are root's")


def scan(*arguments: str | bytes | Path, prefix: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Scan, and return the places by path, the coverage as "coverage"."""
    done = run(*arguments, "-o", "ndjson", prefix=prefix)
    records = [json.loads(line) for line in done.splitlines()]
    assert "coverage" in records[-1]
    return {record["path"]: record for record in records[:-1]} | {
        "coverage": records[-1]["coverage"]
    }


def run(*arguments: str | bytes | Path, prefix: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*prefix, *CLI, "scan", *arguments], capture_output=True, check=False, timeout=SECONDS
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("ascii")


def honest(found: dict[str, dict[str, Any]]) -> bool:
    hashes = {entry.get("sha256") for place in found.values() for entry in place.get("entries", ())}
    return HONEST.sha256.hex() in hashes


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a directory with an honest certificate that the walk meets last."""
    root = tmp_path / "tree"
    (root / "zz").mkdir(parents=True)
    (root / "zz" / "honest.pem").write_bytes(HONEST.pem)
    return root


# --- 26: what is no file --------------------------------------------------------------------------


def test_fifos_and_sockets_that_are_named_like_keys_block_nothing(tree: Path) -> None:
    os.mkfifo(tree / "fifo.pem")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket.key"))
        (tree / "link.pem").symlink_to("fifo.pem")
        found = scan(tree)
        assert honest(found)
        assert len(found) == 2


@needs_root
def test_devices_that_are_named_like_keys_are_never_opened(tree: Path) -> None:
    for name, kind, number in (
        ("null.pem", 0o020644, (1, 3)),
        ("zero.key", 0o020644, (1, 5)),
        ("console.p12", 0o020600, (5, 1)),
        ("loop.jks", 0o060600, (7, 0)),
    ):
        os.mknod(tree / name, kind, os.makedev(*number))
    found = scan(tree, *(tree / name for name in ("null.pem", "zero.key", "console.p12")))
    assert honest(found)
    assert len(found) == 2


# --- 27: trees without end ------------------------------------------------------------------------


def test_links_that_lead_in_circles_end(tree: Path) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    (tree / "self.pem").symlink_to("self.pem")
    (tree / "up").symlink_to("..")
    (tree / "zz" / "root").symlink_to(tree)
    found = scan(tree)
    assert honest(found)
    assert len(found) == 2


@needs_root
def test_a_tree_that_is_mounted_into_itself_is_walked_once(tree: Path) -> None:
    (tree / "zz" / "again").mkdir()
    script = 'mount --make-rprivate / && mount --rbind "$0" "$0/zz/again" && exec "$@"'
    found = scan(tree, prefix=("unshare", "--mount", "sh", "-c", script, str(tree)))
    assert honest(found)
    # The place is there under both names, and not under a third.
    assert {path.removeprefix(str(tree)) for path in found} <= {
        "coverage",
        "/zz/honest.pem",
        "/zz/again/zz/honest.pem",
    }


@pytest.fixture
def deep(tree: Path) -> Iterator[Path]:
    """Give a tree of 5,000 levels with a certificate at its end, at a path no system call takes."""
    here = os.open(tree, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("dddd", dir_fd=here)
        below = os.open("dddd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    bottom = os.open("deep.pem", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(bottom, HONEST.pem)
    for each in (bottom, here):
        os.close(each)
    yield tree
    subprocess.run(["rm", "-rf", tree / "dddd"], check=True)


def test_what_lies_five_thousand_levels_down_is_found_under_its_whole_path(deep: Path) -> None:
    found = scan(deep)
    assert set(found) == {
        f"{deep}/{'dddd/' * 5000}deep.pem",
        f"{deep}/zz/honest.pem",
        "coverage",
    }
    assert found["coverage"]["gaps"] == []


# --- 28: bytes without end, and bytes that go away -------------------------------------------------


def test_a_sparse_terabyte_is_named_or_read_to_its_cap(tree: Path) -> None:
    for name, start in {
        "a.pem": HONEST.pem,
        "b.jks": b"\xfe\xed\xfe\xed\0\0\0\2",
        "c.der": HONEST.der,
        "d.gz": b"\x1f\x8b\x08\0",
        "e.tar": b"",
    }.items():
        (tree / name).write_bytes(start)
        os.truncate(tree / name, 1 << 40)
    found = scan(tree)
    assert honest(found)
    assert found[f"{tree}/a.pem"]["status"] == "partial"
    assert found[f"{tree}/b.jks"]["reason"] == "limit-size"


def test_files_that_grow_shrink_and_vanish_while_they_are_read_cost_themselves_only(
    tree: Path,
) -> None:
    stop = threading.Event()
    block = HONEST.pem * 200

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with (tree / "grows.pem").open("ab") as file:
                file.write(block)
                if file.tell() > 1 << 24:
                    file.truncate(0)
            (tree / "shrinks.pem").write_bytes(block)
            os.truncate(tree / "shrinks.pem", number * 977 % len(block))
            (tree / f"vanishes{number % 9}.pem").write_bytes(HONEST.pem)
            (tree / f"vanishes{(number + 4) % 9}.pem").unlink(missing_ok=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(2):
            found = scan(tree)
            assert found[f"{tree}/zz/honest.pem"]["status"] == "read"
    finally:
        stop.set()
        thread.join()


# --- 29, 30 (T11): names and subjects --------------------------------------------------------------

NAMES = (b"new\nline.pem", b"esc\x1b[31m.pem", b"not\xff\xfeutf8.pem", "bidi\u202e.pem".encode())
SUBJECT = "\x1b]0;owned\x07 \u202egnp.exe <img src=x onerror=alert(1)>"
FORMULA = "=cmd|' /C calc'!A0"


def hostile_certificate() -> bytes:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, FORMULA),
            x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT),
        ]
    )
    honest = HONEST.certificate
    key = Leaf("x")._key
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(honest.not_valid_before_utc)
    builder = builder.not_valid_after(honest.not_valid_after_utc)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv"])
def test_names_and_subjects_of_strangers_are_inert_in_every_output(tree: Path, form: str) -> None:
    directory = os.fsencode(tree) + b"/" + b"n" * 255
    Path(os.fsdecode(directory)).mkdir()
    for name in NAMES:
        Path(os.fsdecode(directory + b"/" + name)).write_bytes(hostile_certificate())
    text = run(tree, "-o", form)
    assert not [character for character in text if character < " " and character not in "\n\r\t"]
    assert text.isascii()
    if form == "ndjson":
        assert len(text.splitlines()) == len(NAMES) + 2
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == len(NAMES) + 1
        assert not [
            cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell
        ]


def test_a_name_that_is_no_text_can_be_had_back_from_the_output(tree: Path) -> None:
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_bytes(HONEST.pem)
    found = scan(tree)
    paths = {base64.b64decode(place["path_b64"]) for place in found.values() if "path_b64" in place}
    assert paths == {os.fsencode(tree) + b"/" + name for name in NAMES}


# --- 30: parser bombs -----------------------------------------------------------------------------


def test_parser_bombs_cost_themselves_only_and_say_what_they_are(tree: Path) -> None:
    for name, make in BOMBS.items():
        (tree / name).write_bytes(make())
    passwords = tree.parent / "passwords"
    passwords.write_text("*:one\n*:two\n")
    passwords.chmod(0o600)
    found = scan(tree, "--password-file", passwords)
    assert honest(found)
    told = {path.rpartition("/")[2]: place for path, place in found.items()}
    for name in ("pbkdf2.p8", "pbkdf2.pem", "scrypt.p8"):
        (entry,) = told[name]["entries"]
        assert entry["kind"] == "sealed-key"
        assert entry["reason"].startswith("limit-")
    assert told["rounds.key"]["entries"][0]["kind"] == "private-key"
    assert told["modulus.cer"]["entries"][0]["kind"] == "certificate"
    # None of them took the parser with it.
    assert not [place for place in told.values() if place.get("reason") in ("crash", "limit-cpu")]


def test_a_million_certificates_in_one_file_are_read_to_the_cap(tree: Path) -> None:
    one = bundle()
    with (tree / "million.pem").open("wb") as file:
        file.write(one * 20_000)
        file.truncate(len(one) * 1_000_000)
    with (tree / "million.der").open("wb") as file:
        file.write(HONEST.der * 1000)
        file.truncate(len(HONEST.der) * 1_000_000)
    found = scan(tree)
    assert honest(found)
    place = found[f"{tree}/million.pem"]
    assert (place["status"], place["reason"]) == ("partial", "text-too-long")
    assert len(place["entries"]) > 1000
    assert found[f"{tree}/million.der"]["status"] == "too-big"


# --- 31: what kills the parser --------------------------------------------------------------------

KILLER = """
    import os, signal, sys, ctypes
    from keycensus_agent.parser import __main__ as parser
    real = parser._parse
    def parse(request):
        word = request.data.partition(b"\\n")[0]
        if word.startswith(b"KILL"):
            with open({log!r}, "ab") as log:
                log.write(word + b"\\n")
            if word.endswith(b"segfault"): ctypes.string_at(0)
            if word.endswith(b"abort"): os.abort()
            if word.endswith(b"memory"): bytes(1 << 40)
            if word.endswith(b"cpu"): signal.raise_signal(signal.SIGXCPU)
        return real(request)
    parser._parse = parse
    parser.sandbox.enter = lambda: 0
    sys.exit(parser.main())
"""


def places_of(state: State) -> dict[str, tuple[Status, str]]:
    rows = state.connection.execute("SELECT path, row FROM place").fetchall()
    places = {path.decode(): place_of(row) for path, row in rows}
    return {path: (place.status, place.reason) for path, place in places.items()}


def test_what_kills_the_parser_twice_is_told_and_not_tried_again_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over runs of the agent, each with a service and a parser of its own."""
    log = tmp_path / "attempts"
    command = (sys.executable, "-c", textwrap.dedent(KILLER.format(log=str(log))))
    monkeypatch.setattr(
        kept_parser, "ParserClient", functools.partial(ParserClient, command=command)
    )
    root = tmp_path / "root"
    root.mkdir()
    words = ("segfault", "abort", "memory", "cpu")
    for word in words:
        (root / f"{word}.pem").write_bytes(f"KILL {word}\n".encode() + HONEST.pem)
    (root / "honest.pem").write_bytes(HONEST.pem)
    config = Config(
        scan=ScanSettings(root=os.fsencode(root)),
        state=StateSettings(directory=tmp_path / "agent"),
    )

    def sweep() -> dict[str, tuple[Status, str]]:
        state = State.open(config.state_database)
        try:
            assert service.ReaderService(config, state).sweep().complete
            return places_of(state)
        finally:
            state.close()

    expected = {
        "/honest.pem": (Status.READ, ""),
        "/segfault.pem": (Status.MALFORMED, "crash"),
        "/abort.pem": (Status.MALFORMED, "crash"),
        "/memory.pem": (Status.MALFORMED, "limit-memory"),
        "/cpu.pem": (Status.MALFORMED, "limit-cpu"),
    }
    assert sweep() == expected
    tried = sorted(log.read_text().split("\n"))
    assert all(tried.count(f"KILL {word}") >= 2 for word in words)
    assert sweep() == expected
    assert sorted(log.read_text().split("\n")) == tried
    (root / "neighbour.pem").write_bytes(HONEST.pem)
    assert sweep() == {**expected, "/neighbour.pem": (Status.READ, "")}
    assert sorted(log.read_text().split("\n")) == tried
    (root / "abort.pem").write_bytes(HONEST.pem + HONEST.pem)
    assert sweep()["/abort.pem"] == (Status.READ, "")


# --- 32: a file system that does not answer -------------------------------------------------------


@needs_root
def test_a_file_system_of_a_server_that_does_not_answer_is_a_gap_and_hangs_nothing(
    tree: Path,
) -> None:
    (tree / "remote").mkdir()
    (tree / "link.pem").symlink_to("remote/x.pem")
    with SilentFileSystem(tree / "remote", "fuse.sshfs"):
        found = scan(tree)
    assert honest(found)
    (gap,) = found["coverage"]["gaps"]
    assert (gap["path"], gap["reason"]) == (f"{tree}/remote", "network-file-system")
