"""A deployment: one authority, one database, one name. Made once by `init`, read by all else.

What `set_up` makes becomes real by one step at its end, the rename of a file or the commit of the
deployment's row: before that, an `init` that was killed can simply be run again.
"""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, insert, select

from keycensus_collector.access.first_use import offer
from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.authority import local
from keycensus_collector.authority.authority import anchor, from_ms
from keycensus_collector.authority.keeper import CURRENT_DIRECTORY
from keycensus_collector.authority.rollover import register
from keycensus_collector.clock import Clock
from keycensus_collector.config import Configuration
from keycensus_collector.errors import AuthorityError, StoreError, UsageError
from keycensus_collector.files import make_private_directory
from keycensus_collector.store.address import is_postgresql
from keycensus_collector.store.engine import Store
from keycensus_collector.store.making import holds_deployment, new_database
from keycensus_collector.store.schema import deployment
from keycensus_collector.store.sqlite import database_path

OPERATOR = "operator"
FIRST_ADMIN = "admin"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What names this deployment; `database_id` changes when the database is made anew."""

    name: str
    database_id: bytes


@dataclass(frozen=True, slots=True)
class CompanyAuthority:
    """Files of a CA that exists already; `passphrase` opens its key if that is encrypted."""

    certificate_file: Path
    key_file: Path
    passphrase: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SetUp:
    """A deployment that was just made. The admin's API token is told this once.

    So is `first_use`, the secret of the link that sets the admin's password; empty if none was asked for.
    """

    deployment: Deployment
    anchor_name: str
    admin_token: str = field(repr=False)
    first_use: str = field(default="", repr=False)


def authority_directory(configuration: Configuration) -> Path:
    """Return where the authority's key and chain are."""
    return configuration.state_directory / CURRENT_DIRECTORY


def server_directory(configuration: Configuration) -> Path:
    """Return where the server's key and certificate are."""
    return configuration.state_directory / "server"


def admin_socket(configuration: Configuration) -> Path:
    """Return the socket by which commands reach the running server."""
    return configuration.state_directory / "admin.sock"


def default_name() -> str:
    """Return a deployment name made from this machine's: lower-case letters, digits, hyphens."""
    word = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return word[:63].strip("-") or "keycensus"


def read_deployment(connection: Connection) -> Deployment:
    """Return the deployment of a database; StoreError if it holds none."""
    row = connection.execute(select(deployment)).one_or_none()
    if row is None:
        raise StoreError("the database holds no deployment; move it away and run init again")
    return Deployment(row.name, row.database_id)


def is_set_up(configuration: Configuration) -> bool:
    """Say whether `init` has been here; StoreError if a PostgreSQL database can't be asked."""
    url = configuration.database_url
    if not is_postgresql(url):
        return database_path(url).exists()
    return Store.peek(url, holds_deployment)


def set_up(
    configuration: Configuration,
    name: str,
    company: CompanyAuthority | None,
    clock: Clock,
    *,
    first_use: bool = False,
) -> SetUp:
    """Make authority, database and first admin. `first_use`: also a link that sets the admin's password.

    Raises UsageError for a name that can't be one, AuthorityError for a CA that can't be used, and
    StoreError if there is a database already or none can be made.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is no deployment name; use 1 to 63 of a-z, 0-9 and hyphens inside"
        )
    if is_set_up(configuration):
        raise StoreError(f"{configuration.database_url} is in use already; nothing was changed")
    now_ms = clock.now_ms()
    try:
        make_private_directory(configuration.state_directory)
    except OSError as error:
        raise StoreError(
            f"{configuration.state_directory} can't be made: {error.strerror}; run this as root, "
            "or name another directory with --state-dir"
        ) from error
    authority = _authority(configuration, name, company, now_ms)
    made = Deployment(name, secrets.token_bytes(16))
    with new_database(configuration.database_url) as store, store.write() as connection:
        connection.execute(
            insert(deployment).values(
                deployment_no=1, name=name, database_id=made.database_id, created_ms=now_ms
            )
        )
        register(connection, authority.chain, "current", now_ms)
        add_user(connection, name=FIRST_ADMIN, role="admin", now_ms=now_ms, actor=OPERATOR)
        token = create_api_token(
            connection, user_name=FIRST_ADMIN, name="init", now_ms=now_ms, actor=OPERATOR
        )
        secret = ""
        if first_use:
            secret = offer(connection, user_name=FIRST_ADMIN, now_ms=now_ms, actor=OPERATOR).secret
    return SetUp(made, anchor(authority).subject.rfc4514_string(), token.text, secret)


def _authority(
    configuration: Configuration, name: str, company: CompanyAuthority | None, now_ms: int
) -> local.LocalAuthority:
    """Take what an earlier `init` left, the company's, or make our own."""
    directory = authority_directory(configuration)
    now = from_ms(now_ms)
    existing = (directory / local.KEY_FILE).exists()
    if company is not None:
        authority = local.adopt(company.certificate_file, company.key_file, company.passphrase, now)
        if existing and local.load(directory, now).chain != authority.chain:
            raise AuthorityError(
                f"{directory} holds another authority already; move it away to use this one"
            )
    elif existing:
        return local.load(directory, now)
    else:
        authority = local.create_own(name, now)
    authority.save(directory)
    return authority
