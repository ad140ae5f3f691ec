"""`keycensus-agent scan --bundle` on a host that can't enrol, `keycensus import` at the collector."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.bundled import BundledHost
from fakes.census import Census
from fakes.pki import issue
from fakes.served import Served, api_token
from sqlalchemy import func, select

from keycensus_agent.cli import main
from keycensus_collector.silence import mark_silent
from keycensus_collector.store import schema

OWN = issue("vault.example.com", days=60)
NEXT = issue("vault.example.com", days=90)
DAY = 86_400_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    census = Census.create(tmp_path)
    census.clock.current_ms = 2_000_000_000_000  # ahead of this machine's
    served = Served(census, tmp_path, api_token(census, role="operator"))
    assert served.login().returncode == 0
    yield served
    served.close()


@pytest.fixture
def host(tmp_path: Path) -> BundledHost:
    host = BundledHost(tmp_path)
    host.put_pair(OWN)
    return host


def bring(served: Served, file: Path, *options: str) -> str:
    done = served.run("import", str(file), *options)
    assert (done.returncode, done.stderr) == (0, "")
    served.census.fold()
    served.census.clock.current_ms += DAY
    return done.stdout


def asked(served: Served, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(served.run(*arguments, "-o", "json").stdout)
    return found


def versions(served: Served) -> int:
    return int(served.census.row(select(func.count()).select_from(schema.place_version))[0])


def test_what_a_bundle_tells_stands_in_the_inventory_as_imported(
    served: Served, host: BundledHost
) -> None:
    file = host.bundle()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert isinstance(OWN.key, ec.EllipticCurvePrivateKey)
    secret = OWN.key.private_numbers().private_value.to_bytes(32, "big")
    der = OWN.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for material in (secret, der, OWN.key_pem):
        assert material not in file.read_bytes()
    assert bring(served, file).startswith("imported new host vault1: 2 rows, 0 gone since")
    (listed,) = asked(served, "hosts", "-q", "state:imported")
    assert (listed["name"], listed["certificates"], listed["keys"]) == ("vault1", 1, 1)
    assert listed["imported_by"] == "user:ada"
    assert str(listed["last_seen"]) < str(listed["imported"])
    (pair,) = asked(served, "certs", "-q", "host:vault1 private-key:found")
    assert pair["sha256"] == OWN.sha256.hex()
    assert "reports nothing by itself" in served.run("show", "vault1").stdout
    (record,) = asked(served, "imports")
    assert (record["kind"], record["source"], record["items"]) == ("bundle", "vault1", 2)
    with served.census.store.write() as connection:
        late = served.census.clock.now_ms() + 30 * DAY
        silent = mark_silent(connection, now_ms=late, listening_since_ms=0, heartbeat_seconds=900)
    assert silent == 0


def test_a_later_bundle_replaces_the_former_and_the_same_one_changes_nothing(
    served: Served, host: BundledHost
) -> None:
    first = host.bundle()
    bring(served, first)
    before = versions(served)
    assert "2 rows, 0 gone since" in bring(served, host.bundle())
    assert versions(served) == before
    (host.root / "etc/ssl/own.key").unlink()
    host.put("etc/ssl/own.pem", NEXT.pem)
    assert "host vault1: 1 rows, 1 gone since" in bring(served, host.bundle())
    assert [each["sha256"] for each in asked(served, "certs")] == [NEXT.sha256.hex()]
    assert asked(served, "keys") == []
    then = asked(served, "certs", "--as-of", "3d")
    assert [each["sha256"] for each in then] == [OWN.sha256.hex()]
    (detail,) = [json.loads(served.run("show", NEXT.sha256.hex(), "-o", "json").stdout)]
    assert [step["step"] for step in detail["certificate"]["predecessors"]] == ["rekey"]
    assert len(asked(served, "imports", "--replaced")) == 3
    # One from before can be brought back.
    assert "2 rows, 0 gone since" in bring(served, first)
    assert len(asked(served, "keys")) == 1


def test_a_bundle_can_speak_for_no_other_host(
    served: Served, host: BundledHost, tmp_path: Path
) -> None:
    census = served.census
    census.host("VAULT1")
    refused = served.run("import", str(host.bundle()))
    assert refused.returncode == 2
    assert "which reports by itself" in refused.stderr
    other = BundledHost(tmp_path, "vault2", "b" * 32)
    bring(served, other.bundle())
    taker = BundledHost(tmp_path / "again", "vault2", "c" * 32)
    file = taker.bundle()
    refused = served.run("import", str(file))
    assert refused.returncode == 2
    assert "from another machine" in refused.stderr
    assert bring(served, file, "--rename").startswith("imported host vault2")
    assert [each["name"] for each in asked(served, "hosts")] == ["VAULT1", "vault2"]


def test_files_that_are_no_bundles_are_refused_in_words(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "x.kcb"
    file.write_bytes(b"no bundle")
    done = served.run("import", str(file))
    assert done.returncode == 2, done.stdout
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    gone = served.run("import", str(tmp_path / "gone"))
    assert (gone.returncode, "No such file" in gone.stderr) == (2, True)


def test_a_file_that_is_there_is_not_written_over(
    host: BundledHost, capsys: pytest.CaptureFixture[str]
) -> None:
    file = host.bundle()
    size = file.stat().st_size
    assert main(["scan", "--root", str(host.root), "--bundle", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.stat().st_size == size
    assert main(["scan", "--bundle", str(host.root / "no" / "x.kcb"), "/etc/hostname"]) == 2
    assert "No such file" in capsys.readouterr().err
