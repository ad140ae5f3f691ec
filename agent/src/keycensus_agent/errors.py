"""Every error that the agent raises on purpose.

    KeycensusError                        agent.error               3
    ├── UsageError                        agent.usage               2
    ├── ConfigurationError                agent.configuration       2
    ├── StorageError                      agent.storage             3
    │   ├── StateNewerError               agent.state.newer         3
    │   ├── StateBusyError                agent.state.busy          3
    │   ├── StateDamagedError             agent.state.damaged       3
    │   └── StorageFullError              agent.storage.full        3
    ├── ParserError                       agent.parser              3
    ├── IdentityError                     agent.identity            3
    ├── LauncherError                     agent.launcher            3
    └── LinkError                         agent.link                3
        └── RefusedError                  agent.link.refused        3

The last column is the exit status: 2 usage or configuration, 3 anything else of our own. Trouble of the
scanned host is no error: it is a gap, or a place's status and reason.
"""

from __future__ import annotations

from typing import ClassVar


class KeycensusError(Exception):
    """Something of the agent's own went wrong; `str()` is a sentence for people, with what to do."""

    error_id: ClassVar[str] = "agent.error"
    exit_status: ClassVar[int] = 3


class UsageError(KeycensusError):
    """The command line asks for something that can't be done as written."""

    error_id = "agent.usage"
    exit_status = 2


class ConfigurationError(KeycensusError):
    """The configuration has mistakes; all of them are in the text, a line each."""

    error_id = "agent.configuration"
    exit_status = 2


class StorageError(KeycensusError):
    """The agent's own state directory or database can't be used."""

    error_id = "agent.storage"


class StateNewerError(StorageError):
    """The state was written by a newer agent; this one must not touch it."""

    error_id = "agent.state.newer"


class StateBusyError(StorageError):
    """Another agent process holds the state."""

    error_id = "agent.state.busy"


class StateDamagedError(StorageError):
    """The state was found damaged while it was used; the next start puts it aside by itself."""

    error_id = "agent.state.damaged"


class StorageFullError(StorageError):
    """The file system under the state directory is full."""

    error_id = "agent.storage.full"


class ParserError(KeycensusError):
    """The parser process can't be started or speaks nonsense; a file that kills it is no error."""

    error_id = "agent.parser"


class IdentityError(KeycensusError):
    """This host has no usable identity: not enrolled, on another machine, or unreadable.

    `reason` is one of a CLOSED frame (relay.py): "not-enrolled", "other-machine".
    """

    error_id = "agent.identity"

    def __init__(self, text: str, *, reason: str = "not-enrolled") -> None:
        super().__init__(text)
        self.reason = reason


class LauncherError(KeycensusError):
    """The process that starts links is gone, and this one may not start another."""

    error_id = "agent.launcher"


class LinkError(KeycensusError):
    """The collector can't be reached, or TLS failed; the text says why and what to do.

    `reason` is one of a CLOSED frame (relay.py): "unreachable", "tls", "expired", "protocol".
    """

    error_id = "agent.link"

    def __init__(self, text: str, *, reason: str = "unreachable") -> None:
        super().__init__(text)
        self.reason = reason


class RefusedError(LinkError):
    """The collector answered, and refused: banned, unknown token, upgrade needed, and so on.

    `refusal` is the collector's own word ("banned", "token-used"), empty if it gave none.
    """

    error_id = "agent.link.refused"

    def __init__(self, text: str, *, refusal: str = "", retry_after_seconds: int = 0) -> None:
        super().__init__(text, reason="refused")
        self.refusal = refusal
        self.retry_after_seconds = retry_after_seconds
