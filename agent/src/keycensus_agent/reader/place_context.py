"""What is said of places beyond their own files: the package that owns a name, and the way to it.

Both change without a trace in the file: a package is removed, a directory is opened for others. At the end of a sweep
a mark of the package databases and of the directories on the way tells whether anything has to be looked at again;
where not, it costs a few dozen stats. Runs in the reader.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.model import Coverage
from keycensus_agent.reader.findings import CONTEXT_MARK, Findings
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.purpose import role_with
from keycensus_agent.reader.state import State


def settle_context(
    state: State,
    findings: Findings,
    builder: PlaceBuilder,
    databases: PackageDatabases,
    coverage: Coverage,
) -> None:
    """Bring package and readers of all places up to date; inside the sweep's transaction."""
    marks = hashlib.sha256(databases.mark())
    for barrier in builder.barriers(findings.directories()):
        marks.update(barrier)
    mark = marks.digest()
    if state.get(CONTEXT_MARK) == mark:
        return
    places = dict(findings.each())
    owners = databases.owners(places)
    for database in owners.unread:
        coverage.count(f"{database}-database-unread")
    for path, place in places.items():
        # A database that could not be read says nothing about what it said before.
        package = owners.by_path.get(path)
        if package is None and place.package is not None and place.package.kind in owners.unread:
            package = place.package
        fresh = replace(
            place,
            package=package,
            role=role_with(place.role, package),
            readable_by=builder.access_of(place),
        )
        if fresh != place:
            findings.amend(fresh)
    state.put(CONTEXT_MARK, mark)
