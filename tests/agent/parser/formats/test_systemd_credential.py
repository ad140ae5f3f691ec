from __future__ import annotations

from fakes.text_formats import read
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status

CREDENTIAL = (FILES / "tls.cred").read_bytes()
UNIT = (FILES / "unit.service").read_bytes()


def test_a_credential_is_sealed_in_a_file_and_in_a_unit() -> None:
    for text, member in (
        (CREDENTIAL, b""),
        (UNIT, b"tls.key"),
        (UNIT.replace(b"\n", b"\r\n"), b"tls.key"),
    ):
        result = read("systemd-credential", text)
        (found,) = result.found
        assert (found.entry.kind, found.entry.member) == ("sealed-container", member)
        assert (result.status, result.reason) == (Status.LOCKED, "machine-key-needed")


def test_other_base64_and_mentions_are_none() -> None:
    for text in (
        b"",
        CREDENTIAL[:20],
        CREDENTIAL[:21],
        b"x" + CREDENTIAL,
        CREDENTIAL + b"!",
        b"SetCredentialEncrypted=name:AAAA",
        b"SetCredentialEncrypted=name: \\\n  " + CREDENTIAL[:24] + b"\n",
    ):
        assert not read("systemd-credential", text).found
