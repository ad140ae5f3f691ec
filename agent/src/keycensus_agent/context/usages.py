"""From what configurations and renewal tools say to usages: equal bindings are one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from keycensus_agent.context.bindings import Binding, Renewer
from keycensus_agent.context.open_files import Holder
from keycensus_agent.usage import NAMES, PLACES, Renewal, Usage, binding_of

# Usages of one host: a row each. 10,000 sites with certificate and key fit.
USAGES = 50_000
_WORD = 200

Keys = Callable[[Iterable[bytes]], tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Bound:
    """A usage with the binding that it comes from; `paths` are those of all that are equal to it."""

    usage: Usage
    binding: Binding
    paths: tuple[bytes, ...]


def merge(bindings: Iterable[Binding], keys: Keys) -> list[Bound]:
    """Return one usage for all bindings of one identity, in a stable order.

    `keys` gives the keys of the places that paths name.
    """
    together: dict[bytes, list[Binding]] = {}
    for binding in bindings:
        identity = binding_of(
            word(binding.service),
            word(binding.unit),
            binding.configuration,
            word(binding.directive),
            server_names=_words(binding.server_names),
            listen=_words(binding.listen),
        )
        together.setdefault(identity, []).append(binding)
        if len(together) >= USAGES:
            break
    return [_bound(identity, same, keys) for identity, same in sorted(together.items())]


def _bound(identity: bytes, same: list[Binding], keys: Keys) -> Bound:
    first = min(same, key=lambda binding: binding.line)
    paths = tuple(dict.fromkeys(path for binding in same for path in binding.paths))
    usage = Usage(
        binding=identity,
        service=word(first.service),
        unit=word(first.unit),
        configuration=first.configuration,
        line=first.line,
        directive=word(first.directive),
        places=keys(paths),
        server_names=_words(first.server_names),
        listen=_words(first.listen),
        password_source=word(first.password_source),
    )
    return Bound(usage, first, paths)


def renewals(renewers: Iterable[Renewer], keys: Keys) -> list[Usage]:
    """Return a usage for each lineage that a tool keeps fresh."""
    found: dict[bytes, Usage] = {}
    for renewer in renewers:
        identity = binding_of(
            "renewer",
            word(renewer.tool),
            renewer.configuration,
            "renewal",
            server_names=(word(renewer.name),),
        )
        usage = Usage(
            binding=identity,
            service="renewer",
            unit=word(renewer.schedule),
            configuration=renewer.configuration,
            line=0,
            directive="renewal",
            places=keys(renewer.paths),
            server_names=(),
            renewal=Renewal(
                word(renewer.tool),
                max(0, min(renewer.last_success_ms, 1 << 52)),
                renewer.overdue,
                word(renewer.schedule),
                word(renewer.reason),
            ),
        )
        before = found.get(identity)
        if before is not None:
            # Of several copies of one name (mod_md's two kinds of key) the one that is late counts.
            places = tuple(sorted({*before.places, *usage.places}))
            late = renewer.overdue or not (before.renewal and before.renewal.overdue)
            usage = replace(usage if late else before, places=places)
        found[identity] = usage
        if len(found) >= USAGES:
            break
    return [found[identity] for identity in sorted(found)]


def open_in(holders: Iterable[Holder], keys: Mapping[bytes, bytes]) -> list[Usage]:
    """Return a usage for each program that has places open or mapped; `keys` of places by path."""
    found: dict[bytes, Usage] = {}
    for holder in holders:
        process = f"{word(holder.name)} ({holder.uid})"
        identity = binding_of("process", word(holder.unit), b"", "open", server_names=(process,))
        places = {keys[path] for path in holder.paths if path in keys}
        if identity in found:
            places.update(found[identity].places)
        found[identity] = Usage(
            binding=identity,
            service="process",
            unit=word(holder.unit),
            configuration=b"",
            line=0,
            directive="open",
            places=tuple(sorted(places)[:PLACES]),
            processes=(process,),
        )
    return [found[identity] for identity in sorted(found)][:USAGES]


def word(text: str) -> str:
    """Return a text as it fits into a row: short, without NUL, and UTF-8."""
    return text.replace("\0", "")[:_WORD].encode("utf-8", "replace").decode()


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(word, texts))[:NAMES]
