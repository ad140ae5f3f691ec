"""The options `--ca-cert`, `--ca-key`, `--ca-passphrase-file`: an authority that exists already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keycensus_collector.errors import UsageError

if TYPE_CHECKING:
    from keycensus_collector.deployment import CompanyAuthority

_PASSPHRASE_BYTES = 4096


def company_of(
    certificate: Path | None, key: Path | None, passphrase_file: Path | None
) -> CompanyAuthority | None:
    """Return what the options name, None if they name nothing; UsageError if they don't fit."""
    from keycensus_collector.deployment import CompanyAuthority

    if certificate is None and key is None and passphrase_file is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--ca-cert and --ca-key go together")
    passphrase = None
    if passphrase_file is not None:
        try:
            with passphrase_file.open("rb") as stream:
                passphrase = stream.read(_PASSPHRASE_BYTES).rstrip(b"\r\n")
        except OSError as error:
            raise UsageError(f"{passphrase_file} can't be read: {error.strerror}") from None
    return CompanyAuthority(certificate, key, passphrase)
