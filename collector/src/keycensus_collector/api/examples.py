"""An example of each answer, made of its schema: real-looking values by the names of members. Pure."""

from __future__ import annotations

from typing import Any

# An answer that nests deeper than this is cut there: no real one does.
_DEPTH = 12

_SHA256 = "c45e21da5b35812a3d8bf8d1f75b7a7252f6f666cd6f8c9be36c12a74d8fa8d9"
_HOST_ID = "2275591c-ce84-4c40-af8e-19c5007a7618"
_TIME = "2026-11-23T15:15:01Z"

# By member, or by schema and member where a word means several things.
_VALUES: dict[str, Any] = {
    "Agent.id": "9d0f4c1b-5b0c-4b0e-9d83-0a4a5c7f1e2d",
    "Agent.problems": ["its clock is 95 s off"],
    "AgentCertificate.serial": "5f1c9d2c7a0e4b7d",
    "AgentDetail.id": "9d0f4c1b-5b0c-4b0e-9d83-0a4a5c7f1e2d",
    "AgentDetail.problems": ["its clock is 95 s off"],
    "AgentState.id": "9d0f4c1b-5b0c-4b0e-9d83-0a4a5c7f1e2d",
    "DeclaredBody.kinds": ["views", "teams"],
    "Host.id": _HOST_ID,
    "Host.name": "web1",
    "EnrolmentToken.created_by": "user:ada",
    "EnrolmentToken.id": "mFzQv0bqkGg",
    "EnrolmentToken.state": "open",
    "EnrolmentTokenBody.for_host": "",
    "HostState.id": _HOST_ID,
    "HostState.state": "retired",
    "LiftBody.reason": "the key was made anew",
    "MarkBody.reason": "the host was broken into on 2026-11-20",
    "MarksBody.reason": "issued by an authority that is not trusted any more",
    "Match.kind": "certificate",
    "Machine.address": "192.0.2.7",
    "Machine.boot": "3c799f2575d14f6e8a6f1b0c2d3e4f50",
    "Machine.name": "web1",
    "Machine.verdict": "fine",
    "NewEnrolmentToken.id": "mFzQv0bqkGg",
    "NewEnrolmentToken.token": "kc1.mFzQv0bqkGg.….…",
    "Place.mode": "0644",
    "Rekeyed.until": _TIME,
    "Succeeded.id": _HOST_ID,
    "SucceedsBody.old": "web1",
    "Succession.same": ["name"],
    "Shown.kind": "certificate",
    "View.name": "expiring",
    "View.query": "expires:0d..30d",
    "ViewBody.query": "expires:0d..30d issuer:R11",
    "ViewBody.columns": ["name", "not_after"],
    "ViewBody.description": "From R11, and not valid for longer than 30 days",
    "Where.kind": "certificate",
    "WhoAmI.user": "ada",
    "address": "192.0.2.7:443",
    "addresses": ["192.0.2.7"],
    "agent_version": "0.1.0",
    "algorithm": "ec",
    "architecture": "x86_64",
    "as_of": _TIME,
    "asked": _TIME,
    "at": _TIME,
    "bits": 256,
    "by": "issuer",
    "cause": "content",
    "certificates": 1,
    "chain": [_SHA256],
    "cipher": "TLS_AES_256_GCM_SHA384",
    "Key.certificates": ["www.example.com"],
    "changed": _TIME,
    "columns": ["name", "not_after"],
    "complete": True,
    "configuration": "/etc/nginx/sites-enabled/www",
    "count": 214,
    "created": _TIME,
    "curve": "secp256r1",
    "description": "Valid, and not for longer than 30 days",
    "detail": "permission denied",
    "directive": "certificate",
    "enrolled": _TIME,
    "extended_key_usage": ["serverAuth"],
    "first_seen": _TIME,
    "folded": _TIME,
    "format": "pem",
    "group": "root",
    "host": "web1",
    "host_id": _HOST_ID,
    "hosts": 1,
    "id": _SHA256,
    "issuer": "CN=R11,O=Let's Encrypt,C=US",
    "issuer_name": "R11",
    "kernel": "6.1.0-28-amd64",
    "key_id": _SHA256,
    "kinds": ["certificate"],
    "known_key": "",
    "last_seen": _TIME,
    "line": 12,
    "listen": ["0.0.0.0:443"],
    "live_places": 2,
    "mode": "0640",
    "name": "www.example.com",
    "names": ["www.example.com", "example.com"],
    "next": "WzE4MDAwMDAwMDAwMDAsICJjNDVlIl0",
    "next_update": _TIME,
    "not_after": "2027-02-20T15:14:56Z",
    "not_before": "2026-11-22T15:14:56Z",
    "operating_system": "Debian GNU/Linux 12 (bookworm)",
    "owner": "root",
    "package": "nginx",
    "package_version": "1.22.1-9",
    "path": "/etc/nginx/ssl/www.pem",
    "paths": ["/etc/nginx/ssl/www.pem"],
    "prefix": "/mnt/nfs",
    "problem": "",
    "query": 'expires:0d..30d issuer="CN=R11,O=Let\'s Encrypt,C=US"',
    "readable_by": "world",
    "reason": "",
    "renewal_reason": "",
    "renewal_schedule": "certbot.timer",
    "renewal_tool": "certbot",
    "renewed": _TIME,
    "renewed_by": "certbot",
    "role": "server",
    "saved": _TIME,
    "saved_by": "user:ada",
    "scope": "host",
    "serial": "44b6f01a90ac6c7e2c02d9fde8339f3c799f2575",
    "server_name": "www.example.com",
    "server_names": ["www.example.com"],
    "service": "nginx",
    "sha1": "24958613ab67eeefc5d4e021d7454971ebfca358",
    "sha256": _SHA256,
    "signature_algorithm": "ecdsa-with-SHA256",
    "since": _TIME,
    "size": 1_048_577,
    "start": 0,
    "state": "active",
    "status": "read",
    "step": "renewal",
    "subject": "CN=www.example.com",
    "target": "",
    "this_update": _TIME,
    "tls_version": "TLSv1.3",
    "token_id": "4e615886c856ca93",
    "total": 1,
    "total_is_exact": True,
    "unit": "nginx.service",
    "until": None,
    "use": "live",
    "value": "CN=R11,O=Let's Encrypt,C=US",
    "verdict": "served",
    "version": "0.1.0",
    "what": "certificates",
}


def example_of(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:  # noqa: ANN401 - JSON is any
    """Return a value that a schema allows. `schemas`: what it refers to; `name`: the member that has it."""
    return _example(schema, schemas, (name,), 0)


def _example(
    schema: dict[str, Any], schemas: dict[str, Any], names: tuple[str, ...], depth: int
) -> Any:  # noqa: ANN401 - JSON is any
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return _example(schemas[title] | {"title": title}, schemas, names, depth + 1)
    said = next((schema[said] for said in ("examples", "enum") if schema.get(said)), None)
    if said or "const" in schema:
        return said[0] if said else schema["const"]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        there = [choice for choice in choices if choice.get("type") != "null"]
        deep = depth > _DEPTH and len(there) < len(choices)
        return None if deep else _example(there[0], schemas, names, depth)
    found = _known(schema, names)
    return _plain(schema, schemas, depth) if found is None else found


def _plain(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:  # noqa: ANN401 - JSON is any
    type_ = schema.get("type")
    if type_ == "object":
        return _object(schema, schemas, depth)
    if type_ == "array":
        return [] if depth > _DEPTH else [_example(schema["items"], schemas, (), depth + 1)]
    if type_ in {"integer", "number"}:
        return schema.get("minimum", 0)
    return {"string": "x" * schema.get("minLength", 0), "boolean": False}.get(str(type_))


def _object(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> dict[str, Any]:
    title = schema.get("title", "")
    if "properties" not in schema:
        values = schema.get("additionalProperties")
        if not isinstance(values, dict):
            return {}
        return {"env": _example(values, schemas, (), depth + 1)}
    return {
        name: _example(inner, schemas, (f"{title}.{name}", name), depth + 1)
        for name, inner in schema["properties"].items()
    }


_TYPES: dict[str, type[Any]] = {"string": str, "integer": int, "boolean": bool, "array": list}


def _known(schema: dict[str, Any], names: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON is any
    """Return the value of the table for a member, if it is of the schema's type; else None."""
    type_ = _TYPES.get(str(schema.get("type")))
    for name in names:
        value = _VALUES.get(name)
        if value is not None and type_ is not None and type(value) is type_:
            items = schema.get("items", {}) if type_ is list else {}
            if items.get("type", "string") == "string" and "$ref" not in items:
                return value
    return None
