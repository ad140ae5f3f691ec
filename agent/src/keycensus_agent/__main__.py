"""`python -m keycensus_agent` is the `keycensus-agent` command."""

from __future__ import annotations

import sys

from keycensus_agent.cli import main

sys.exit(main())
