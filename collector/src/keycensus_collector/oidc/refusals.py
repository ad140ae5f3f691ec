"""Why a sign-in at a provider came to nothing. Each reason is a word for scripts and the audit log."""

from __future__ import annotations

from enum import Enum

from keycensus_collector.errors import KeycensusError


class Whose(Enum):
    """Who can put it right."""

    BROWSER = "browser"  # begin again
    PERSON = "person"  # or an admin here
    PROVIDER = "provider"  # or who configured it


class SignInError(KeycensusError):
    """A sign-in is refused; the text says why, and what to do."""

    error_id = "collector.sign-in"

    def __init__(self, whose: Whose, reason: str, text: str, *, user: str = "") -> None:
        super().__init__(text)
        self.whose = whose
        self.reason = reason
        self.user = user


def provider_trouble(reason: str, text: str) -> SignInError:
    """Return the error for what a provider did, or how it is configured here."""
    return SignInError(Whose.PROVIDER, reason, text)
