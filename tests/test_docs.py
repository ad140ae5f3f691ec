"""The documents are true: commands, options, configuration keys and links are what is there."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from keycensus_agent.cli import build_parser
from keycensus_agent.config_keys import KEYS
from keycensus_client.cli import keycensus as client_command
from keycensus_collector.cli import command as collector_command
from keycensus_collector.query.fields import BY_NAME, NOT_YET

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for folder in (
        CHECKOUT,
        CHECKOUT / "docs",
        CHECKOUT / "protos",
        CHECKOUT / "benchmarks",
        CHECKOUT / "packaging" / "systemd",
        CHECKOUT / "packaging" / "deb",
    )
    for path in folder.glob("*.md")
)


def read(name: str) -> str:
    return (CHECKOUT / name).read_text()


def click_words(command: click.Command, path: str = "") -> Iterator[str]:
    """Yield the path of each command below `command`, and each of its long options."""
    if path:
        yield path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            options = [*parameter.opts, *parameter.secondary_opts]
            yield from (option for option in options if option.startswith("--"))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from click_words(below, f"{path} {name}".strip())


def argparse_words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the name of each command below `parser`, and each of its long options."""
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield name
                yield from argparse_words(below)


def missing(words: Iterator[str], text: str) -> list[str]:
    return sorted({word for word in words if not re.search(rf"{re.escape(word)}(?![\w-])", text)})


def test_every_command_and_option_of_the_collector_is_documented() -> None:
    assert missing(click_words(collector_command), read("docs/collector.md")) == []


def test_every_command_and_option_of_the_client_is_documented() -> None:
    assert missing(click_words(client_command), read("docs/client.md")) == []


def test_every_command_and_option_of_the_agent_is_documented() -> None:
    assert missing(argparse_words(build_parser()), read("docs/agent.md")) == []


def test_every_configuration_key_of_the_agent_is_documented() -> None:
    page = read("docs/agent-configuration.md")
    parts = dict(re.findall(r"### `\[(\w+)\]`\n(.*?)(?=\n##|\Z)", page, re.DOTALL))
    undocumented = [
        f"[{section}] {key}"
        for section, table in KEYS.items()
        for key in table
        if f"| `{key}` |" not in parts.get(section, "")
    ]
    assert undocumented == []


def test_every_configuration_key_of_the_collector_is_documented() -> None:
    source = read("collector/src/keycensus_collector/config.py")
    keys = re.findall(r'reader\.take\(\s*"(\w+)",\s*"(\w+)"', source)
    assert len(keys) > 5
    page = read("docs/collector.md")
    assert [f"{section}.{key}" for section, key in keys if f"`{section}.{key}`" not in page] == []


def test_every_field_of_the_query_language_is_documented() -> None:
    page = read("docs/query.md")
    table = page[page.index("## Fields") : page.index("## Mistakes")]
    names = [*BY_NAME, *(f"{name}:" for name in NOT_YET)]
    shown = table.replace("label.KEY", "label")
    assert [name for name in names if f"`{name}`" not in shown] == []


def test_the_two_commands_of_the_readme_can_be_made() -> None:
    readme, makefile = read("README.md"), read("Makefile")
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            broken.append(target)
    assert broken == []


def headings(page: Path) -> set[str]:
    """Return the anchors that a page's headings give."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(\w+(?:/\w+)*\.py)::(\w+)`", read("docs/threat-model.md"))
    assert len(named) > 10
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in (CHECKOUT / "tests" / file).read_text()
    ]
    assert missing == []
