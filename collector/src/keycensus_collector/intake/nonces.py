"""Which state of an agent speaks: the present one, an older one, or two that take turns.

Pure: no database, no clock, no randomness. The rules of protos/README.md, section 7, over one line of
nonces, and the same rules over the boots of the host. Everything that is presented is a claim of an
agent that is authenticated; what comes out is a verdict, and who acts on it is `session`.

    presented                          verdict    the line afterwards
    the pending nonce                  FINE       it is current; a new one is pending
    the current nonce                  FINE       unchanged: the answer may have been lost
    a past nonce                       RESTORED   what was current and pending is set aside
    one set aside by a RESTORED        CLONED     unchanged: the newer state has come back
    one set aside otherwise            RESTORED   as a past nonce
    none, by an instance never seen    FRESH      what was current is set aside, softly
    one that was never given           RESTORED   likewise: this database may be an older copy

"Softly" means that its return is one more RESTORED and not yet CLONED: a state that was lost, or a
database that was, says nothing of a second machine. An instance that presents no nonce presents
itself, so that a lost answer to its first hello is harmless too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

# A kilobyte an agent. An agent that comes back from before is RESTORED softly: one round more until
# a clone is known, and no healthy one is ever suspected.
_REMEMBERED = 64
# Records as stored: a nonce, and for those set aside one byte before it.
NONCE_BYTES = 16


class Verdict(Enum):
    """What a presented nonce, or a boot, says of the agent's state."""

    FINE = "fine"
    FRESH = "fresh"
    RESTORED = "restored"
    CLONED = "cloned"


@dataclass(frozen=True, slots=True)
class Line:
    """The nonces of one agent. `aside` maps a nonce to whether it was set aside firmly."""

    current: bytes
    pending: bytes
    past: tuple[bytes, ...] = ()
    aside: tuple[tuple[bytes, bool], ...] = ()

    def encoded_aside(self) -> bytes:
        """Return what was set aside as bytes for the database."""
        return b"".join(bytes([firm]) + nonce for nonce, firm in self.aside)


def decode_line(current: bytes, pending: bytes, past: bytes, aside: bytes) -> Line:
    """Return a line from its columns."""
    step = NONCE_BYTES + 1
    return Line(
        current,
        pending,
        tuple(past[at : at + NONCE_BYTES] for at in range(0, len(past), NONCE_BYTES)),
        tuple((aside[at + 1 : at + step], bool(aside[at])) for at in range(0, len(aside), step)),
    )


def present(line: Line | None, nonce: bytes, instance: bytes, fresh: bytes) -> tuple[Line, Verdict]:
    """Return the line after a hello, and what that hello says of the state behind it.

    `line` is None at an agent's first hello; `fresh` is a new random nonce, used if one is needed.
    """
    shown = nonce or instance
    if line is None:
        return Line(shown, fresh), Verdict.FINE if not nonce else Verdict.RESTORED
    if shown == line.pending:
        return replace(
            line, current=shown, pending=fresh, past=_last((*line.past, line.current))
        ), Verdict.FINE
    if shown == line.current:
        return line, Verdict.FINE
    firm = dict(line.aside).get(shown)
    if firm:
        return line, Verdict.CLONED
    known = firm is not None or shown in line.past
    verdict = Verdict.RESTORED if nonce or known else Verdict.FRESH
    return _forked(line, shown, fresh, firmly=known), verdict


def _forked(line: Line, shown: bytes, fresh: bytes, *, firmly: bool) -> Line:
    """Begin a branch at `shown`; what was in use until now is set aside."""
    kept = [(nonce, firm) for nonce, firm in line.aside if nonce != shown]
    kept += [(line.current, firmly), (line.pending, firmly)]
    past = tuple(nonce for nonce in line.past if nonce != shown)
    return Line(shown, fresh, past, tuple(kept[-_REMEMBERED:]))


def _last(nonces: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return nonces[-_REMEMBERED:]


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of a host, as an agent's hellos named it; `firm`: an earlier one came back after it."""

    boot_id: bytes
    firm: bool = False


def boot(known: tuple[Boot, ...], boot_id: bytes) -> tuple[tuple[Boot, ...], Verdict]:
    """Return the boots after a hello, the newest last, and what the hello says.

    A boot ends when the next begins, so its number never comes back: unless the memory of a virtual
    machine was restored with it (RESTORED), or two machines take turns (CLONED). An agent that can't
    read its boot (empty, or zeros) is not judged.
    """
    if not boot_id.strip(b"\0") or (known and known[-1].boot_id == boot_id):
        return known, Verdict.FINE
    found = next((at for at, each in enumerate(known) if each.boot_id == boot_id), None)
    if found is None:
        return (*known, Boot(boot_id))[-_REMEMBERED:], Verdict.FINE
    if known[found].firm:
        return known, Verdict.CLONED
    later = tuple(replace(each, firm=True) for each in known[found + 1 :])
    return (*known[:found], *later, known[found]), Verdict.RESTORED


def encode_boots(boots: tuple[Boot, ...]) -> bytes:
    """Return boots as bytes for the database."""
    return b"".join(bytes([each.firm]) + each.boot_id.ljust(NONCE_BYTES, b"\0") for each in boots)


def decode_boots(data: bytes) -> tuple[Boot, ...]:
    """Return boots from their column."""
    step = NONCE_BYTES + 1
    return tuple(Boot(data[at + 1 : at + step], bool(data[at])) for at in range(0, len(data), step))
