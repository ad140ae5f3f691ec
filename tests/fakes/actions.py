"""Every form of the pages as somebody sends it: on which page it stands, what is filled in, what is said of it.

Keyed by the form's route. `actions` makes what the forms change, anew for each `tag`: nothing of one tag is changed
by those of another.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fakes.browser import session_of
from fakes.bundled import BundledHost
from fakes.census import certificate
from fakes.identities import add_agent
from fakes.pki import issue
from fakes.served import Served, api_token
from fakes.showroom import Showroom
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import select
from starlette.routing import compile_path

from keycensus_collector.access.permissions import ROLES
from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store import schema

PASSWORD = "correct horse battery"
TAKEN = "The file is taken."
SHOWN_ONCE = ("A token to enrol with", "An API token")


@dataclass(frozen=True, slots=True)
class Action:
    """One form. `page`: the address where it stands; `said`: words of the page that follows it.

    `fields`: what is filled in, by the name of the control; a file as bytes. `button`: which of its buttons, as CSS;
    the first, if it is empty. `then`: the button of the page that tells what would come of it, where it is told first.
    """

    page: str
    said: str
    fields: Mapping[str, str | bytes] = field(default_factory=dict)
    button: str = ""
    then: str = ""

    @property
    def is_told(self) -> bool:
        """Whether a page on the way stands at no address, so that it is seen by who sends the form alone."""
        return bool(self.then) or self.said in {TAKEN, *SHOWN_ONCE}


class Routes:
    """The routes of an application, by method and path as rights.py has them."""

    def __init__(self, *apps: FastAPI) -> None:
        self.names = [
            f"{method} {route.path}"
            for app in apps
            for route in iter_route_contexts(app.routes)
            for method in sorted((route.methods or set()) - {"HEAD"})
        ]
        self._patterns = [
            (name, method, compile_path(path)[0])
            for name in self.names
            for method, _, path in [name.partition(" ")]
        ]

    def of(self, method: str, address: str) -> str:
        """Return the route that answers an address; it fails if there is none."""
        path = address.partition("?")[0].partition("#")[0]
        for name, of_method, pattern in self._patterns:
            if of_method == method and pattern.match(path):
                return name
        raise AssertionError((method, address))

    def pattern(self, name: str) -> re.Pattern[str]:
        """Return what addresses of a route look like."""
        return next(pattern for each, _, pattern in self._patterns if each == name)


def user_of(role: str, tag: str) -> str:
    """Return who has a role among those whom `actions` makes."""
    return f"{role}-{tag}"


def actions(served: Served, room: Showroom, tag: str, directory: Path) -> dict[str, Action]:
    """Make what is to be changed, and return each action on it."""
    with httpx.Client(
        base_url=f"{served.url}/api/v1/",
        headers={"Authorization": f"Bearer {api_token(room.census, role='admin')}"},
        verify=ssl.create_default_context(cafile=str(served.ca_file)),
    ) as rest:
        stage = _Stage(rest, room, tag)
        return stage.inventory(directory) | stage.owning() | stage.asking() | stage.running()


class _Stage:
    """Where things stand that are changed by the forms of one tag."""

    def __init__(self, rest: httpx.Client, room: Showroom, tag: str) -> None:
        self.rest, self.census, self.room, self.tag = rest, room.census, room, tag

    def do(self, method: str, path: str, **body: object) -> dict[str, str]:
        response = self.rest.request(method, path, json=body)
        assert response.is_success, (path, response.text)
        answer = response.json() if response.content else {}
        return answer if isinstance(answer, dict) else {}

    def host(self, name: str, **columns: str | bytes) -> int:
        return self.census.host(f"{name}-{self.tag}.example.com", **columns)

    def id_of(self, host_no: int) -> str:
        host = schema.host
        return str(self.census.row(select(host.c.host_id).where(host.c.host_no == host_no))[0])

    def settle(self) -> None:
        """Let owners follow."""
        with self.census.store.write() as connection:
            settle(connection, self.census.clock.now_ms())

    def inventory(self, directory: Path) -> dict[str, Action]:
        """Give a certificate to be owned, labelled and marked; files to be brought; hosts, columns, tiles, views."""
        tag = self.tag
        made = issue(f"leaf-{tag}.example.com", issuer=self.room.known["inner"], days=50)
        self.census.report(self.host("stage"), "/etc/leaf.pem", certificate(made))
        self.host("db", state="silent", machine_hash=hashlib.sha256(tag.encode()).digest())
        self.census.clock.advance(10)
        self.host("db-anew", machine_hash=hashlib.sha256(tag.encode()).digest())
        self.census.fold()
        self.settle()
        there = f"/certificates/{made.sha256.hex()}"
        self.do("POST", "marks", id=made.sha256.hex(), mark="distrusted", reason="of old")
        view = {"what": "hosts", "query": "host:db*"}
        self.do("PUT", f"views/old-{tag}", **view)
        brought = BundledHost(
            directory, f"vault-{tag}", hashlib.sha256(tag.encode()).hexdigest()[:32]
        )
        brought.put_pair(made)
        listed = f"serial,subject\n{made.certificate.serial_number:x},CN=leaf\n".encode()
        return {
            "POST /change/owner": Action(
                there,
                "It is done. Owners follow",
                {"owner": "security", "owner_reason": "they asked for it"},
                then="Give to security: 1",
            ),
            "POST /change/label": Action(
                there,
                "It is done. Rules that ask",
                {"label_key": "rack", "label_value": "7b"},
                then="Set the label rack=7b: 1",
            ),
            "POST /change/mark": Action(
                there,
                "It is done.",
                {"mark_reason": "its key was copied"},
                then="Mark as compromised: 1",
            ),
            "POST /marks/{number}/lift": Action(
                there, "The mark is lifted.", {"reason": "it was not"}
            ),
            "POST /{list_}/columns": Action("/certificates", "Serial", {"column": "serial"}),
            "POST /tiles": Action("/tiles", "The overview is arranged."),
            "POST /views": Action(
                "/views", "The view is saved.", {"name": f"new-{tag}", "query": "expires<9d"}
            ),
            "POST /views/{name}/delete": Action(f"/views/old-{tag}", "The view is deleted."),
            "POST /hosts/{host}/retire": Action(
                f"/hosts/{self.id_of(self.host('spare'))}", "The host is retired"
            ),
            "POST /hosts/{host}/succeeds": Action("/agents", "The host goes on as the earlier one"),
            "POST /imports/bundle": Action(
                "/imports", TAKEN, {"file": brought.bundle().read_bytes()}
            ),
            "POST /imports/hosts": Action(
                "/imports",
                TAKEN,
                {"file": f"name\nknown-{tag}\n".encode(), "source": f"cmdb-{tag}"},
            ),
            "POST /imports/artifacts": Action(
                "/imports", TAKEN, {"file": made.pem, "name": f"file-{tag}"}
            ),
            "POST /imports/ca-list": Action(
                "/imports",
                TAKEN,
                {
                    "file": listed,
                    "name": f"ca-{tag}",
                    "serials": "hex",
                    "issuer": self.room.known["inner"].sha256.hex(),
                },
            ),
        }

    def owning(self) -> dict[str, Action]:
        """Make teams and people of whom one thing each is changed; and the rules."""
        tag = self.tag
        for team in ("told", "named", "joined", "parted", "ended"):
            self.do("PUT", f"teams/{team}-{tag}")
        for person in ("pat", "kim", "sam"):
            self.do("PUT", f"people/{person}-{tag}")
        self.do("PUT", f"teams/parted-{tag}/members/sam-{tag}")
        rules = "".join(f"{line}\n" for line in self.rest.get("rules").json()["lines"])
        return {
            "POST /teams": Action("/teams", "The team is saved.", {"name": f"new-{tag}"}),
            "POST /fallback": Action(
                "/teams", "The fallback team is set.", {"fallback": "security"}
            ),
            "POST /teams/{name}": Action(
                f"/teams/told-{tag}", "The team is saved.", {"contact": "#told"}
            ),
            "POST /teams/{name}/rename": Action(
                f"/teams/named-{tag}", "The team has its new name.", {"new_name": f"renamed-{tag}"}
            ),
            "POST /teams/{name}/members": Action(
                f"/teams/joined-{tag}", "They are in the team now.", {"person": f"pat-{tag}"}
            ),
            "POST /teams/{name}/members/remove": Action(
                f"/teams/parted-{tag}", "They are not in the team any more."
            ),
            "POST /teams/{name}/dissolve": Action(
                f"/teams/ended-{tag}/dissolve?into=security", "The team is dissolved."
            ),
            "POST /people": Action("/people", "The person is saved.", {"name": f"lee-{tag}"}),
            "POST /people/{name}": Action(
                f"/people/pat-{tag}", "The person is saved.", {"full_name": "Pat Example"}
            ),
            "POST /people/{name}/leave": Action(
                f"/people/kim-{tag}/leave?to=security", "They have left."
            ),
            "POST /rules": Action(
                "/rules",
                "The rules are in force.",
                {"text": f"{rules}# {tag}\n"},
                then="Put in force",
            ),
        }

    def asking(self) -> dict[str, Action]:
        """Start campaigns of recertification, one for each thing that is done to one, of one host each."""
        for name in ("ask", "disputed", "closed", "cancelled", "new"):
            self.host(f"owned-{name}")
        every = f"host:owned-*-{self.tag}.example.com"
        given = {"owner": "security", "reason": "they run it"}
        self.do("POST", "owners", what="hosts", q=every, **given)
        self.settle()
        for name in ("ask", "disputed", "closed", "cancelled"):
            query = f"host:owned-{name}-{self.tag}.example.com"
            asked = {"by": "45d", "name": f"{name}-{self.tag}", "lists": ["hosts"], "q": query}
            self.do("POST", "campaigns", **asked)
        said = {"what": "hosts", "q": every, "team": "security", "remark": "they moved"}
        self.do("POST", f"campaigns/disputed-{self.tag}/answers", answer="disputed", **said)
        return {
            "POST /recertification": Action(
                "/recertification",
                "The campaign is started:",
                {"by": "30d", "name": f"new-{self.tag}", "q": "host:owned-new-*", "lists": "hosts"},
                then="Start",
            ),
            "POST /recertification/{name}": Action(
                f"/recertification/ask-{self.tag}?team=security",
                "It is said.",
                button='[name="confirm"]',
            ),
            "POST /recertification/{name}/accept": Action(
                f"/recertification/disputed-{self.tag}", "They are given.", button='[value="all"]'
            ),
            "POST /recertification/{name}/close": Action(
                f"/recertification/closed-{self.tag}", "The campaign is closed."
            ),
            "POST /recertification/{name}/cancel": Action(
                f"/recertification/cancelled-{self.tag}", "The campaign is cancelled"
            ),
        }

    def running(self) -> dict[str, Action]:
        """Make agents, users with passwords and tokens, and the own account of a user of each role."""
        tag = self.tag
        agents = {
            each: f"/agents/{add_agent(self.census, self.host(each), machines=('m',))}"
            for each in ("banned", "let-in", "evicted")
        }
        self.do("POST", agents["let-in"].removeprefix("/") + "/ban", reason="by mistake")
        cloned = add_agent(self.census, self.host("twin"), state="cloned", machines=("a", "b"))
        add_agent(self.census, self.host("copies"), state="cloned", machines=("a", "b"))
        self.do("POST", "enrolment-tokens", minutes=30)
        self.do("PUT", f"users/target-{tag}", role="viewer")
        for role in ROLES:
            self.do("PUT", f"users/{user_of(role, tag)}", role=role)
            # Who is in a team of their own answers for it.
            self.do("PUT", f"people/{user_of(role, tag)}")
            self.do("PUT", f"teams/security/members/{user_of(role, tag)}")
            self.do("POST", f"users/{user_of(role, tag)}/password", new=PASSWORD)
            session_of(self.census, user_of(role, tag), role)
        with self.census.store.write() as connection:
            for name in (f"target-{tag}", *(user_of(role, tag) for role in ROLES)):
                now_ms = self.census.clock.now_ms()
                create_api_token(
                    connection, user_name=name, name="nightly", now_ms=now_ms, actor="user:ada"
                )
        target, again = f"/users/target-{tag}", {"new": PASSWORD, "repeated": PASSWORD}
        return {
            "POST /agents/{agent}/ban": Action(agents["banned"], "The host is shut out"),
            "POST /agents/{agent}/unban": Action(agents["let-in"], "The host is let in again."),
            "POST /agents/{agent}/evict": Action(agents["evicted"], "The identity has ended."),
            "POST /agents/{agent}/rekey": Action(
                f"/agents/{cloned}", "The shared identity has ended."
            ),
            "POST /clones": Action(
                f"/clones?q=host:copies-{tag}*", "The shared identities have ended"
            ),
            "POST /enrolment": Action("/enrolment", SHOWN_ONCE[0]),
            "POST /enrolment/{token_id}/revoke": Action("/enrolment", "The token is revoked."),
            "POST /users": Action("/users", "The user is added.", {"name": f"new-{tag}"}),
            "POST /users/{name}": Action(target, "The user is changed.", {"role": "owner"}),
            "POST /users/{name}/password": Action(target, "The password is set", again),
            "POST /users/{name}/sign-out": Action(target, "The user is signed out everywhere."),
            "POST /users/{name}/tokens/{token_id}/revoke": Action(target, "The token is revoked."),
            "POST /account/sessions/{session_id}/end": Action(
                "/account", "You are signed out there."
            ),
            "POST /account/tokens/{token_id}/revoke": Action("/account", "The token is revoked."),
            "POST /account/tokens": Action("/account", SHOWN_ONCE[1], {"name": "for a script"}),
            "POST /account/password": Action(
                "/account", "The password is changed.", {"old": PASSWORD, **again}
            ),
            "POST /sign-out": Action("/", "Password"),
        }
