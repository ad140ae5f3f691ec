"""A root directory with configurations in it, and what its readers say of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from fakes.package_root import LOCAL

from keycensus_agent.context.bindings import Binding, Context, Problem, Renewer
from keycensus_agent.context.gather import gather
from keycensus_agent.reader.discovery.links import Resolver

# A moment after which nothing made by a test is overdue by accident: 2026-11-01.
NOW_MS = 1_793_491_200_000
DAY_MS = 86_400_000


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files below a root, by absolute path; "-> X" is a link to X."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_bytes(text.encode("utf-8", "surrogateescape"))


def context_of(root: Path, now_ms: int = NOW_MS) -> Context:
    """Return what the configurations below a root say."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return gather(Resolver(descriptor, LOCAL), now_ms)
    finally:
        os.close(descriptor)


def bindings_in(root: Path, service: str) -> list[Binding]:
    """Return the bindings of one service below a root."""
    return [one for one in context_of(root).bindings if one.service == service]


def problems_in(root: Path, service: str) -> list[Problem]:
    """Return what was not understood of one service's or tool's files."""
    return [one for one in context_of(root).problems if one.service == service]


def renewers_in(root: Path, tool: str, now_ms: int = NOW_MS) -> list[Renewer]:
    """Return what one tool renews."""
    return [one for one in context_of(root, now_ms).renewers if one.tool == tool]


def said(binding: Binding) -> str:
    """Return one binding in a line, for comparing: file:line directive paths; names; listen protocol."""
    paths = " ".join(path.decode("utf-8", "backslashreplace") for path in binding.paths)
    names = f" for {','.join(binding.server_names)}" if binding.server_names else ""
    listen = f" on {','.join(binding.listen)} {binding.protocol}" if binding.listen else ""
    password = f" password {binding.password_source}" if binding.password_source else ""
    where = f"{binding.configuration.decode()}:{binding.line}"
    return f"{where} {binding.directive} {paths}{names}{listen}{password}"


def all_said(root: Path, service: str) -> list[str]:
    """Return all bindings of one service, each as a line."""
    return [said(binding) for binding in bindings_in(root, service)]


def enable(root: Path, *units: str) -> None:
    """Make links that start units with the system, as `systemctl enable` does."""
    for unit in units:
        target = "timers" if unit.endswith(".timer") else "multi-user"
        write(
            root,
            {f"/etc/systemd/system/{target}.target.wants/{unit}": f"-> /lib/systemd/system/{unit}"},
        )
