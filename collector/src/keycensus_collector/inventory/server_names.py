"""Configured server names held against a certificate's names. Pure."""

from __future__ import annotations

from collections.abc import Iterable

# Names that no client asks for: catch-alls, patterns and variables of configurations.
_CATCH_ALL = frozenset({"", "_", "*", "localhost", "default", "default_server"})


def uncovered(server_names: Iterable[str], certificate_names: Iterable[str]) -> list[str]:
    """Return the configured names that a certificate is not for, in their order.

    A wildcard stands for one label (RFC 6125, section 6.4.3). Catch-alls and patterns are left out:
    nobody can say which names they mean.
    """
    covered = {name.lower().rstrip(".") for name in certificate_names}
    missing: list[str] = []
    for written in server_names:
        name = written.lower().rstrip(".")
        if name in _CATCH_ALL or name[0] in "~$" or "$" in name:
            continue
        # nginx: ".example.com" is the domain and everything below.
        asked = [name[1:], f"*{name}"] if name.startswith(".") else [name]
        if not all(_is_covered(each, covered) for each in asked):
            missing.append(written)
    return missing


def _is_covered(name: str, covered: set[str]) -> bool:
    _, dot, parent = name.partition(".")
    return name in covered or (bool(dot) and f"*.{parent}" in covered)
