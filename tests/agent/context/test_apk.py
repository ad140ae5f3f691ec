from __future__ import annotations

from pathlib import Path

import pytest
from fakes.package_root import names_in, owners_in

from keycensus_agent.model import Package

INSTALLED = """\
C:Q1abc=
P:ca-certificates-bundle
V:20240226-r0
F:etc
F:etc/ssl
F:etc/ssl/certs
R:ca-certificates.crt
a:0:0:644
Z:Q1def=
F:
R:top.pem

P:other
V:1
R:nowhere
F:etc/ssl
R:other.pem
R:twin.pem

P:late
V:2
F:etc/ssl
R:twin.pem
"""


@pytest.mark.parametrize("where", ["lib/apk/db", "usr/lib/apk/db"])
def test_a_file_is_its_packages(tmp_path: Path, where: str) -> None:
    (tmp_path / where).mkdir(parents=True)
    (tmp_path / where / "installed").write_text(INSTALLED)
    bundle = b"/etc/ssl/certs/ca-certificates.crt"
    assert names_in(tmp_path, bundle, b"/top.pem", b"/etc/ssl/other.pem", b"/etc/ssl/none") == {
        bundle: "ca-certificates-bundle 20240226-r0",
        b"/top.pem": "ca-certificates-bundle 20240226-r0",
        b"/etc/ssl/other.pem": "other 1",
    }
    assert owners_in(tmp_path, b"/etc/ssl/twin.pem").by_path == {
        b"/etc/ssl/twin.pem": Package("apk", "other", "1")
    }
