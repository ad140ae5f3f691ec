"""The table of formats. To add one: its file, its row here, its test file, its line in docs.

Parser side. The order is that in which formats are tried where several are equally sure. Those of
text come last and share a file: each is asked, and the first that takes a piece of text has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import (
    age,
    base64_value,
    bcfks,
    bks,
    der_file,
    dnssec,
    efi_signature_list,
    gnupg_key,
    ibm_kdb,
    java_serialized,
    jceks,
    jks,
    jwk,
    keybox,
    nss,
    nss_legacy,
    openpgp,
    oracle_wallet,
    pem,
    pkcs7,
    pkcs11_uri,
    pkcs12,
    putty,
    ssh_public,
    sst,
    systemd_credential,
    uber,
    wireguard,
    xml_rsa,
)
from keycensus_agent.parser.passages import Find


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


@dataclass(frozen=True, slots=True)
class TextFormat:
    """One row of a format that may share a text with others.

    `find` is pure and yields what it takes of the text, in order; it may raise as `parse` may.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    find: Find


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
        openpgp,
        sst,
        efi_signature_list,
        oracle_wallet,
        ibm_kdb,
        java_serialized,
        pkcs12,
        bcfks,
        pkcs7,
        der_file,
    )
)
TEXT_FORMATS: tuple[TextFormat, ...] = tuple(
    TextFormat(module.NAME, module.DESCRIPTION, module.SUFFIXES, module.find)
    for module in (
        pem,
        putty,
        ssh_public,
        jwk,
        xml_rsa,
        dnssec,
        age,
        wireguard,
        pkcs11_uri,
        systemd_credential,
        base64_value,
    )
)
ALL_FORMATS: tuple[Format | TextFormat, ...] = (*FORMATS, *TEXT_FORMATS)
