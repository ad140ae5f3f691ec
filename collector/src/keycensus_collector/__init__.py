"""The keycensus collector: keeps one record per certificate and key, with every place it lives."""

__version__ = "0.1.0"
