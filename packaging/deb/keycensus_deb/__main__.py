"""`make packages`: build the agent's package for Debian 12, of the machine's own architecture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keycensus_deb.build import build
from keycensus_deb.release import BOOKWORM, CHECKOUT
from keycensus_deb.wheels import BuildError


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="keycensus_deb", description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKOUT / "dist", help="where to (dist/)")
    parser.add_argument("--level", type=int, default=6, help="xz's, 0 is quick (6)")
    arguments = parser.parse_args()
    try:
        print(build(BOOKWORM, arguments.out.resolve(), level=arguments.level))
    except BuildError as error:
        print(f"packages: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
