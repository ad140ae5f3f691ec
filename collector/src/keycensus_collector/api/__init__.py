"""The REST interface under /api/v1, for the `keycensus` command and scripts."""
