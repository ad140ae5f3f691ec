"""Leave a deployment: tell the collector, then forget who we were.

Runs in the command `leave`, with network and the identity directory.
"""

from __future__ import annotations

from keycensus_agent.config import Config
from keycensus_agent.errors import IdentityError, LinkError, RefusedError
from keycensus_agent.host_facts import MachinePrints
from keycensus_agent.link.control import Route, say_goodbye
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.text import safe_text

# What a collector says of an agent that it has nothing to forget of.
_GONE_THERE = frozenset({"unknown"})


async def leave(config: Config, reason: str, *, force: bool, machine: MachinePrints) -> str:
    """Leave, and remove the identity directory; return a sentence that says what was done.

    If the collector can't be told, LinkError, and nothing is removed; with `force` it is removed
    all the same, and an identity that is damaged or another machine's too.
    """
    store = IdentityStore(config.identity_directory)
    if not store.directory.exists():
        return "this host is not enrolled; there was nothing to leave"
    try:
        identity = _load(store, machine)
        if identity is None:
            store.remove()
            return "this host is not enrolled; what an unfinished enrolment left was removed"
        told = await _tell(config, store, identity, reason)
    except (LinkError, IdentityError) as error:
        if not force:
            raise _with_force(error) from error
        told = f"the collector was not told ({error}): retire the host there"
    store.remove()
    return f"the identity was removed from this host; {told}"


def _load(store: IdentityStore, machine: MachinePrints) -> Identity | None:
    return None if store.load_any() is None else store.load(machine)


async def _tell(config: Config, store: IdentityStore, identity: Identity, reason: str) -> str:
    route = Route(config.collector.address, config.collector.proxy)
    try:
        with store.directory.changing():
            await say_goodbye(identity, store, route, reason)
    except RefusedError as error:
        if error.refusal not in _GONE_THERE:
            raise
        return "the collector did not know it any more"
    return f'the collector of "{safe_text(identity.deployment)}" was told'


def _with_force(error: LinkError | IdentityError) -> LinkError:
    return LinkError(
        f"{error}. Nothing was removed: try again later, or `keycensus-agent leave --force` "
        "removes the identity here only, and someone retires the host at the collector",
        reason=error.reason,
    )
