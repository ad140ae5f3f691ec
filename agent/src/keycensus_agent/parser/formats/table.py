"""The table of formats. To add one: its file, its row here, its test file, its line in docs.

Parser side. The order is that in which formats are tried where several are equally sure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import (
    bcfks,
    bks,
    der_file,
    gnupg_key,
    ibm_kdb,
    jceks,
    jks,
    keybox,
    nss,
    nss_legacy,
    oracle_wallet,
    pem,
    pkcs7,
    pkcs12,
    sst,
    uber,
)


@dataclass(frozen=True, slots=True)
class Format:
    """One row: a format's name, what it reads, usual suffixes, and its two functions.

    `recognise` and `parse` are pure. `parse` may raise: the dispatcher contains it.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    recognise: Callable[[bytes, Hint], Confidence]
    parse: Callable[[bytes, Request], FormatResult]


FORMATS: tuple[Format, ...] = tuple(
    Format(module.NAME, module.DESCRIPTION, module.SUFFIXES, module.recognise, module.parse)
    for module in (
        jks,
        jceks,
        bks,
        uber,
        nss,
        nss_legacy,
        keybox,
        gnupg_key,
        sst,
        oracle_wallet,
        ibm_kdb,
        pkcs12,
        bcfks,
        pkcs7,
        der_file,
        pem,
    )
)
