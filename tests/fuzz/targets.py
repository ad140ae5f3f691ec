"""What is fuzzed: one target for each row of the tables of formats and archives, and the contract.

The contract of the parser, whatever the bytes are: nothing is raised, the answer can be sent and read
again, what must be small is small, and each entry has what it names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fixtures.build_archives import ARCHIVES as ARCHIVE_FILES
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import ARTIFACT_CAPS, BlobKind, Parsed, Status
from keycensus_agent.parser import pipe
from keycensus_agent.parser.archive.streams import BytesSource
from keycensus_agent.parser.archive.table import ARCHIVES, Archive
from keycensus_agent.parser.dispatch import parse, parse_archive
from keycensus_agent.parser.findings import MEMBER_LIMIT, Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats.table import FORMATS, TEXT_FORMATS, Format, TextFormat
from keycensus_agent.parser.triage import HEAD_BYTES, holds_marker, search_of, triage

CORPUS = Path(__file__).resolve().parent / "corpus"
# A seed is small, or each of its mutations costs much.
SEED_BYTES = 32 * 1024
_SEEDS = 6
_PASSWORDS = (PASSWORD,)


class ContractError(AssertionError):
    """The parser broke its contract; the text says which part."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz: `run` is given any bytes and raises if the contract is broken."""

    name: str
    run: Callable[[bytes], None]
    is_seed: Callable[[Path, bytes], bool]

    @property
    def corpus(self) -> Path:
        """Where its seeds are."""
        return CORPUS / self.name


def _must(condition: object, part: str) -> None:
    if not condition:
        raise ContractError(part)


def check(parsed: Parsed) -> None:
    """Raise ContractError if a result is not what the reader and the protocol may be given."""
    _must(not parsed.reason.startswith("error-"), f"a format failed: {parsed.reason}")
    _must(parsed.status is Status.READ or parsed.reason, "a status without a reason")
    _must(bool(parsed.entries) == bool(parsed.manifest), "entries without a manifest")
    for entry in parsed.entries:
        _must(len(entry.member) <= MEMBER_LIMIT, "a member's name over its limit")
        _must(len(entry.artifact) in (0, 32), "an identity that is no hash")
    for blob in parsed.blobs:
        _must(blob.hash == hashlib.sha256(blob.data).digest(), "a blob under another's name")
        cap = ARTIFACT_CAPS.get(blob.kind, 512 * 1024)
        _must(len(blob.data) <= cap, "a blob over its limit")
    named = {entry.artifact for entry in parsed.entries}
    public = {blob.hash for blob in parsed.blobs if blob.kind is not BlobKind.MANIFEST}
    _must(public <= named, "a blob that no entry names")
    _must(_sent_and_read(parsed) == (1, parsed), "an answer that changes on its way")


def _sent_and_read(parsed: Parsed) -> tuple[int, Parsed] | None:
    frame = pipe.encode_answer(1, parsed)
    header, _ = pipe.frame_sizes(frame[: pipe.PREFIX_BYTES])
    middle = pipe.PREFIX_BYTES + header
    return pipe.decode_answer(frame[pipe.PREFIX_BYTES : middle], frame[middle:])


def _run_format(row: Format) -> Callable[[bytes], None]:
    hint = Hint(b"/srv/file." + (row.suffixes[0] if row.suffixes else "bin").encode())

    def run(data: bytes) -> None:
        triage(data[:HEAD_BYTES], len(data))
        confidence = row.recognise(data, hint)
        if confidence is not Confidence.NO:
            # By itself, too: another format may be asked first, and may be content.
            result = row.parse(data, Request(hint, _PASSWORDS))
            _must(isinstance(result, FormatResult), "no result")
        check(parse(data, hint, _PASSWORDS, details=True))

    return run


def _run_text(row: TextFormat) -> Callable[[bytes], None]:
    hint = Hint(b"/srv/file." + (row.suffixes[0] if row.suffixes else "txt").encode())

    def run(data: bytes) -> None:
        triage(data[:HEAD_BYTES], len(data))
        holds_marker(data, search_of(hint.name))
        check(parse(data, hint, _PASSWORDS, details=True))

    return run


def _run_archive(row: Archive) -> Callable[[bytes], None]:
    hint = Hint(b"/srv/archive." + row.suffixes[0].encode())

    def run(data: bytes) -> None:
        triage(data[:HEAD_BYTES], len(data))
        check(parse_archive(BytesSource(data), hint, _PASSWORDS, details=True))

    return run


def _is_file_of(name: str) -> Callable[[Path, bytes], bool]:
    def is_seed(path: Path, data: bytes) -> bool:
        hint = Hint(path.name.encode())
        if path.parent != FILES:
            return False
        return name in parse(data, hint, _PASSWORDS).format.split("+")

    return is_seed


def _format_target(row: Format) -> Target:
    return Target(row.name, _run_format(row), _is_file_of(row.name))


def _text_target(row: TextFormat) -> Target:
    return Target(row.name, _run_text(row), _is_file_of(row.name))


def _archive_target(row: Archive) -> Target:
    def is_seed(path: Path, data: bytes) -> bool:
        first = next(each for each in ARCHIVES if each.recognise(data[:HEAD_BYTES]))
        return path.parent == ARCHIVE_FILES and first.name == row.name

    return Target(row.name, _run_archive(row), is_seed)


# What is only recognised has nothing to fuzz; zstd stands here whatever Python runs.
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *map(_format_target, FORMATS),
        *map(_text_target, TEXT_FORMATS),
        *(_archive_target(row) for row in ARCHIVES if row.read is not None or row.missing),
    )
}


def _run_every(data: bytes) -> None:
    """Choose the target by the first byte: one process for all of them, for short runs."""
    names = sorted(TARGETS)
    if data:
        TARGETS[names[data[0] % len(names)]].run(data[1:])


EVERY = Target("every", _run_every, lambda *_: False)


def build_seeds() -> None:
    """Copy the smallest fixtures of each target to its corpus. What a crash left there stays."""
    files = [path for folder in (FILES, ARCHIVE_FILES) for path in sorted(folder.iterdir())]
    about = {"CATALOGUE.md", "golden.json"}
    contents = {path: path.read_bytes() for path in files if path.name not in about}
    for target in TARGETS.values():
        seeds = [path for path, data in contents.items() if target.is_seed(path, data)]
        small = [path for path in seeds if len(contents[path]) <= SEED_BYTES]
        target.corpus.mkdir(parents=True, exist_ok=True)
        for path in sorted(small, key=lambda path: len(contents[path]))[:_SEEDS]:
            (target.corpus / path.name).write_bytes(contents[path])
