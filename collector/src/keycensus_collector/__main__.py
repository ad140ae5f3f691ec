"""`python -m keycensus_collector` is the command `keycensus-collector`."""

from __future__ import annotations

from keycensus_collector.cli import main

main()
