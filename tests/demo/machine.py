"""Let a sample server be a machine of its own: its /etc and its name in namespaces, and a server that listens.

The agent of such a machine sees it as `/`, and so asks what listens there, which it never does for files
below another root. Linux lets every user make these namespaces unless a policy forbids it; then the demo
goes on without.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from fakes.tls_listener import listening

_PROBE_SECONDS = 20
_ENTER = 'hostname "$1" && mount --bind "$2/etc" /etc && shift 2 && exec "$@"'


def inside(name: str, root: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` on the machine `name`, whose /etc is that of `root`."""
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "--uts")
    return [*unshare, "sh", "-c", _ENTER, "machine", name, str(root), *command]


def can_be_machines(root: Path) -> bool:
    """Tell whether this kernel, and who runs the demo, can have them."""
    try:
        tried = subprocess.run(
            inside("probe", root, ["true"]),
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def serving(chain: Path, key: Path) -> AbstractContextManager[int]:
    """Serve TLS on loopback with the files as they are now, like a server that is never reloaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return listening(context)
