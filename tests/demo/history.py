"""What the sample servers went through before today, so that the demo has a past to show.

Nothing of it is written into the database from here: the collector is the command that everybody runs, by a
clock that is behind (demo/earlier.py), and the agents of the sample servers enrol, sweep and report as ever.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from demo import earlier
from demo.issuing import SampleAuthority, SampleKey, certificate_pem, ec_key, key_pem
from demo.processes import DemoError
from demo.sample_hosts import LINEAGE, WILDCARD, SampleFiles

# When the agents came, and when some of what they had seen changed. What is issued to an agent counts for 30
# days from the day that the collector takes it for, and is renewed at half of that.
FIRST_DAYS, CHANGE_DAYS = 12, 4
DATABASE, VPN = "db.example.com", "vpn.example.com"
# What is told of each day, in the end: certificates by query.
FOUND_FIRST = {"host:*.example.com": frozenset({LINEAGE, WILDCARD, DATABASE, VPN})}
FOUND_CHANGED = {
    "first-seen<1d": frozenset({DATABASE}),
    "gone<1d": frozenset({DATABASE, VPN}),
}
CHANGED = (
    "db-1 got a new certificate, and its key became one that everyone can read;\n"
    "  the wildcard pair was copied to old-1, and the VPN there was removed"
)


def by_clock_behind(days: int) -> Callable[[Sequence[str]], list[str]]:
    """Return what makes of a command line of the collector the one by a clock that is so far behind."""

    def wrap(command: Sequence[str]) -> list[str]:
        # -P: what lies beside the script is not imported by its bare name.
        return [sys.executable, "-P", str(Path(earlier.__file__)), str(days), *command[1:]]

    return wrap


def set_back(
    roots: dict[str, Path], authority: SampleAuthority, now: datetime
) -> Callable[[], None]:
    """Make the sample servers what they were; return what brings them to what they are today.

    The database had the certificate before its present one, and a key that its owner alone could read; the
    wildcard pair was not yet copied to old-1, which still served a VPN.
    """
    data, old = roots["db-1"] / "var/lib/postgresql/15/main", roots["old-1"]
    certificate, key = data / "server.crt", data / "server.key"
    present = certificate.read_bytes()
    same = load_pem_private_key(key.read_bytes(), None)
    if not isinstance(same, ec.EllipticCurvePrivateKey):
        raise DemoError(f"{key} is of another kind than it was made")
    certificate.write_bytes(_certificate(authority, DATABASE, same, now, left=11))
    key.chmod(0o600)
    copied, later = old / "etc/nginx/tls", old.parent.parent / "later"
    copied.rename(later)
    vpn, files = ec_key(), SampleFiles(old)
    files.write("/etc/openvpn/server.crt", _certificate(authority, VPN, vpn, now, left=40))
    files.write("/etc/openvpn/server.key", key_pem(vpn), 0o600)

    def go_on() -> None:
        certificate.write_bytes(present)
        key.chmod(0o644)
        later.rename(copied)
        shutil.rmtree(old / "etc/openvpn")

    return go_on


def _certificate(
    authority: SampleAuthority, name: str, key: SampleKey, now: datetime, *, left: int
) -> bytes:
    """Return one of a year that ends in so many days."""
    end = now + timedelta(days=left, hours=1)
    begin = end - timedelta(days=365)
    return certificate_pem(authority.issue([name], key, not_before=begin, not_after=end))
