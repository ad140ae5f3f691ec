"""Filters as the kernel would run them: every number of both architectures, and foreign ones."""

from __future__ import annotations

import os
import struct
from types import SimpleNamespace

import pytest

from keycensus_agent.isolation import profiles, seccomp
from keycensus_agent.isolation.seccomp import ALLOW, KILL_PROCESS, MISSING, REFUSE, Filter, When
from keycensus_agent.isolation.syscalls import LAST_KNOWN, Architecture, architecture

MACHINES = ["x86_64", "aarch64"]
FILTERS = {
    "launcher": profiles._LAUNCHER,
    "reader": profiles._READER,
    "link": profiles._LINK,
    "parser": profiles._parser_filter(4711),
}
EVERY = [(name, machine) for name in FILTERS for machine in MACHINES]


def target_of(machine: str) -> Architecture:
    found = architecture(machine)
    assert found is not None
    return found


def decide(program: bytes, number: int, audit: int, *arguments: int) -> int:
    """Run a BPF program as the kernel does (linux/filter.h), and return what it returns."""
    data = struct.pack("=IIQ6Q", number, audit, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    accumulator, counter = 0, 0
    while True:
        code, yes, no, operand = struct.unpack_from("=HBBI", program, counter * 8)
        counter += 1
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x05:
            counter += operand
        else:
            test = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[code]
            counter += yes if test else no


def expected(wanted: Filter, target: Architecture, number: int, *arguments: int) -> int:
    """Say what the rules mean, without halving."""
    names = [name for name, own in target.numbers.items() if own == number]
    rule = wanted.rules.get(names[0], wanted.default) if names else wanted.default
    if isinstance(rule, int):
        return rule
    value = (*arguments, 0, 0, 0, 0, 0, 0)[rule.argument] & 0xFFFFFFFF
    return rule.then if value in rule.values or value & rule.mask else rule.otherwise


@pytest.mark.parametrize(("name", "machine"), EVERY)
def test_every_number_is_decided_as_its_rule_says(name: str, machine: str) -> None:
    wanted, target = FILTERS[name], target_of(machine)
    program = seccomp.assemble(wanted, target)
    values = {0}
    for rule in wanted.rules.values():
        if isinstance(rule, When):
            values |= {rule.mask, *rule.values}
    for number in range(LAST_KNOWN + 1):
        for value in values:
            arguments = (value,) * 6
            assert decide(program, number, target.audit, *arguments) == expected(
                wanted, target, number, *arguments
            ), number


@pytest.mark.parametrize(("name", "machine"), EVERY)
def test_calls_of_a_newer_kernel_are_not_there(name: str, machine: str) -> None:
    wanted, target = FILTERS[name], target_of(machine)
    program = seccomp.assemble(wanted, target)
    answer = MISSING if wanted.default == ALLOW else REFUSE
    for number in (LAST_KNOWN + 1, 462, 1000, 0x3FFFFFFF):
        assert decide(program, number, target.audit) == answer


@pytest.mark.parametrize(("name", "machine"), EVERY)
def test_another_architectures_calls_end_the_process(name: str, machine: str) -> None:
    target = target_of(machine)
    program = seccomp.assemble(FILTERS[name], target)
    for audit in {0xC000003E, 0xC00000B7, 0x40000003, 0x40000028} - {target.audit}:
        for number in (0, 1, 41, 198):
            assert decide(program, number, audit) == KILL_PROCESS


@pytest.mark.parametrize("name", list(FILTERS))
def test_x32_calls_end_the_process(name: str) -> None:
    target = target_of("x86_64")
    program = seccomp.assemble(FILTERS[name], target)
    assert decide(program, 0x40000000 | target.numbers["socket"], target.audit, 2) == KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
def test_the_upper_half_of_an_argument_changes_nothing(machine: str) -> None:
    target = target_of(machine)
    program = seccomp.assemble(FILTERS["reader"], target)
    number = target.numbers["socket"]
    assert decide(program, number, target.audit, 1 << 32 | 2) == REFUSE
    assert decide(program, number, target.audit, 1 << 32 | 1) == ALLOW


@pytest.mark.parametrize("count", [0, 1, 3, 4, 130, 131, 200])
def test_a_list_of_any_length_is_found_through(count: int) -> None:
    numbers = {f"call{number}": number * 2 for number in range(count)}
    target = Architecture("made", 7, numbers)
    wanted = Filter(
        {
            name: When(0, values=(5,), then=REFUSE, otherwise=number)
            for name, number in numbers.items()
        },
        ALLOW,
    )
    program = seccomp.assemble(wanted, target)
    for number in range(2 * count + 2):
        own = number % 2 == 0 and number < 2 * count
        assert decide(program, number, 7, 1) == (number if own else ALLOW)
        assert decide(program, number, 7, 5) == (REFUSE if own else ALLOW)


def test_an_unknown_machine_gets_no_filter_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    assert not seccomp.install(FILTERS["reader"], keep_mitigations=False)
