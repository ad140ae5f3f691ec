"""System-call filters: rules in, a BPF program out, and its installation.

Rules are data, by name; a name that the architecture lacks is left out. The program tells the
architecture first, then finds the number by halving, so that a call costs some six comparisons
however long the list is. Arguments are compared by their lower 32 bits: all that are tested here are
ints or flag words for the kernel. Source: seccomp(2), linux/filter.h, linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keycensus_agent.isolation import libc
from keycensus_agent.isolation.syscalls import LAST_KNOWN, Architecture, architecture

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
REFUSE = _ERRNO | errno.EPERM
MISSING = _ERRNO | errno.ENOSYS

# linux/filter.h: load a word, jump if equal, if not less, if a bit is set, always; return.
_LOAD, _JEQ, _JGE, _JSET, _JA, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_INSTRUCTION = struct.Struct("=HBBI")
_LONGEST_JUMP = 255
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
# Calls that are compared one after another at the end of the halving.
_LEAF = 3

_SECCOMP_NUMBER = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_FLAG_TSYNC, _FLAG_SPEC_ALLOW = 1, 4

Instruction = tuple[int, int, int, int]
Program = list[Instruction]


@dataclass(frozen=True, slots=True)
class When:
    """Decide by one argument (0 to 5): `then` if a test holds, else `otherwise`.

    The tests: equal to one of `values`, or any bit of `mask` set.
    """

    argument: int
    then: int
    otherwise: int
    values: tuple[int, ...] = ()
    mask: int = 0


Rule = int | When


@dataclass(frozen=True, slots=True)
class Filter:
    """`rules` by name of the call; `default` for every other one that the kernel of today has."""

    rules: Mapping[str, Rule]
    default: int


def assemble(wanted: Filter, target: Architecture) -> bytes:
    """Return the BPF program of a filter on an architecture.

    Another architecture's calls (32-bit programs) end the process: nothing of ours makes them.
    """
    program: Program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JEQ, 1, 0, target.audit),
        (_RETURN, 0, 0, KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if target.foreign_from is not None:
        program += [(_JGE, 0, 1, target.foreign_from), (_RETURN, 0, 0, KILL_PROCESS)]
    newer = MISSING if wanted.default == ALLOW else wanted.default
    program += [(_JGE, 0, 1, LAST_KNOWN + 1), (_RETURN, 0, 0, newer)]
    numbered = sorted(
        (target.numbers[name], rule)
        for name, rule in wanted.rules.items()
        if name in target.numbers
    )
    program += _halves(numbered, wanted.default)
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _halves(numbered: Sequence[tuple[int, Rule]], default: int) -> Program:
    """Return instructions that return for every number; it is in the accumulator."""
    if len(numbered) <= _LEAF:
        program: Program = []
        for number, rule in numbered:
            decision = _decision(rule)
            program += [(_JEQ, 0, len(decision), number), *decision]
        return [*program, (_RETURN, 0, 0, default)]
    middle = len(numbered) // 2
    low, high = _halves(numbered[:middle], default), _halves(numbered[middle:], default)
    pivot = numbered[middle][0]
    if len(low) <= _LONGEST_JUMP:
        return [(_JGE, len(low), 0, pivot), *low, *high]
    return [(_JGE, 0, 1, pivot), (_JA, 0, 0, len(low)), *low, *high]


def _decision(rule: Rule) -> Program:
    if isinstance(rule, int):
        return [(_RETURN, 0, 0, rule)]
    program: Program = [(_LOAD, 0, 0, _ARGUMENTS + 8 * rule.argument)]
    tests = [(_JEQ, value) for value in rule.values]
    if rule.mask:
        tests.append((_JSET, rule.mask))
    # Each test jumps over those behind it and the answer that none held.
    for index, (kind, value) in enumerate(tests):
        program.append((kind, len(tests) - index, 0, value))
    return [*program, (_RETURN, 0, 0, rule.otherwise), (_RETURN, 0, 0, rule.then)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(wanted: Filter, *, keep_mitigations: bool) -> bool:
    """Filter this process's calls, and its children's, for good; whether the kernel took it.

    `no_new_privs` must be set. `keep_mitigations` leaves on what old kernels switch on for filtered
    processes against Spectre, at some cost in speed: right for what may run a stranger's code.
    """
    target = architecture(os.uname().machine)
    if target is None:
        return False
    code = assemble(wanted, target)
    program = _Program(len(code) // _INSTRUCTION.size, code)
    # All threads, and the flag for speed where the kernel (4.17) has it.
    flags = _FLAG_TSYNC if keep_mitigations else _FLAG_TSYNC | _FLAG_SPEC_ALLOW
    for each in dict.fromkeys((flags, _FLAG_TSYNC)):
        try:
            libc.system_call(
                _SECCOMP_NUMBER[target.name], _SET_MODE_FILTER, each, ctypes.byref(program)
            )
        except OSError:
            continue
        return True
    return False
