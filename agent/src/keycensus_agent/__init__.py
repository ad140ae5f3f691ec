"""The keycensus agent: finds every certificate and private key on this host and reports them.

Three kinds of process, three packages: `reader` (reads files, no network), `parser` (computes on
hostile bytes, nothing else), `link` (network, reads no keys). See docs/architecture.md.
"""

__version__ = "0.1.0"
