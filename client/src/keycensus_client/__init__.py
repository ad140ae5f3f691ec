"""The keycensus client: a typed REST client and the `keycensus` command, without the server."""

__version__ = "0.1.0"
