"""`python -m keycensus_client`: the same as `keycensus`."""

from __future__ import annotations

from keycensus_client.cli import main

main()
