from __future__ import annotations

from pathlib import Path

from fakes.package_root import databases_of, names_in, owners_in

from keycensus_agent.context.packages import Owners


def test_a_root_without_packages_owns_nothing(tmp_path: Path) -> None:
    assert owners_in(tmp_path, b"/a") == Owners()
    assert owners_in(tmp_path) == Owners()


def test_databases_beside_each_other_all_count(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/info/one.list").write_text("/one.pem\n")
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    (tmp_path / "lib/apk/db/installed").write_text("P:two\nV:2\nF:etc\nR:two.pem\n")
    assert names_in(tmp_path, b"/one.pem", b"/etc/two.pem") == {
        b"/one.pem": "one ",
        b"/etc/two.pem": "two 2",
    }


def test_the_mark_changes_with_the_packages_and_with_nothing_else(tmp_path: Path) -> None:
    with databases_of(tmp_path) as databases:
        none = databases.mark()
        (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
        first = databases.mark()
        (tmp_path / "etc").mkdir()
        assert databases.mark() == first != none
        (tmp_path / "var/lib/dpkg/info/one.list").write_text("/one.pem\n")
        assert databases.mark() != first


def test_a_name_that_no_row_could_hold_is_none(tmp_path: Path) -> None:
    (tmp_path / "lib/apk/db").mkdir(parents=True)
    database = tmp_path / "lib/apk/db/installed"
    database.write_text(f"P:{'x' * 257}\nV:1\nF:etc\nR:a.pem\n")
    assert names_in(tmp_path, b"/etc/a.pem") == {}
