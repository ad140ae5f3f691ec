"""Sections `[oidc.NAME]` of the configuration: what they mean, and every mistake in them at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keycensus_collector.config import parse
from keycensus_collector.errors import ConfigurationError
from keycensus_collector.oidc.settings import Provider, SignIn

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "collector.md"
LEAST = """
[oidc.corp]
issuer = "https://sso.example.com"
client_id = "keycensus"
default_role = "viewer"
"""


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "f")
    lines = [line.removeprefix("f: ").partition(": ") for line in str(caught.value).splitlines()]
    return {key: said for key, _, said in lines}


def test_without_a_section_nobody_signs_in_elsewhere() -> None:
    assert parse("", "f").sign_in == SignIn()


def test_the_example_of_the_documentation_is_read() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    sign_in = parse(example, "f").sign_in
    assert sign_in.url == "https://census.example.com"
    assert sign_in.providers == {
        "corp": Provider(
            "corp",
            issuer="https://sso.example.com/realms/corp",
            client_id="keycensus",
            client_secret_file=Path("/etc/keycensus/oidc-secret"),
            title="Example Corp",
            roles={"census-admins": "admin", "pki": "operator", "everybody": "viewer"},
            teams={"linux-web": ("web",), "dba": ("db", "backup")},
        )
    }


def test_every_key_is_documented_with_its_default() -> None:
    section = DOCUMENT.read_text().partition("| key of `[oidc.NAME]` |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))
    given = Provider("x")
    fields = set(Provider.__dataclass_fields__) - {"name"}
    assert set(rows) == fields
    for name in ("scopes", "algorithms", "link_people"):
        assert rows[name] == f"`{list(getattr(given, name))}`".replace("'", '"')
    for name in ("userinfo", "trust_email", "end_session"):
        assert rows[name] == f"`{str(getattr(given, name)).lower()}`"


def test_browsers_reach_it_at_the_first_public_name_unless_said_otherwise() -> None:
    names = '[names]\npublic = ["census.example.com", "192.0.2.1"]\n'
    assert parse(names + LEAST, "f").sign_in.url == "https://census.example.com:8443"
    six = '[names]\npublic = ["2001:db8::1"]\n[listen]\nweb = ":443"\n'
    assert parse(six + LEAST, "f").sign_in.url == "https://[2001:db8::1]:443"
    assert list(mistakes(LEAST)) == ["names.url"]
    for url in ("http://x", "https://x/", "https://u@x", "https://x?y", "x", 5):
        assert "names.url" in mistakes(f"[names]\nurl = {url!r}\n{LEAST}")


def test_every_mistake_is_told() -> None:
    text = """
    [names]
    url = "https://x"
    [oidc.Corp]
    issuer = "http://sso.example.com"
    client_id = ""
    client_secret = "x"
    client_secret_file = "relative"
    scopes = ["profile"]
    algorithms = ["HS256"]
    userinfo = "yes"
    user_claim = ["x"]
    groups_claim = 5
    link_people = ["phone"]
    allowed_groups = "staff"
    default_role = "king"
    sees = "some"
    title = "a\\nb"
    [oidc.Corp.roles]
    admins = "root"
    [oidc.Corp.teams]
    web = ["Web Team"]
    [oidc.b]
    issuer = "https://x"
    client_id = "x"
    [oidc.c]
    issuer = "https://x?y=z"
    client_id = "x"
    default_role = "viewer"
    algorithms = []
    """
    told = mistakes(text)
    assert told["oidc.Corp.client_secret"].startswith("there is no such key; did you mean")
    assert told["oidc.Corp.algorithms"] == told["oidc.c.algorithms"]
    assert "none" not in told["oidc.Corp.algorithms"]
    assert told["oidc.b.default_role"].startswith("nobody could sign in")
    assert told["oidc.c.link_people"].startswith("subjects in the list")
    assert set(told) == {"oidc.Corp", "oidc.c.issuer"} | {
        f"oidc.{key}"
        for key in (
            "Corp.issuer", "Corp.client_id", "Corp.client_secret", "Corp.client_secret_file",
            "Corp.scopes", "Corp.algorithms", "Corp.userinfo", "Corp.user_claim",
            "Corp.groups_claim", "Corp.link_people", "Corp.allowed_groups", "Corp.default_role",
            "Corp.sees", "Corp.title", "Corp.roles", "Corp.teams", "b.default_role",
            "c.link_people", "c.algorithms",
        )
    }  # fmt: skip


def test_what_is_no_section_is_told() -> None:
    assert mistakes('oidc = "x"') == {"oidc": "write a table [oidc.NAME] for each provider"}
    told = mistakes('[oidc]\nissuer = "https://x"')
    assert told["oidc.issuer"] == "write it as a table [oidc.issuer]"
    told = mistakes("[oidc.x]")
    assert told["oidc.x.issuer"].startswith("write it, as in")
    assert told["oidc.x.client_id"].startswith("write it, as in")
