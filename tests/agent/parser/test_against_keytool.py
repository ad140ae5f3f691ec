"""What the tool that owns a store lists is what is listed here: certificates by hash, names by name."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import EntryKind
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Hint

ENTRY = re.compile(r"^Alias name: (.*?)$|SHA256: ([0-9A-F:]{95})", re.MULTILINE)


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no keytool here")
@pytest.mark.parametrize(
    "name", ["keystore.jks", "secret.jceks", "secret.p12", "trust.p12", "keytool.p12"]
)
def test_what_keytool_lists_is_listed(name: str) -> None:
    command = ["keytool", "-J-Duser.language=en", "-list", "-v", "-keystore", str(FILES / name)]
    if name.endswith(".jceks"):
        command += ["-storetype", "JCEKS"]
    ran = subprocess.run(
        [*command, "-storepass", PASSWORD],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    listed: set[tuple[str, str]] = set()
    alias = ""
    for name_found, fingerprint in ENTRY.findall(ran.stdout):
        alias = name_found or alias
        if fingerprint:
            listed.add((alias, fingerprint.replace(":", "").lower()))
    parsed = parse((FILES / name).read_bytes(), Hint(name.encode()), [PASSWORD])
    certificates = [each for each in parsed.entries if each.kind is EntryKind.CERTIFICATE]
    assert {identity for _, identity in listed} == {each.artifact.hex() for each in certificates}
    # Certificates of a chain have names of their own in PKCS#12, which keytool does not show.
    assert {alias for alias, _ in listed} <= {each.member.decode() for each in certificates}
