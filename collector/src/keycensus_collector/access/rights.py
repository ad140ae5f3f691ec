"""Which permission each endpoint and each operation asks for: the one place where that is said.

To add an endpoint: give its router `dependencies=AUTHENTICATED` (api/security.py), add its line to
ENDPOINTS, by method and path as the router has it, and its row to the table in docs/access.md. An
endpoint that stands in neither table is refused to everybody, and a test fails. In the endpoint,
`CurrentPrincipal` says who asks; `principal.may(Permission.X)` asks for more than the line says. An
operation of the admin socket likewise gets its line in OPERATIONS.
"""

from __future__ import annotations

from keycensus_collector.access.permissions import Permission as P  # noqa: N817 - a table of it

_API = "/api/v1"

# Answered without anybody's name.
OPEN: frozenset[str] = frozenset(
    {
        f"GET {_API}/health",
        f"POST {_API}/login",
        f"GET {_API}/oidc",
        f"POST {_API}/oidc/token",
        f"GET {_API}/oidc/{{provider}}/start",
        f"GET {_API}/oidc/{{provider}}/callback",
        f"GET {_API}/oidc/{{provider}}/end",
    }
)

ENDPOINTS: dict[str, P] = {
    f"GET {_API}/certificates": P.INVENTORY_READ,
    f"GET {_API}/certificates/{{sha256}}": P.INVENTORY_READ,
    f"GET {_API}/keys": P.INVENTORY_READ,
    f"GET {_API}/keys/{{key_id}}": P.INVENTORY_READ,
    f"GET {_API}/hosts": P.INVENTORY_READ,
    f"GET {_API}/hosts/{{host_id}}": P.INVENTORY_READ,
    f"GET {_API}/places": P.INVENTORY_READ,
    f"GET {_API}/show": P.INVENTORY_READ,
    f"GET {_API}/where": P.INVENTORY_READ,
    f"GET {_API}/summary": P.INVENTORY_READ,
    f"GET {_API}/groups/{{list_}}": P.INVENTORY_READ,
    f"GET {_API}/completion/{{list_}}": P.INVENTORY_READ,
    f"GET {_API}/export/{{list_}}": P.EXPORT_READ,
    f"GET {_API}/views": P.VIEWS_READ,
    f"GET {_API}/views/{{name}}": P.VIEWS_READ,
    f"PUT {_API}/views/{{name}}": P.VIEWS_WRITE,
    f"DELETE {_API}/views/{{name}}": P.VIEWS_WRITE,
    f"GET {_API}/history": P.INVENTORY_READ,
    f"GET {_API}/diff/{{list_}}": P.INVENTORY_READ,
    f"GET {_API}/coverage": P.INVENTORY_READ,
    f"GET {_API}/imports": P.INVENTORY_READ,
    f"POST {_API}/imports/bundle": P.IMPORT_WRITE,
    f"POST {_API}/imports/hosts": P.IMPORT_WRITE,
    f"POST {_API}/imports/artifacts": P.IMPORT_WRITE,
    f"POST {_API}/imports/ca-list": P.IMPORT_WRITE,
    f"GET {_API}/certificate-lists": P.INVENTORY_READ,
    f"GET {_API}/certificate-lists/{{name}}": P.INVENTORY_READ,
    f"GET {_API}/marks": P.INVENTORY_READ,
    f"GET {_API}/marks/{{number}}": P.INVENTORY_READ,
    f"POST {_API}/marks": P.MARKS_WRITE,
    f"POST {_API}/marks/bulk": P.MARKS_WRITE,
    f"POST {_API}/marks/{{number}}/lift": P.MARKS_WRITE,
    f"GET {_API}/teams": P.OWNERS_READ,
    f"GET {_API}/teams/{{name}}": P.OWNERS_READ,
    f"PUT {_API}/teams/{{name}}": P.TEAMS_WRITE,
    f"POST {_API}/teams/{{name}}/rename": P.TEAMS_WRITE,
    f"POST {_API}/teams/{{name}}/dissolve": P.TEAMS_WRITE,
    f"PUT {_API}/teams/{{name}}/members/{{person}}": P.TEAMS_WRITE,
    f"DELETE {_API}/teams/{{name}}/members/{{person}}": P.TEAMS_WRITE,
    f"GET {_API}/people": P.OWNERS_READ,
    f"POST {_API}/people": P.PEOPLE_WRITE,
    f"PUT {_API}/people/{{name}}": P.PEOPLE_WRITE,
    f"POST {_API}/people/{{name}}/leave": P.PEOPLE_WRITE,
    f"GET {_API}/owners": P.OWNERS_READ,
    f"POST {_API}/owners": P.OWNERS_WRITE,
    f"GET {_API}/campaigns": P.OWNERS_READ,
    f"POST {_API}/campaigns": P.CAMPAIGNS_WRITE,
    f"GET {_API}/campaigns/{{name}}": P.OWNERS_READ,
    f"GET {_API}/campaigns/{{name}}/owners": P.OWNERS_READ,
    f"GET {_API}/campaigns/{{name}}/lines": P.OWNERS_READ,
    f"POST {_API}/campaigns/{{name}}/answers": P.CONFIRM_WRITE,
    f"POST {_API}/campaigns/{{name}}/accept": P.CAMPAIGNS_WRITE,
    f"POST {_API}/campaigns/{{name}}/close": P.CAMPAIGNS_WRITE,
    f"POST {_API}/campaigns/{{name}}/cancel": P.CAMPAIGNS_WRITE,
    f"GET {_API}/labels": P.INVENTORY_READ,
    f"POST {_API}/labels": P.LABELS_WRITE,
    f"GET {_API}/rules": P.OWNERS_READ,
    f"PUT {_API}/rules": P.RULES_WRITE,
    f"POST {_API}/rules/trial": P.RULES_WRITE,
    f"GET {_API}/declared": P.EXPORT_READ,
    f"POST {_API}/declared": P.RULES_WRITE,
    f"GET {_API}/fallback": P.OWNERS_READ,
    f"PUT {_API}/fallback": P.TEAMS_WRITE,
    f"GET {_API}/whoami": P.ACCOUNT_READ,
    f"GET {_API}/openapi.json": P.ACCOUNT_READ,
    f"GET {_API}/session": P.ACCOUNT_READ,
    f"POST {_API}/logout": P.ACCOUNT_READ,
    f"GET {_API}/sessions": P.ACCOUNT_WRITE,
    f"DELETE {_API}/sessions": P.ACCOUNT_WRITE,
    f"PUT {_API}/password": P.ACCOUNT_WRITE,
    f"GET {_API}/tokens": P.ACCOUNT_WRITE,
    f"POST {_API}/tokens": P.ACCOUNT_WRITE,
    f"DELETE {_API}/tokens/{{token_id}}": P.ACCOUNT_WRITE,
    f"GET {_API}/audit": P.AUDIT_READ,
    f"GET {_API}/users": P.USERS_READ,
    f"PUT {_API}/users/{{name}}": P.USERS_WRITE,
    f"PATCH {_API}/users/{{name}}": P.USERS_WRITE,
    f"DELETE {_API}/users/{{name}}/sessions": P.USERS_WRITE,
    f"GET {_API}/users/{{name}}/tokens": P.USERS_READ,
    f"DELETE {_API}/users/{{name}}/tokens/{{token_id}}": P.USERS_WRITE,
}

# Reads that the audit log tells of, and as what: who took the inventory along, or looked at who may what.
SENSITIVE: dict[str, str] = {
    f"GET {_API}/export/{{list_}}": "export.read",
    f"GET {_API}/keys/{{key_id}}": "key.read",
    f"GET {_API}/users": "users.read",
    f"GET {_API}/users/{{name}}/tokens": "tokens.read",
    f"GET {_API}/audit": "audit.read",
}

OPERATIONS: dict[str, P] = {
    "token.create": P.TOKENS_CREATE,
    "token.list": P.TOKENS_READ,
    "token.revoke": P.TOKENS_CREATE,
    "agent.list": P.AGENTS_READ,
    "agent.show": P.AGENTS_READ,
    "agent.ban": P.AGENTS_BAN,
    "agent.unban": P.AGENTS_BAN,
    "agent.evict": P.AGENTS_BAN,
    "agent.rekey": P.AGENTS_BAN,
    "host.list": P.INVENTORY_READ,
    "host.retire": P.HOSTS_WRITE,
    "host.succeeds": P.HOSTS_WRITE,
    "ca.status": P.SYSTEM_READ,
    "ca.next": P.AUTHORITY_WRITE,
    "ca.drop": P.AUTHORITY_WRITE,
    "ca.activate": P.AUTHORITY_WRITE,
    "ca.retire": P.AUTHORITY_WRITE,
    "user.add": P.USERS_WRITE,
    "user.list": P.USERS_READ,
    "user.passwd": P.USERS_WRITE,
    "user.link": P.USERS_WRITE,
    "user.unlink": P.USERS_WRITE,
    "user.token": P.USERS_WRITE,
    "user.change": P.USERS_WRITE,
    "user.sign-out": P.USERS_WRITE,
    "user.tokens": P.USERS_READ,
    "user.revoke": P.USERS_WRITE,
    "audit.list": P.AUDIT_READ,
    "audit.verify": P.AUDIT_READ,
    "db.status": P.SYSTEM_READ,
    "db.backup": P.AUTHORITY_WRITE,  # everything, hashes of secrets too
    "doctor": P.SYSTEM_READ,
}


# Pages for people (web/), whose forms write through what the endpoints above call.
OPEN_PAGES: frozenset[str] = frozenset(
    {"GET /sign-in", "POST /sign-in", "GET /static/{digest}/{name}"}
)

PAGES: dict[str, P] = {
    "GET /": P.INVENTORY_READ,
    "GET /certificates": P.INVENTORY_READ,
    "GET /certificates/{sha256}": P.INVENTORY_READ,
    "GET /keys": P.INVENTORY_READ,
    "GET /keys/{key_id}": P.INVENTORY_READ,
    "GET /places": P.INVENTORY_READ,
    "GET /hosts": P.INVENTORY_READ,
    "GET /hosts/{host_id}": P.INVENTORY_READ,
    "GET /{list_}/by/{by}": P.INVENTORY_READ,
    "GET /{list_}/facets": P.INVENTORY_READ,
    "POST /{list_}/columns": P.INVENTORY_READ,
    "GET /find": P.INVENTORY_READ,
    "GET /tiles": P.VIEWS_READ,
    "POST /tiles": P.VIEWS_READ,
    "GET /history": P.INVENTORY_READ,
    "GET /changes": P.INVENTORY_READ,
    "GET /coverage": P.INVENTORY_READ,
    "GET /change": P.OWNERS_WRITE,
    "POST /change/owner": P.OWNERS_WRITE,
    "POST /change/label": P.LABELS_WRITE,
    "POST /change/mark": P.MARKS_WRITE,
    "POST /marks/{number}/lift": P.MARKS_WRITE,
    "GET /views": P.VIEWS_READ,
    "POST /views": P.VIEWS_WRITE,
    "GET /views/{name}": P.VIEWS_READ,
    "POST /views/{name}/delete": P.VIEWS_WRITE,
    "GET /teams": P.OWNERS_READ,
    "POST /teams": P.TEAMS_WRITE,
    "POST /fallback": P.TEAMS_WRITE,
    "GET /teams/{name}": P.OWNERS_READ,
    "POST /teams/{name}": P.TEAMS_WRITE,
    "POST /teams/{name}/rename": P.TEAMS_WRITE,
    "POST /teams/{name}/members": P.TEAMS_WRITE,
    "POST /teams/{name}/members/remove": P.TEAMS_WRITE,
    "GET /teams/{name}/dissolve": P.TEAMS_WRITE,
    "POST /teams/{name}/dissolve": P.TEAMS_WRITE,
    "GET /people": P.OWNERS_READ,
    "POST /people": P.PEOPLE_WRITE,
    "GET /people/{name}": P.OWNERS_READ,
    "POST /people/{name}": P.PEOPLE_WRITE,
    "GET /people/{name}/leave": P.PEOPLE_WRITE,
    "POST /people/{name}/leave": P.PEOPLE_WRITE,
    "GET /rules": P.OWNERS_READ,
    "POST /rules": P.RULES_WRITE,
    "POST /sign-out": P.INVENTORY_READ,
}


def needed(method: str, path: str) -> P | None:
    """Return the permission that an endpoint asks for; None if nobody said, which means: refuse."""
    name = f"{'GET' if method == 'HEAD' else method} {path}"
    return ENDPOINTS.get(name) or PAGES.get(name)
