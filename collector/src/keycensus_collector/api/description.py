"""The OpenAPI 3.1 description: what FastAPI knows of the routes, with every error and an example of everything.

Which errors an operation can have follows from what it takes, so a new route has them by itself.
"""

from __future__ import annotations

import copy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from keycensus_collector.api.examples import example_of

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What happened, to which thing, and what to do (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "A stable word for scripts, as `#query`."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "mistakes": {
            "type": "array",
            "description": "`#usage`: each wrong parameter or member.",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "message": {"type": "string"}},
                "required": ["parameter", "message"],
            },
        },
        "position": {"type": "integer", "description": "`#query`: where, in characters."},
        "length": {"type": "integer", "description": "`#query`: how many characters."},
        "pointer": {
            "type": "array",
            "description": "`#query`: two lines for a terminal.",
            "items": {"type": "string"},
        },
        "retry_after": {"type": "integer", "description": "`#too-many-attempts`: seconds."},
        "reason": {"type": "string", "description": "`#sign-in`: a stable word for why."},
        "candidates": {
            "type": "array",
            "description": "`#ambiguous`: what the ID fits.",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("kind", "id", "name")},
                "required": ["kind", "id", "name"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_EXAMPLES: dict[int, tuple[str, dict[str, Any]]] = {
    400: (
        "usage",
        {
            "detail": "limit: Input should be less than or equal to 1000",
            "mistakes": [
                {"parameter": "limit", "message": "Input should be less than or equal to 1000"}
            ],
        },
    ),
    401: (
        "unauthenticated",
        {"detail": "the API token is not known: make one with keycensus-collector user token"},
    ),
    403: (
        "forbidden",
        {"detail": "a viewer may not save or delete views; operators and admins may"},
    ),
    404: (
        "not-found",
        {
            "detail": "'web9' is not in the inventory: check the spelling, or whether its host reports here"
        },
    ),
    409: (
        "ambiguous",
        {
            "detail": "2 things fit 'web1': ask for one of the candidates by its full id",
            "candidates": [
                {"kind": "host", "id": "2275591c-ce84-4c40-af8e-19c5007a7618", "name": "web1"},
                {"kind": "host", "id": "9d0f4c1b-5b0c-4b0e-9d83-0a4a5c7f1e2d", "name": "web1"},
            ],
        },
    ),
    412: (
        "changed",
        {"detail": "it was changed or removed since it was read: read it again, and decide anew"},
    ),
    413: (
        "too-large",
        {"detail": "the body of this request may have 1,048,576 bytes: send it in parts"},
    ),
    415: ("media-type", {"detail": "send the body as application/json, not as text/plain"}),
    429: (
        "too-many-attempts",
        {"detail": "too many attempts: try again in 16 s", "retry_after": 16},
    ),
    500: ("internal", {"detail": "the collector made a mistake: its log has the details"}),
    502: (
        "sign-in",
        {
            "detail": "the provider at sso.example.com can't be asked: it took longer than 10 s",
            "reason": "provider-down",
        },
    ),
    503: ("store", {"detail": "the collector's database can't be used now: its log says why"}),
}
_QUERY_EXAMPLE = {
    "type": "#query",
    "title": "Bad Request",
    "status": 400,
    "detail": "there is no field expirs; did you mean expires?",
    "position": 0,
    "length": 6,
    "pointer": ["expirs<30d", "^^^^^^"],
}
# Of what leads to a provider of OpenID Connect and back, by how the path ends.
_AT_PROVIDERS = {"start": [502], "end": [502], "callback": [403, 429, 502]}
_METHODS = ("get", "put", "post", "patch", "delete")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application's routes; its own one must not be changed."""
    description = copy.deepcopy(app.openapi())
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    for path, item in description["paths"].items():
        for method in _METHODS:
            if method in item:
                _complete(item[method], method, path, schemas)
    return description


def _complete(operation: dict[str, Any], method: str, path: str, schemas: dict[str, Any]) -> None:
    """Add errors, tags and examples to one operation."""
    responses = operation["responses"]
    responses.pop("422", None)
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and "example" not in parameter:
            parameter["example"] = example_of(parameter["schema"], schemas, parameter["name"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content.setdefault("example", example_of(content.get("schema", {}), schemas))
    for status, response in responses.items():
        for type_, content in response.get("content", {}).items():
            if type_ == "application/json" and "example" not in content:
                content["example"] = example_of(content.get("schema", {}), schemas)
        if (
            method == "get"
            and status == "200"
            and "application/json" in response.get("content", {})
        ):
            response["headers"] = {
                "ETag": _header("Of what is answered; send it as If-None-Match.")
            }
    if method == "get" and "headers" in responses.get("200", {}):
        responses["304"] = {"description": "What `If-None-Match` names is still so."}
    for status in _errors(operation, method, path, schemas):
        responses[str(status)] = _error(status)


# What is one thing, and was perhaps never made.
_MAY_BE_MISSING = "/rules"


def _errors(
    operation: dict[str, Any], method: str, path: str, schemas: dict[str, Any]
) -> list[int]:
    """Return the errors that an operation can have, by what it takes."""
    names = {parameter["name"] for parameter in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
        names |= set(body.get("properties", {}))
    statuses = [500, 503]
    if names or "requestBody" in operation:
        statuses.append(400)
    if operation.get("security"):
        statuses += [401, 403]
    if "{" in path or not names.isdisjoint({"id", "for_host"}):
        statuses.append(404)
    if method == "get" and path.endswith(_MAY_BE_MISSING):
        statuses.append(404)
    if "id" in names or method != "get":
        statuses.append(409)
    if not names.isdisjoint({"password", "old", "verifier"}):
        statuses += [401, 429]
    statuses += _AT_PROVIDERS.get(path.rpartition("/")[2], [])
    if "If-Match" in names:
        statuses.append(412)
    if "requestBody" in operation:
        statuses += [413, 415]
    return sorted(set(statuses))


def _error(status: int) -> dict[str, Any]:
    type_, members = _EXAMPLES[status]
    phrase = HTTPStatus(status).phrase
    problem = {"type": f"#{type_}", "title": phrase, "status": status, **members}
    examples = {type_: {"value": problem}}
    if status == HTTPStatus.BAD_REQUEST:
        examples["query"] = {"value": _QUERY_EXAMPLE}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        slow = {"type": "#too-slow", "detail": "finding the answer took too long, and was ended"}
        examples["too-slow"] = {"value": problem | slow}
    return {
        "description": phrase,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": examples,
            }
        },
    }


def _header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}
