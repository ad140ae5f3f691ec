"""The link: the one process with network. It reads no keys and none of the state."""

import os

# gRPC's C core writes to standard error by itself and reads this at import; what went wrong is said
# by us, as CLOSED frames and errors for people.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
