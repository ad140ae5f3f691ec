"""`keycensus-collector init`: make a deployment, once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from keycensus_collector.cli.company import company_of
from keycensus_collector.cli.options import config_option
from keycensus_collector.cli.running import write_secret
from keycensus_collector.config import (
    DATABASE_FILE,
    DEFAULT_STATE,
    Address,
    Configuration,
    Listen,
    check_database_url,
    check_name,
    load,
    parse_address,
    people_url,
)
from keycensus_collector.errors import UsageError
from keycensus_collector.store.address import is_postgresql


class _AddressType(click.ParamType[Address]):
    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        try:
            return value if isinstance(value, Address) else parse_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _NameType(click.ParamType[str]):
    name = "name"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        try:
            return check_name(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--deployment", metavar="NAME", help="Name of the deployment [this machine's name].")
@click.option(
    "--name",
    "names",
    type=_NameType(),
    multiple=True,
    metavar="DNS|IP",
    help="Name by which agents and people reach this collector; may be repeated.",
)
@click.option("--state-dir", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--database",
    metavar="URL",
    help="PostgreSQL database, as in postgresql://USER@HOST/DATABASE [SQLite in the state directory].",
)
@click.option("--listen-enrol", type=_AddressType(), metavar="HOST:PORT", help="[:8441]")
@click.option("--listen-report", type=_AddressType(), metavar="HOST:PORT", help="[:8440]")
@click.option("--listen-web", type=_AddressType(), metavar="HOST:PORT", help="[:8443]")
@click.option(
    "--ca-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use this CA (PEM; with its issuers up to the root) instead of making one.",
)
@click.option("--ca-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key (PEM).")
@click.option(
    "--ca-passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the passphrase of that key.",
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the admin's API token to FILE, mode 0600, instead of printing it.",
)
@click.option(
    "--first-use-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the link that sets the admin's password to FILE, mode 0600, instead of printing it.",
)
@config_option
def init(
    *,
    deployment: str | None,
    names: tuple[str, ...],
    state_dir: Path | None,
    database: str | None,
    listen_enrol: Address | None,
    listen_report: Address | None,
    listen_web: Address | None,
    ca_cert: Path | None,
    ca_key: Path | None,
    ca_passphrase_file: Path | None,
    admin_token_file: Path | None,
    first_use_file: Path | None,
    config_file: Path,
) -> None:
    """Make a deployment: CA, database, first admin, and the configuration file if there is none.

    With --admin-token-file nothing secret is printed: then a link that sets the admin's password is
    made only with --first-use-file.
    """
    from keycensus_collector import deployment as deployments
    from keycensus_collector.clock import SystemClock

    company = company_of(ca_cert, ca_key, ca_passphrase_file)
    asked = {"enrol": listen_enrol, "report": listen_report, "web": listen_web}
    listen = replace(Listen(), **{key: value for key, value in asked.items() if value})
    fresh = not config_file.exists()
    configuration = (
        _configuration(state_dir, names, listen, database)
        if fresh
        else _existing(config_file, state_dir, names, asked, database)
    )
    if deployments.is_set_up(configuration):
        if fresh:
            _write_configuration(config_file, configuration)
        click.echo(_is_there(configuration, deployments.authority_directory(configuration)))
        return
    if fresh:
        _write_configuration(config_file, configuration)
    try:
        made = deployments.set_up(
            configuration,
            deployment or deployments.default_name(),
            company,
            SystemClock(),
            first_use=admin_token_file is None or first_use_file is not None,
        )
    except BaseException:
        if fresh:
            config_file.unlink(missing_ok=True)
        raise
    click.echo(f"Deployment {made.deployment.name}, trust anchor: {made.anchor_name}")
    click.echo(f"Configuration: {config_file}. Start it with: keycensus-collector serve")
    if made.first_use:
        _tell_link(f"{people_url(configuration)}/first-use#{made.first_use}", first_use_file)
    if admin_token_file is not None:
        write_secret(admin_token_file, made.admin_token)
        click.echo(f"API token of the user {deployments.FIRST_ADMIN}: in {admin_token_file}")
    else:
        click.echo(f"API token of the user {deployments.FIRST_ADMIN}, shown this once:")
        click.echo(made.admin_token)


def _tell_link(link: str, file: Path | None) -> None:
    if file is not None:
        write_secret(file, link)
        click.echo(f"Link that sets the admin's password, once, within 24 hours: in {file}")
        return
    click.echo("Set the admin's password in a browser, once, within 24 hours:")
    click.echo(link)


def _is_there(configuration: Configuration, authority: Path) -> str:
    """Say that there is a deployment; on a further collector's machine, what it needs yet."""
    if authority.exists():
        return f"{configuration.state_directory} is set up already; nothing was changed"
    return (
        "the database holds a deployment already; to serve it from here too, copy the directory "
        f"{authority} from a machine that does, with its owner and modes, then: "
        "keycensus-collector serve"
    )


def _configuration(
    state_dir: Path | None, names: tuple[str, ...], listen: Listen, database: str | None
) -> Configuration:
    import socket

    state = (state_dir or DEFAULT_STATE).absolute()
    if not names:
        try:
            names = (check_name(socket.getfqdn()),)
        except ValueError:
            raise UsageError(
                "this machine's name can't stand in a certificate; give the name by which agents "
                "reach it: --name collector.example.com"
            ) from None
    return Configuration(
        state_directory=state,
        database_url=_database_url(database) or f"sqlite:///{state / DATABASE_FILE}",
        listen=listen,
        names=names,
    )


def _existing(
    config_file: Path,
    state_dir: Path | None,
    names: tuple[str, ...],
    asked: dict[str, Address | None],
    database: str | None,
) -> Configuration:
    """Load the file that is there; options that contradict it are a mistake."""
    configuration = load(config_file)
    differing = [
        *(["--state-dir"] if state_dir not in (None, configuration.state_directory) else []),
        *(["--database"] if database not in (None, configuration.database_url) else []),
        *(["--name"] if names and names != configuration.names else []),
        *(
            f"--listen-{key}"
            for key, value in asked.items()
            if value not in (None, getattr(configuration.listen, key))
        ),
    ]
    if differing:
        raise UsageError(
            f"{config_file} is there already and says otherwise than {', '.join(differing)}; "
            "change the file, or leave the option out"
        )
    return configuration


def _database_url(database: str | None) -> str:
    if database is None:
        return ""
    try:
        return check_database_url(database)
    except ValueError as error:
        raise UsageError(f"--database: {error}") from None


def _write_configuration(file: Path, configuration: Configuration) -> None:
    text = "\n".join(
        (
            "# The collector's configuration. Every key with its default: docs/collector.md.",
            "",
            "[state]",
            f"directory = {_quoted(str(configuration.state_directory))}",
            "",
            *(
                ("[database]", f"url = {_quoted(configuration.database_url)}", "")
                if is_postgresql(configuration.database_url)
                else ()
            ),
            "[listen]",
            f"enrol = {_quoted(str(configuration.listen.enrol))}",
            f"report = {_quoted(str(configuration.listen.report))}",
            f"web = {_quoted(str(configuration.listen.web))}",
            "",
            "[names]",
            f"public = [{', '.join(map(_quoted, configuration.names))}]",
            "",
        )
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(
            f"{file} can't be written: {error.strerror}; run this as root, or name another file "
            "with --config"
        ) from error


def _quoted(text: str) -> str:
    """Return a TOML basic string (its escapes are those of JSON)."""
    return json.dumps(text, ensure_ascii=False)
