"""Every error that the client raises on purpose.

    KeycensusError                        client.error               3
    ├── UsageError                        client.usage               2
    ├── NotLoggedInError                  client.not-logged-in       3
    ├── UnreachableError                  client.unreachable         3
    │   └── UntrustedError                client.untrusted           3   TLS: unknown authority, name
    ├── UnauthorisedError                 client.unauthorised        3   token missing, expired, revoked
    ├── NotFoundError                     client.not-found           1
    ├── AmbiguousError                    client.ambiguous           2
    ├── ChangedError                      client.changed             3   by somebody else, meanwhile
    └── AnswerError                       client.answer              3   an answer that makes no sense

The last column is the exit status.
"""

from __future__ import annotations

from typing import ClassVar


class KeycensusError(Exception):
    """Something went wrong; `str()` is a sentence for people, with what to do."""

    error_id: ClassVar[str] = "client.error"
    exit_status: ClassVar[int] = 3


class UsageError(KeycensusError):
    """What was asked for can't be done as written."""

    error_id = "client.usage"
    exit_status = 2


class MistakenError(UsageError):
    """Parts of what was sent can't be: of each its name, its line in that (0: none), and why."""

    error_id = "client.mistaken"

    def __init__(self, text: str, mistakes: list[tuple[str, int, str]]) -> None:
        super().__init__(text)
        self.mistakes = mistakes


class NotLoggedInError(KeycensusError):
    """There are no credentials, or they can't be read."""

    error_id = "client.not-logged-in"


class UnreachableError(KeycensusError):
    """The collector does not answer."""

    error_id = "client.unreachable"


class UntrustedError(UnreachableError):
    """The collector's certificate can't be trusted."""

    error_id = "client.untrusted"


class UnauthorisedError(KeycensusError):
    """The collector does not know the token, or no longer."""

    error_id = "client.unauthorised"


class NotFoundError(KeycensusError):
    """What was asked for is not in the inventory."""

    error_id = "client.not-found"
    exit_status = 1


class AmbiguousError(KeycensusError):
    """An ID fits several things; the text lists them."""

    error_id = "client.ambiguous"
    exit_status = 2


class ChangedError(KeycensusError):
    """What was to be written over is not what was read."""

    error_id = "client.changed"


class AnswerError(KeycensusError):
    """The collector answered with an error of its own, or with what is no answer."""

    error_id = "client.answer"
