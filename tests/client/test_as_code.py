"""`export` and `apply`: what is set at the collector, kept in git, against the real application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes.census import Census
from fakes.served import Served, api_token

from keycensus_client.cli import keycensus
from keycensus_client.errors import UsageError

Run = Callable[..., Result]

VIEWS = """\
views:
  # comments are people's
  prod-expiring:
    list: certificates
    query:   expires<30d   label.env:prod
    description: Wakes somebody
    columns: [name, not_after]
  year:
    list: certificates
    query: expires:2027
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("served")
    census = Census.create(directory)
    served = Served(census, directory, api_token(census, role="operator"))
    yield served
    served.close()


@pytest.fixture
def run(served: Served) -> Run:
    def run(*arguments: str | Path) -> Result:
        environment = {
            "KEYCENSUS_URL": served.url,
            "KEYCENSUS_TOKEN_FILE": str(served.token_file),
            "KEYCENSUS_CA_FILE": str(served.ca_file),
        }
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(keycensus, words, env=environment)

    return run


def test_files_are_applied_once_and_exported_as_they_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "views.yaml").write_text(VIEWS)
    shown = run("apply", tmp_path, "--diff")
    assert shown.exit_code == 1
    assert "+ views prod-expiring" in shown.output
    assert "    + query: expires<30d label.env:prod" in shown.output
    assert "2 to create" in shown.output
    assert run("apply", tmp_path, "--diff").output == shown.output  # nothing was done
    assert run("apply", tmp_path).output.endswith("2 to create\ndone\n")
    for again in (run("apply", tmp_path), run("apply", tmp_path, "--diff")):
        assert (again.exit_code, again.output) == (0, "nothing to do\n")

    out = tmp_path / "new" / "out"
    assert "2 views, written" in run("export", out).output
    written = (out / "views.yaml").read_text()
    assert "query: expires<30d label.env:prod\n" in written
    assert "query: expires:2027\n" in written
    assert "2 views, unchanged" in run("export", out).output
    assert run("apply", out).output == "nothing to do\n"

    (out / "views.yaml").write_text(written.replace("Wakes somebody", "Wakes nobody"))
    changed = run("apply", out)
    assert "~ views prod-expiring\n    - description: Wakes somebody\n" in changed.output
    assert "query" not in changed.output


def test_nothing_is_deleted_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    run("views", "save", "lonely", "-q", "state:silent", "--list", "hosts")
    (tmp_path / "views.yaml").write_text("views: {}\n")
    kept = run("apply", tmp_path)
    assert "= views lonely: in no file; --prune deletes it" in kept.output
    assert run("views", "show", "lonely").exit_code == 0
    shown = run("apply", tmp_path, "--prune", "--diff")
    assert "- views lonely" in shown.output
    assert run("views", "show", "lonely").exit_code == 0
    assert run("apply", tmp_path, "--prune").exit_code == 0
    assert run("views", "show", "lonely").exit_code != 0
    assert "0 views" in run("export", tmp_path).output


MISTAKEN = """\
views:
  Bad Name:
    list: hosts
    query: state:silent
  wrong:
    list: host
    query: state:silent
    colour: red
  wrong:
    list: hosts
    query: ''
  typo:
    list: hosts
    query: statte:silent
  expiring:
    list: certificates
    query: expires<1d
    columns: name
  flat: text
"""


def test_all_mistakes_are_told_at_once_with_their_lines_and_nothing_is_done(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "views.yaml").write_text(MISTAKEN)
    done = run("apply", tmp_path)
    assert isinstance(done.exception, UsageError)
    text = str(done.exception)
    assert text.count("views.yaml:") == 8, text
    assert "8 mistakes in" in text
    for said in (
        "views.yaml:3: Bad Name: 'Bad Name' can't name a view",
        "views.yaml:6: list is one of certificates, keys, places, hosts, and not 'host'",
        "views.yaml:8: there is no 'colour' here, but list, query, description, columns",
        "views.yaml:9: wrong stands twice, also in line 6",
        "views.yaml:13: typo: there is no field statte; did you mean state",
        "views.yaml:16: expiring: expiring comes with the program",
        "views.yaml:18: columns is a list of texts",
        "views.yaml:19: flat has members",
    ):
        assert said in text, (said, text)
    assert "typo" not in run("views", "list").output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"views: [", "views.yaml:1: it is no YAML"),
        (b"\xff", "views.yaml:1: it is not UTF-8"),
        (b"a: &a 1\nb: *a\n", "views.yaml:2: anchors and aliases"),
        (b"[" * 50_000, "nested too deep"),
        (b"- 1\n", "views.yaml:1: it holds views: and nothing besides"),
        (b"views: {}\nteams: {}\n", "it holds views: and nothing besides"),
        (b"views: !!python/object/apply:os.system [x]\n", "stand by their names"),
        (b"x: \x1b[31m\n", "it is no YAML"),
        (b"#" * 5_000_000, "more than"),
    ],
)
def test_what_is_no_such_file_is_refused_and_runs_nothing(
    run: Run, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "views.yaml").write_bytes(content)
    done = run("apply", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert "\x1b" not in str(done.exception)


def test_a_directory_without_files_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    done = run("apply", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert "keycensus export writes one" in str(done.exception)
    (tmp_path / "views.yaml").mkdir()
    assert isinstance(run("export", tmp_path).exception, UsageError)
