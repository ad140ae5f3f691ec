"""The keycensus wire protocol; `v1` holds the generated code.

Importing this package imports nothing else: the agent's reader uses the message modules without
gRPC.
"""
