"""What every command needs to reach the deployment: configuration, clock, and files for secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keycensus_collector.errors import UsageError

if TYPE_CHECKING:
    from keycensus_collector.deployment import CompanyAuthority


def call(
    config_file: Path,
    operation: str,
    arguments: Mapping[str, Any],
    *,
    patience_seconds: float = 60.0,
) -> Any:  # noqa: ANN401 - JSON
    """Run an operation through the running server, or here if none runs; return its JSON value."""
    from keycensus_collector import admin
    from keycensus_collector.clock import SystemClock
    from keycensus_collector.config import load

    return admin.call(
        load(config_file),
        SystemClock(),
        operation,
        arguments,
        patience_seconds=patience_seconds,
    )


def put_next_authority(config_file: Path, company: CompanyAuthority) -> None:
    """Check an authority that exists already, and put it where the operation `ca.next` takes it up.

    As root it is given to whom the state directory belongs. Raises AuthorityError.
    """
    from keycensus_collector.authority import local
    from keycensus_collector.authority.authority import from_ms
    from keycensus_collector.authority.keeper import NEXT_DIRECTORY, give_to_owner_of
    from keycensus_collector.clock import SystemClock
    from keycensus_collector.config import load

    state = load(config_file).state_directory
    now = from_ms(SystemClock().now_ms())
    authority = local.adopt(company.certificate_file, company.key_file, company.passphrase, now)
    authority.save(state / NEXT_DIRECTORY)
    give_to_owner_of(state, state / NEXT_DIRECTORY)


def write_secret(file: Path, text: str) -> None:
    """Write one secret as a line to `file`, mode 0600; UsageError if it can't be written."""
    from keycensus_collector.files import write_private

    try:
        write_private(file.absolute(), text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}") from error
