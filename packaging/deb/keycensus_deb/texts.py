"""Texts of the package that are made: control, copyright, Debian's changelog, the manual page's date.

Sources: Debian Policy, sections 4.4, 5.3 and 12.5; deb-control(5).
"""

from __future__ import annotations

import email.parser
import email.policy
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from keycensus_deb.release import NAME, Release, debian_version, project_version

# Who builds packages for a company puts its own name here.
MAINTAINER = "keycensus developers <keycensus@localhost>"
_LICENCES = ("LICEN*", "COPYING*", "NOTICE*", "AUTHORS*", "licenses/*")
_COPYRIGHT = """\
keycensus

Copyright: the keycensus authors
License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0

The package carries these libraries as their authors publish them, each under its own licence.
"""
_CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {depends}
Section: admin
Priority: optional
Description: finds every certificate and private key on this host
 The agent of keycensus walks the file systems, recognises certificates,
 private keys, requests, revocation lists and key stores by their content,
 and reports them to a collector. No key material leaves the host.
 .
 It runs as two services under users of their own: one may read every file and
 has no network, the other has the network and may read nothing. Without a
 collector, `keycensus-agent scan` shows what is on this machine.
 .
 The libraries that it needs are in this package; the interpreter is Debian's.
"""


def control(release: Release, architecture: str, size_kib: int) -> str:
    """Return the control file; `size_kib` is what the files take when installed."""
    return _CONTROL.format(
        name=NAME,
        version=debian_version(project_version("agent"), release),
        architecture=architecture,
        maintainer=MAINTAINER,
        size=size_kib,
        depends=", ".join(release.depends),
    )


def copyright_of(packages: Path) -> str:
    """Return the copyright file: ours, then each library with the texts that came with it."""
    parts = [_COPYRIGHT]
    for information in sorted(packages.glob("*.dist-info")):
        text = (information / "METADATA").read_text()
        parser = email.parser.Parser(policy=email.policy.compat32)
        facts = parser.parsestr(text, headersonly=True)
        if facts["Name"].startswith("keycensus"):
            continue
        author = facts["Author"] or facts["Author-email"] or "see its licence"
        licence = facts["License-Expression"] or facts["License"]
        parts.append(
            f"== {facts['Name']} {facts['Version']}\n"
            f"Copyright: {author}\nLicense: {licence}\n\n{_licences(information)}"
        )
    return "\n".join(parts)


def _licences(information: Path) -> str:
    texts = [
        file.read_text()
        for pattern in _LICENCES
        for file in sorted(information.glob(pattern))
        if file.is_file()
    ]
    return "\n".join(texts)


def debian_changelog(release: Release, epoch: int) -> str:
    """Return a changelog of one entry: what changed stands in CHANGELOG.md, which is there too."""
    version = project_version("agent")
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    return (
        f"{NAME} ({debian_version(version, release)}) {release.codename}; urgency=medium\n\n"
        f"  * Version {version}: what changed is in changelog.gz.\n\n"
        f" -- {MAINTAINER}  {date}\n"
    )


def manual_page(source: Path, epoch: int) -> str:
    """Return the manual page with its date and version."""
    date = datetime.fromtimestamp(epoch, UTC).date().isoformat()
    text = source.read_text().replace("@DATE@", date)
    return text.replace("@VERSION@", project_version("agent"))
