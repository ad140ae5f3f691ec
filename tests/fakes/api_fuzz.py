"""The REST interface held against its own description by schemathesis, over a real store with data.

Each operation is asked with what its schema allows and with what it does not; every answer must be one
that the description has. `python -m fakes.api_fuzz --examples 200` is the long form (`make api-fuzz`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.identities import add_agent
from fakes.pki import issue
from fakes.served import api_token
from schemathesis import Case, CheckContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from keycensus_collector.api.app import create_app

HOSTILE = "\x1b]0;x\x07<img src=x onerror=alert(1)>\u202e=cmd()"
# What a JSON schema can't say of a value, and the collector does.
_GRAMMARS = (
    "the cursor",
    "can't be grouped by",
    " have no '",
    "comes with the program",
    "can't name a view",
    "as_of stands beside",
    "is no duration",
    "this is no bundle",
    "is no date or age",
    "is not before",
    "two dates of its own",
    "send the file as the body",
    "can't name a person or team",
    "is a person",
    "is a team's name",
    "there is no team",
    "there is a team",
    "has left",
    "was dissolved",
    "is no e-mail address",
    "either id, or ids, or what and q",
    "say which mark is set",
    "are marked",
    "a mark needs a reason",
    "say which ",
    "say why in",
    "has no owner",
    "the rules were not taken",
    "the list was not taken",
    "this is no CSV",
    "this is no JSON",
    "a list of people is",
    "people would leave",
    "holds something",
    "is an admin's user",
    "can't name a label",
    "a label's value",
    "has no labels",
    "labels stand on",
    "this is no YAML",
    "aliases are not taken",
    "nothing was taken",
    "the list ",
    "a source has a name",
    "by takes a date",
    "the date has to lie ahead",
    "nobody holds anything",
    "can't name a campaign",
    "you are in no team",
    "leave as-of out",
    "is named for what is disputed",
    "of these can't be",
    "a token for one host",
)


@schemathesis.check
def what_the_schema_allows_is_accepted(
    _: CheckContext, response: Response, case: Case[Any]
) -> None:
    """As the check of schemathesis, but for values that have a grammar of their own."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 400:
        return
    problem = response.json()
    if problem["type"] != "#query" and not any(word in problem["detail"] for word in _GRAMMARS):
        raise AssertionError(problem["detail"])


def fill(directory: Path) -> Census:
    """Return a census with something of everything."""
    census = Census.create(directory)
    root = issue("Example Root", is_ca=True, days=3650)
    www = issue("www.example.com", issuer=root, sans=("www.example.com",), days=20)
    host = census.host("web1")
    census.report(host, "/etc/www.pem", certificate(www), private_key(www.key), mode=0o644)
    census.report(host, "/etc/evil.pem", certificate(issue(HOSTILE, days=50)))
    census.report(host, "/etc/box.p12", sealed_key(b"box"), status="locked")
    census.gap(host, "/mnt/nfs")
    census.fold()
    add_agent(census, host)
    return census


def fuzz(census: Census, *, examples: int, whole: bool) -> tuple[int, Counter[str]]:
    """Return how many requests were made, and each failure with how often it came.

    `whole`: also what schemathesis enumerates of each schema, and sequences of operations.
    """
    token = api_token(census, role="admin")
    headers = {"Authorization": f"Bearer {token}"}
    phases = ("coverage", "stateful")
    config = SchemathesisConfig.from_dict(
        {
            "headers": headers,
            "continue-on-failure": True,
            "warnings": False,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "phases": {phase: {"enabled": whole} for phase in phases},
        }
    )
    schema = schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json",
        create_app(census.store, census.clock),
        config=config,
        headers=headers,
    )
    requests, failures = 0, Counter[str]()
    for event in from_schema(schema).execute():
        if isinstance(event, FatalError):
            raise event.exception
        if isinstance(event, NonFatalError):
            failures[f"{event.label}: {event.info.title}"] += 1
        if isinstance(event, ScenarioFinished):
            requests += len(event.recorder.cases)
            for case, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        sent = event.recorder.cases[case].value.as_curl_command()
                        said = check.failure_info.failure
                        failures[f"{check.name}: {said.title} {said.message}\n{sent}"] += 1
    return requests, failures


def main() -> int:
    """Fuzz as long as was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=200)
    with tempfile.TemporaryDirectory() as directory:
        census = fill(Path(directory))
        requests, failures = fuzz(census, examples=parser.parse_args().examples, whole=True)
        census.store.close()
    for failure, times in failures.most_common():
        print(f"{times} times: {failure}\n")
    print(f"{requests:,} requests, {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
