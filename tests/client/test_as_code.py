"""`export` and `apply`: what is set at the collector, kept in git, against the real application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes.census import Census, certificate
from fakes.pki import issue
from fakes.served import Served, api_token

from keycensus_client.as_code.directory import read_directory
from keycensus_client.as_code.plan import plan
from keycensus_client.cli import keycensus
from keycensus_client.errors import ChangedError, UsageError

Run = Callable[..., Result]

CERTIFICATE = issue("shop.example.com")
SHA256 = certificate(CERTIFICATE).artifact.hex()

FILES = {
    "keycensus.yaml": """\
version: 1
kinds: [views, teams, people, rules, labels]
fallback: ops
""",
    "views/prod-expiring.yaml": """\
# comments are people's
list: certificates
query:   expires<30d   label.env:prod
description: Wakes somebody
columns: [name, not_after]
""",
    "teams/ops.yaml": "contact: ops@example.com\nmembers: [ada, bob]\n",
    "teams/web.yaml": "description: C:\\web\nmembers:\n- bob\n",
    "teams/old.yaml": "status: dissolved\n",
    "people/ada.yaml": "full_name: Ada\nemail: Ada@Example.com\nuser: ada\n",
    "people/bob.yaml": "{}\n",
    "people/cid.yaml": "full_name: Cid\nstatus: left\n",
    "rules.yaml": """\
# whose is what
owners:
  - rule: web            # by name
    of: hosts
    host: "web*"
    owner: web
  - {rule: bobs, of: places, path: /home/bob, owner: bob}
trust: [datacenter]
""",
    "labels/hosts/web1.yaml": "host: web1\nlabels: {env: prod}\n",
    f"labels/certificates/{SHA256}.yaml": f"certificate: {SHA256}\nlabels:\n  app: shop\n",
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve what no test changes."""
    served = _serve(tmp_path_factory.mktemp("untouched"))
    yield served
    served.close()


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = _serve(tmp_path_factory.mktemp("served"))
    yield served
    served.close()


def _serve(directory: Path) -> Served:
    census = Census.create(directory)
    census.report(census.host("web1"), "/etc/shop.pem", certificate(CERTIFICATE))
    census.host("twin")
    census.host("twin")
    census.fold()
    return Served(census, directory, api_token(census, role="operator"))


def runner(served: Served) -> Run:
    def run(*arguments: str | Path) -> Result:
        environment = {
            "KEYCENSUS_URL": served.url,
            "KEYCENSUS_TOKEN_FILE": str(served.token_file),
            "KEYCENSUS_CA_FILE": str(served.ca_file),
        }
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(keycensus, words, env=environment)

    return run


@pytest.fixture
def run(served: Served) -> Run:
    return runner(served)


def put(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return directory


def contents(directory: Path) -> dict[str, str]:
    files = [file for file in directory.rglob("*") if file.is_file()]
    return {str(file.relative_to(directory)): file.read_text() for file in files}


def test_files_are_applied_once_and_exported_as_they_are(run: Run, tmp_path: Path) -> None:
    there = put(tmp_path / "git", FILES)
    shown = run("apply", there, "--diff")
    assert shown.exit_code == 1, shown.output
    for line in (
        "+ views/prod-expiring",
        "    + query: expires<30d label.env:prod",
        "+ teams/ops",
        "    + members: [ada, bob]",
        "    + email: ada@example.com",
        "+ fallback",
        "    +  - {rule: bobs, of: places, path: /home/bob, owner: bob}".replace("+  -", "+  -"),
        "+ labels/hosts/web1",
        "    + labels: {env: prod}",
        "11 to create",
    ):
        assert line in shown.output, (line, shown.output)
    assert run("apply", there, "--diff").output == shown.output  # nothing was done
    assert run("apply", there).output.endswith("11 to create\ndone\n")
    for again in (
        run("apply", there),
        run("apply", there, "--diff"),
        run("apply", there, "--prune"),
    ):
        assert (again.exit_code, again.output) == (0, "nothing to do\n")

    out = tmp_path / "new" / "out"
    assert "11 files, 11 written" in run("export", out).output
    written = contents(out)
    assert set(written) == set(FILES)
    assert written["rules.yaml"] == FILES["rules.yaml"]
    assert written["keycensus.yaml"].startswith("version: 1\n")
    assert "query: expires<30d label.env:prod\n" in written["views/prod-expiring.yaml"]
    assert written[f"labels/certificates/{SHA256}.yaml"].startswith("# shop.example.com\n")
    assert "11 files, 0 written" in run("export", out).output
    assert run("apply", out).output == "nothing to do\n"

    # What says the same stays as people wrote it.
    assert "11 files, 3 written" in run("export", there).output
    assert contents(there)["teams/ops.yaml"] == FILES["teams/ops.yaml"]


def test_an_export_applied_elsewhere_is_exported_alike(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run("apply", put(tmp_path / "git", FILES))
    run("export", tmp_path / "first")
    other = _serve(tmp_path_factory.mktemp("other"))
    try:
        assert runner(other)("apply", tmp_path / "first").exit_code == 0
        runner(other)("export", tmp_path / "second")
    finally:
        other.close()
    assert contents(tmp_path / "second") == contents(tmp_path / "first")


def test_nothing_is_deleted_unless_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    run("apply", put(tmp_path, FILES))
    run("owners", "set", "web", "web1", "--reason", "theirs")
    for gone in ("views/prod-expiring", "teams/web", "people/ada", "labels/hosts/web1"):
        (tmp_path / f"{gone}.yaml").unlink()
    (tmp_path / "teams/ops.yaml").write_text("contact: ops@example.com\nmembers: [bob]\n")
    (tmp_path / "rules.yaml").write_text("trust: [datacenter]\n")
    kept = run("apply", tmp_path)
    for name in ("views/prod-expiring", "teams/web", "people/ada", "labels/hosts/web1"):
        assert f"= {name}: in no file; --prune deletes it" in kept.output
    assert "to delete" not in kept.output
    assert run("apply", tmp_path, "--diff").output.endswith("nothing to do\n")

    shown = run("apply", tmp_path, "--prune", "--diff")
    assert "- teams/web" in shown.output
    assert "! team web is dissolved: 1 host(s) given by hand goes to ops" in shown.output
    assert "! ada leaves: user ada ends, with 1 tokens" in shown.output
    assert "4 to delete" in shown.output
    assert "web" in run("owners", "teams").output


def test_files_of_what_is_gone_are_deleted_only_with_prune(run: Run, tmp_path: Path) -> None:
    run("apply", put(tmp_path, FILES))
    run("views", "delete", "prod-expiring")
    (tmp_path / "views" / "NOTES.txt").write_text("people's own")
    told = run("export", tmp_path).output
    assert "prod-expiring.yaml: of nothing that is there; --prune deletes it" in told
    assert (tmp_path / "views/prod-expiring.yaml").exists()
    assert "prod-expiring.yaml: deleted" in run("export", tmp_path, "--prune").output
    assert [file.name for file in (tmp_path / "views").iterdir()] == ["NOTES.txt"]


def test_of_kinds_that_a_directory_does_not_name_nothing_is_touched(
    run: Run, tmp_path: Path
) -> None:
    run("apply", put(tmp_path / "all", FILES))
    only = put(tmp_path / "views", {"keycensus.yaml": "version: 1\nkinds: [views]\n"})
    shown = run("apply", only, "--prune", "--diff").output
    assert shown.startswith("- views/prod-expiring\n")
    assert shown.endswith("\n1 to delete\n")
    (only / "people").mkdir()
    done = run("apply", only)
    assert "people is there, but people is not among the kinds" in str(done.exception)


def test_neither_the_last_admin_nor_the_fallback_team_goes(
    run: Run, served: Served, tmp_path: Path
) -> None:
    run("apply", put(tmp_path, FILES))
    (tmp_path / "teams/ops.yaml").unlink()
    (tmp_path / "keycensus.yaml").write_text(FILES["keycensus.yaml"].replace("fallback: ops\n", ""))
    refused = run("apply", tmp_path, "--prune")
    assert "ops is the fallback team and can't go" in str(refused.exception)
    (tmp_path / "keycensus.yaml").write_text(FILES["keycensus.yaml"].replace("ops", "''"))
    refused = run("apply", tmp_path)
    assert "no fallback team would be left" in str(refused.exception)
    put(tmp_path, {name: FILES[name] for name in ("teams/ops.yaml", "keycensus.yaml")})

    served.token_file.write_text(api_token(served.census, role="operator"))
    with served.census.store.write() as connection:
        connection.exec_driver_sql("UPDATE \"user\" SET role = 'admin'")
    put(tmp_path, {"people/ada.yaml": "user: ada\nstatus: left\n"})
    put(tmp_path, {"teams/ops.yaml": "members: [bob]\n"})
    refused = run("apply", tmp_path)
    assert "people/ada.yaml:1: no admin would be left" in str(refused.exception)
    assert run("people", "list").output.count("left") == 1  # cid


def test_what_was_changed_meanwhile_is_not_written_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = put(tmp_path, FILES)

    def meanwhile(*arguments: Any) -> Any:  # noqa: ANN401 - as the function it stands before
        run("views", "save", "other", "-q", "state:silent", "--list", "hosts")
        return plan(*arguments)

    monkeypatch.setattr("keycensus_client.commands.apply.plan", meanwhile)
    done = run("apply", there)
    assert isinstance(done.exception, ChangedError)
    assert "nothing was done" in str(done.exception)
    monkeypatch.undo()
    assert "teams/web" not in run("owners", "teams").output
    assert run("apply", there).output.endswith("done\n")


MISTAKEN = {
    "keycensus.yaml": "version: 2\nkinds: [views, teams, people, labels, rules, users]\n",
    "views/wrong.yaml": "list: host\nquery: state:silent\ncolour: red\nlist: hosts\n",
    "views/flat.yaml": "text\n",
    "views/columns.yaml": "list: hosts\nquery: ''\ncolumns: name\n",
    "teams/web.yaml": "status: gone\n",
    "labels/hosts/a.yaml": "host: a\nlabels: {}\n",
    "labels/hosts/b.yaml": "host: a\nlabels: {x: y}\n",
}

REFUSED = {
    "keycensus.yaml": "version: 1\nkinds: [views, teams, people, labels, rules]\nfallback: none\n",
    "views/Bad Name.yaml": "list: hosts\nquery: state:silent\n",
    "views/typo.yaml": "list: hosts\n\nquery: statte:silent\n",
    "views/expiring.yaml": "list: certificates\nquery: expires<1d\n",
    "teams/web.yaml": "members:\n- bob\n- nobody\n",
    "people/bob.yaml": "full_name: Bob\nemail: bob\n",
    "rules.yaml": "owners:\n  - {rule: a, of: hosts, host: x, owner: nobody}\n  - {rule: b}\n",
    "labels/hosts/web1.yaml": "host: web1\nlabels: {Env: prod}\n",
}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            MISTAKEN,
            (
                "keycensus.yaml:1: version is one of 1, and not '2'",
                "keycensus.yaml:2: kinds are views, teams, people, rules, labels, and not 'users'",
                "views/wrong.yaml:1: list is one of certificates, keys, places, hosts, gaps, and not 'host'",
                "views/wrong.yaml:3: there is no 'colour' here, but list, query, description, columns",
                "views/wrong.yaml:4: list stands twice, also in line 1",
                "views/flat.yaml:1: it holds members",
                "views/columns.yaml:3: columns is a list of texts",
                "teams/web.yaml:1: status is one of active, dissolved, and not 'gone'",
                "labels/hosts/a.yaml:2: labels are texts by name",
                "labels/hosts/b.yaml:1: a has its labels in a.yaml already",
            ),
        ),
        (
            REFUSED,
            (
                "keycensus.yaml:3: there is no team 'none'",
                "views/Bad Name.yaml:2: 'Bad Name' can't name a view",
                "views/typo.yaml:3: there is no field statte; did you mean state",
                "views/expiring.yaml:2: expiring comes with the program",
                "teams/web.yaml:3: there is no person 'nobody'",
                "people/bob.yaml:2: 'bob' is no e-mail address",
                "rules.yaml:3: a rule needs of",
                "labels/hosts/web1.yaml:2: 'Env' can't name a label",
            ),
        ),
    ],
)
def test_all_mistakes_are_told_at_once_with_their_lines_and_nothing_is_done(
    untouched: Served, tmp_path: Path, files: dict[str, str], said: tuple[str, ...]
) -> None:
    run = runner(untouched)
    done = run("apply", put(tmp_path, files))
    assert isinstance(done.exception, UsageError)
    text = str(done.exception)
    for each in said:
        assert each in text, (each, text)
    assert "nothing was changed" in text
    assert run("owners", "teams").output.count("\n") <= 1
    assert "typo" not in run("views", "list").output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"list: [", "views/a.yaml:1: it is no YAML"),
        (b"\xff", "views/a.yaml:1: it is not UTF-8"),
        (b"a: &a 1\nb: *a\n", "views/a.yaml:2: anchors and aliases"),
        (b"[" * 50_000, "nested too deep"),
        (b"- 1\n", "views/a.yaml:1: it holds members"),
        (b"list: !!python/object/apply:os.system [x]\n", "list is text"),
        (b"x: \x1b[31m\n", "it is no YAML"),
        (b"#" * 5_000_000, "more than"),
    ],
)
def test_what_is_no_such_file_is_refused_and_runs_nothing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    put(tmp_path, {"keycensus.yaml": "version: 1\nkinds: [views]\n"})
    (tmp_path / "views").mkdir()
    (tmp_path / "views/a.yaml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_directory(tmp_path, prune=False)
    assert said in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("list: hosts\nquery: state:silent\n")
    there = put(tmp_path / "git", {"keycensus.yaml": "version: 1\nkinds: [views, teams]\n"})
    (there / "views").mkdir()
    (there / "views/a.yaml").symlink_to(secret)
    (there / "teams").symlink_to(tmp_path)
    with pytest.raises(UsageError) as caught:
        read_directory(there, prune=False)
    assert "views/a.yaml:1: it is no regular file" in str(caught.value)
    assert "teams:1: it is a link" in str(caught.value)


def test_labels_of_what_is_not_here_are_told_and_of_twins_mean_one(
    run: Run, tmp_path: Path
) -> None:
    identities = [
        line.split('"')[1]
        for line in run("hosts", "-o", "csv").output.splitlines()
        if "twin" in line
    ]
    files = {
        "keycensus.yaml": "version: 1\nkinds: [labels]\n",
        "labels/hosts/twin.yaml": "host: twin\nlabels: {env: prod}\n",
        "labels/hosts/x.yaml": f"host: {identities[1]}\nlabels: {{env: test}}\n",
        "labels/certificates/f.yaml": f"certificate: {'ab' * 32}\nlabels: {{app: x}}\n",
    }
    done = run("apply", put(tmp_path, files))
    assert "? labels/hosts/twin: not in this inventory" in done.output
    assert f"? labels/certificates/{'ab' * 32}: not in this inventory" in done.output
    assert "1 to create; 2 not in this inventory\ndone" in done.output
    again = run("apply", tmp_path, "--diff")
    assert again.exit_code == 0
    assert again.output.endswith("nothing to do; 2 not in this inventory\n")
    run("export", tmp_path / "out")
    assert f"labels/hosts/{identities[1]}.yaml" in contents(tmp_path / "out")


def test_a_directory_without_files_is_said_to_be_one(untouched: Served, tmp_path: Path) -> None:
    run = runner(untouched)
    done = run("apply", tmp_path)
    assert isinstance(done.exception, UsageError)
    assert "keycensus export writes one" in str(done.exception)
    (tmp_path / "keycensus.yaml").mkdir()
    assert isinstance(run("export", tmp_path).exception, UsageError)
