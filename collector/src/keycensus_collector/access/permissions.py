"""What people may do: permissions are words, and a role is a set of them. Pure.

A right is always asked for by its permission, never by the name of a role.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may do."""

    ACCOUNT_READ = "account.read"  # who am I: everybody who is let in
    ACCOUNT_WRITE = "account.write"  # own password, tokens and sessions
    INVENTORY_READ = "inventory.read"
    EXPORT_READ = "export.read"
    VIEWS_READ = "views.read"
    VIEWS_WRITE = "views.write"
    VIEWS_SHARE = "views.share"
    OWNERS_READ = "owners.read"  # teams, people, who owns what, and why
    OWNERS_WRITE = "owners.write"  # of the things of own teams, unless one sees all
    CONFIRM_WRITE = "confirm.write"  # recertification of what own teams hold
    CAMPAIGNS_WRITE = "campaigns.write"  # of recertification: start, end, accept, answer for others
    TEAMS_WRITE = "teams.write"
    PEOPLE_WRITE = "people.write"
    RULES_WRITE = "rules.write"
    LABELS_WRITE = "labels.write"
    MARKS_WRITE = "marks.write"
    IMPORT_WRITE = "import.write"
    HOSTS_WRITE = "hosts.write"
    AGENTS_READ = "agents.read"
    AGENTS_BAN = "agents.ban"
    TOKENS_READ = "tokens.read"  # of hosts that enrol
    TOKENS_CREATE = "tokens.create"
    SYSTEM_READ = "system.read"
    USERS_READ = "users.read"
    USERS_WRITE = "users.write"
    AUDIT_READ = "audit.read"
    AUTHORITY_WRITE = "authority.write"


# What each lets somebody do, in words.
MEANING: dict[Permission, str] = {
    Permission.ACCOUNT_READ: "Sign in",
    Permission.ACCOUNT_WRITE: "Change their own password, sessions and API tokens",
    Permission.INVENTORY_READ: "See certificates, keys, places and hosts",
    Permission.EXPORT_READ: "Take lists along",
    Permission.VIEWS_READ: "Use saved views",
    Permission.VIEWS_WRITE: "Save and delete views",
    Permission.VIEWS_SHARE: "Share views with teams",
    Permission.OWNERS_READ: "See teams, people, and who owns what",
    Permission.OWNERS_WRITE: "Say who owns what: of their own teams' things, or all if they see all",
    Permission.CONFIRM_WRITE: "Confirm what their own teams hold",
    Permission.CAMPAIGNS_WRITE: "Start and end recertification, and answer for others",
    Permission.TEAMS_WRITE: "Change teams and their members",
    Permission.PEOPLE_WRITE: "Change people, and let them leave",
    Permission.RULES_WRITE: "Change rules of ownership",
    Permission.LABELS_WRITE: "Set labels",
    Permission.MARKS_WRITE: "Mark what is compromised or distrusted",
    Permission.IMPORT_WRITE: "Import bundles, hosts, certificates and lists",
    Permission.HOSTS_WRITE: "Retire hosts, and say which one succeeds another",
    Permission.AGENTS_READ: "See agents",
    Permission.AGENTS_BAN: "Ban, end and rekey agents",
    Permission.TOKENS_READ: "See enrolment tokens",
    Permission.TOKENS_CREATE: "Make and revoke enrolment tokens",
    Permission.SYSTEM_READ: "See how the collector does",
    Permission.USERS_READ: "See users and their API tokens",
    Permission.USERS_WRITE: "Add and change users",
    Permission.AUDIT_READ: "Read the audit log",
    Permission.AUTHORITY_WRITE: "Replace the authority, and copy the whole database",
}

_VIEWER = frozenset(
    {
        Permission.ACCOUNT_READ,
        Permission.ACCOUNT_WRITE,
        Permission.INVENTORY_READ,
        Permission.EXPORT_READ,
        Permission.VIEWS_READ,
        Permission.OWNERS_READ,
    }
)
_OWNER = _VIEWER | {Permission.OWNERS_WRITE, Permission.CONFIRM_WRITE}
_OPERATOR = _OWNER | {
    Permission.VIEWS_WRITE,
    Permission.VIEWS_SHARE,
    Permission.CAMPAIGNS_WRITE,
    Permission.TEAMS_WRITE,
    Permission.PEOPLE_WRITE,
    Permission.RULES_WRITE,
    Permission.LABELS_WRITE,
    Permission.MARKS_WRITE,
    Permission.IMPORT_WRITE,
    Permission.HOSTS_WRITE,
    Permission.AGENTS_READ,
    Permission.AGENTS_BAN,
    Permission.TOKENS_READ,
    Permission.TOKENS_CREATE,
    Permission.SYSTEM_READ,
}
ROLES: dict[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "owner": _OWNER,
    "operator": _OPERATOR,
    "admin": frozenset(Permission),
}

# Who sees the things of some teams only can do no more than this, whatever the role.
SCOPED = _OWNER


def granted(role: str, limits: Iterable[str] | None = None) -> frozenset[Permission]:
    """Return what a role gives; of a token with limits no more than those, and who one is."""
    given = ROLES.get(role, frozenset())
    if limits is None:
        return given
    return given & {Permission.ACCOUNT_READ, *(Permission(word) for word in limits)}


def roles_with(permission: Permission) -> list[str]:
    """Return the roles that have a permission, the least first."""
    return [role for role, granted in ROLES.items() if permission in granted]
