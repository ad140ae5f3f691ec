"""The link: the one process with network. It reads no keys and none of the state."""

import os
import sys

# gRPC's C core writes to standard error by itself and reads this at import; what went wrong is said
# by us, as CLOSED frames and errors for people.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# structlog imports rich where it is installed, for tracebacks that show variables: a fifth of the time
# that a link takes to start, and a link prints none.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
