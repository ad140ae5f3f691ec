"""One module per command of `keycensus-agent`; each is imported only when it is asked for."""
