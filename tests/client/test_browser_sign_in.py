"""`keycensus login --sso` as a process, with a browser that goes to a real provider and comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fakes.census import Census
from fakes.oidc_provider import OidcProvider
from fakes.served import Served
from fakes.signing_in import person, provider_beside

from keycensus_client.browser_sign_in import code_from_browser
from keycensus_client.errors import UnauthorisedError

# Follows every link, as browsers do, and trusts the two authorities.
BROWSER = """
import ssl, sys, httpx
trust = ssl.create_default_context(cafile=sys.argv[1])
with httpx.Client(verify=trust, follow_redirects=True, trust_env=False) as browser:
    print(browser.get(sys.argv[2]).text)
"""


@dataclass
class Site:
    served: Served
    provider: OidcProvider
    browser: str

    def login(self, *arguments: str) -> tuple[int, str]:
        done = self.served.run(
            "login", self.served.url, "--ca-file", str(self.served.ca_file), "--sso", *arguments,
            BROWSER=self.browser,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    with provider_beside(census, directory) as (provider, settings):
        served = Served(census, directory, "", {"corp": settings, "other": settings})
        trusted, script = directory / "trusted.pem", directory / "browser.py"
        trusted.write_bytes(served.ca_file.read_bytes() + provider.ca_file.read_bytes())
        script.write_text(BROWSER)
        yield Site(served, provider, f"{sys.executable} {script} {trusted} %s &")
        served.close()


def test_a_browser_gets_the_command_a_token(site: Site) -> None:
    site.provider.person = person("anna")
    status, said = site.login("--provider", "corp", "--days", "3")
    assert status == 0, said
    assert f"logged in to {site.served.url} as anna (viewer)" in said
    assert "/api/v1/oidc/corp/start?command=" in said
    assert "kcu_" not in said
    listed = site.served.run("tokens", "list")
    assert "login on" in listed.stdout, listed.stderr


def test_a_refusal_ends_it_with_the_reason(site: Site) -> None:
    site.provider.person = person("eve", "strangers")
    status, said = site.login("--provider", "corp")
    assert status == 3
    assert "the sign-in was refused: eve is in no group that has a role" in said


def test_which_provider_is_asked_if_there_are_several(site: Site) -> None:
    for arguments in ((), ("--provider", "none")):
        status, said = site.login(*arguments)
        assert (status, "--provider NAME; there is: corp, other" in said) == (2, True)
    status, said = site.login("--user", "anna")
    assert (status, "leave --user" in said) == (2, True)
    done = site.served.run("login", site.served.url, "--provider", "corp")
    assert (done.returncode, "goes with --sso" in done.stderr) == (2, True)


def test_nobody_who_comes_is_waited_for_no_longer_than_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    with pytest.raises(UnauthorisedError, match="nobody signed in within"):
        code_from_browser("https://census.example/start", say=lambda _: None, seconds=0.1)


def test_only_a_code_at_the_right_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program of this machine may ask the port for anything."""
    seen: list[int] = []

    def browser(link: str) -> bool:
        port = httpx.URL(link).params["command"].partition(".")[0]
        for path in (
            "/favicon.ico",
            "/?code=",
            "/?x=1",
            f"/?code={'x' * 201}",
            "/x?code=1",
            "/?code=c",
        ):
            with httpx.Client(trust_env=False) as client:
                seen.append(client.get(f"http://127.0.0.1:{port}{path}").status_code)
        return True

    monkeypatch.setattr("webbrowser.open", browser)
    code = code_from_browser("https://census.example/start", say=lambda _: None, seconds=30)
    assert (code.code, len(code.verifier)) == ("c", 43)
    assert repr(code) == "Code()"
    assert seen[:5] == [404] * 5
