"""The table of numbers against the kernel's own headers, for both architectures."""

from __future__ import annotations

import re
import subprocess

import pytest

from keycensus_agent.isolation.syscalls import LAST_KNOWN, NAMES, architecture

# Where the headers have the numbers: x86_64 of its own, aarch64 the generic table. What the generic
# one has by request only, aarch64 asks for (arch/arm64/include/uapi/asm/unistd.h).
HEADERS = {
    "x86_64": ("asm/unistd_64.h", ()),
    "aarch64": (
        "asm-generic/unistd.h",
        (
            *("__BITS_PER_LONG=64", "__ARCH_WANT_RENAMEAT", "__ARCH_WANT_NEW_STAT"),
            *("__ARCH_WANT_SET_GET_RLIMIT", "__ARCH_WANT_TIME32_SYSCALLS"),
            *("__ARCH_WANT_SYS_CLONE3", "__ARCH_WANT_MEMFD_SECRET"),
        ),
    ),
}


def numbers_of(machine: str) -> dict[str, int]:
    """Ask the preprocessor for every __NR_ name and its value."""
    header, definitions = HEADERS[machine]
    done = subprocess.run(
        ["cc", "-E", "-dM", *(f"-D{each}" for each in definitions), "-include", header, "-xc", "-"],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and machine == "x86_64":
        pytest.fail(f"no headers of this architecture: {done.stderr}")
    defined = dict(re.findall(r"#define (__NR(?:3264)?_\w+) (\S+)", done.stdout))
    found = {}
    for name in defined:
        value = name
        while value in defined:
            value = defined[value]
        if name.startswith("__NR_") and value.isdigit():
            found[name.removeprefix("__NR_")] = int(value)
    return found


@pytest.mark.parametrize("machine", list(HEADERS))
def test_every_number_is_the_headers(machine: str) -> None:
    target = architecture(machine)
    assert target is not None
    known = numbers_of(machine)
    assert len(known) > 250
    wrong = {
        name: (target.numbers.get(name), known.get(name))
        for name in NAMES
        if target.numbers.get(name) != known.get(name)
    }
    assert wrong == {}


@pytest.mark.parametrize("machine", list(HEADERS))
def test_the_last_call_that_was_looked_at_is_no_later_than_the_headers(machine: str) -> None:
    assert max(numbers_of(machine).values()) >= LAST_KNOWN


@pytest.mark.parametrize("machine", ["riscv64", "i686", "armv7l", ""])
def test_an_architecture_without_a_table_has_no_filter(machine: str) -> None:
    assert architecture(machine) is None
