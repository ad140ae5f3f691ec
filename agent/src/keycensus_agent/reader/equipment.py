"""What every look at the disk needs, put together: findings, parser, links, and the ground itself.

Runs in the reader.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keycensus_agent.config import Config
from keycensus_agent.isolation.evidence import Enforced
from keycensus_agent.reader.comparison import MakeInspector
from keycensus_agent.reader.findings import Findings
from keycensus_agent.reader.ground import Ground
from keycensus_agent.reader.inspect import Inspector
from keycensus_agent.reader.kept_parser import KeptParser
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.passwords import candidate_passwords
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.same_bytes import SameBytes
from keycensus_agent.reader.scoped_places import ScopedBuilder, ScopedDatabases, settle_scopes
from keycensus_agent.reader.state import State
from keycensus_agent.reader.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Equipment:
    """For one look. `parser_enforced` says what holds the parser, once there was one."""

    findings: Findings
    links: LinkPlaces
    make_inspector: MakeInspector
    around: Surroundings
    ground: Ground
    parser_enforced: Callable[[], Enforced | None]


def now_ms() -> int:
    """Return milliseconds since the epoch by this host's clock."""
    return time.time_ns() // 1_000_000


@contextmanager
def equipped(
    config: Config,
    state: State,
    outbox: Outbox,
    should_stop: Callable[[], bool],
    *,
    parsers: KeptParser,
    links_table: str = "link",
) -> Iterator[Equipment]:
    """Put it together for one look; ConfigurationError if the root can't be opened.

    `parsers` lends the parser. `links_table`: two looks at once need two names (`LinkPlaces`).
    """
    scan = config.scan
    findings = Findings(state, outbox, now_ms)
    passwords = candidate_passwords(scan.password_file, try_defaults=scan.try_default_passwords)
    # With details: what a place is for is judged by its certificates, as `scan` does.
    with (
        Ground(config) as ground,
        parsers.lent(passwords) as parser,
    ):
        scopes = ground.scopes
        settle_scopes(state, findings, scopes, ground.resolver, ground.mounts)
        builder = ScopedBuilder(_salt(state), scan.root, scopes)
        yield Equipment(
            findings=findings,
            links=LinkPlaces(
                state,
                findings,
                ground.resolver,
                builder,
                plain_stat=ground.plain,
                table=links_table,
            ),
            make_inspector=lambda sink, coverage: Inspector(
                SameBytes(parser, passwords),
                sink,
                coverage,
                is_known=lambda path: findings.at(path) is not None,
            ),
            around=Surroundings(
                walk_from=ground.walk_from,
                reread_mounts=ground.read_mounts,
                root=ground.real_root,
                builder=builder,
                databases=ScopedDatabases(ground.resolver, scopes),
                now_ns=time.time_ns,
                sleep=time.sleep,
                should_stop=should_stop,
            ),
            ground=ground,
            parser_enforced=lambda: parser.enforced,
        )


def _salt(state: State) -> bytes:
    """Return what device and inode are hashed with; random, so that it says nothing outside."""
    salt = state.get("salt")
    if not salt:
        salt = os.urandom(16)
        state.put("salt", salt)
    return salt
