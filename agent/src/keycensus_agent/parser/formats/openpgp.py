"""OpenPGP's secret keys without armour: secring.gpg, and what gpg exports.

Pure, on hostile bytes. With armour they are PEM's. Source: RFC 9580 10.2.
"""

from __future__ import annotations

from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request, conclude
from keycensus_agent.parser.openpgp import read_secret_keys
from keycensus_agent.parser.store_magic import starts_as_openpgp

NAME = "openpgp"
DESCRIPTION = "OpenPGP secret keys: each key by its public half, and whether it is encrypted"
SUFFIXES = ("gpg", "pgp")


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a first packet that is a secret key of a known version and algorithm."""
    del hint
    return Confidence.SURE if starts_as_openpgp(data) else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return keys and subkeys; of a file that starts so by chance nothing."""
    del request
    found, problem = read_secret_keys(data)
    return conclude(NAME, found, [problem] if problem and found else [])
