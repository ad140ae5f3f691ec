"""Who makes a request, whichever way they were let in."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.access.permissions import Permission


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request, and what that one may do now.

    Either a token or a session let them in. `teams`: only what these teams own is seen; None:
    everything. `stale_use` asks the caller to write down the use when it can. `expires_ms`: of the
    token or session.
    """

    user: str
    user_no: int
    role: str
    permissions: frozenset[Permission]
    expires_ms: int
    token_id: str = ""
    session_id: str = ""
    stale_use: bool = False
    teams: frozenset[int] | None = None

    @property
    def actor(self) -> str:
        """How the audit log names who asks."""
        return f"user:{self.user}"

    def may(self, permission: Permission) -> bool:
        """Say whether who asks has a permission."""
        return permission in self.permissions
