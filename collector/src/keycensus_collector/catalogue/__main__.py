"""`python -m keycensus_collector.catalogue`: the child that reads blobs, started by the worker."""

from __future__ import annotations

from keycensus_collector.catalogue.child import main

main()
