from __future__ import annotations

import pytest

from keycensus_agent.parser.archive.policy import Selection, is_searched, selection_in


@pytest.mark.parametrize(
    ("path", "searched"),
    [
        (b"/usr/share/man/man1/ls.1.gz", False),
        (b"/usr/share/doc/x/changelog.gz", False),
        (b"/usr/lib/modules/6.1/kernel/x.ko.xz", False),
        (b"/usr/share/manual.zip", True),
        (b"/usr/share/java/x.jar", True),
        (b"/srv/backup.tar.gz", True),
        (b"/usr/lib/x/sources.tar.gz", False),
        (b"/usr/src/x.tar.xz", False),
        (b"/usr/share/x/server.key.gz", True),
        (b"/usr/local/bin/backup.tar.gz", True),
    ],
)
def test_what_packages_compress_by_the_thousand_is_not_searched(
    path: bytes, *, searched: bool
) -> None:
    assert is_searched(path) is searched


def test_what_a_distribution_ships_is_searched_less_closely() -> None:
    assert not selection_in(b"/usr/libexec/src.zip").takes(b"A.java")
    assert selection_in(b"/usr/local/x/src.zip").takes(b"A.java")
    assert selection_in(b"/srv/src.zip").takes(b"A.java")
    assert selection_in(b"/srv/site.zip").takes(b"index.html")
    assert not selection_in(b"/srv/x.jar").takes(b"A.CLASS")


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        (b"META-INF/ACME.RSA", True),
        (b"certifi/cacert.pem", True),
        (b"lib/security/cacerts", True),
        (b".ssh/id_ed25519", True),
        (b"KEYSTORE", True),
        (b"conf/settings.json", False),
        (b"README", False),
        (b"monkey", False),
        (b"cacerts.html", False),
    ],
)
def test_among_programs_a_members_name_has_to_promise_something(
    name: bytes, *, taken: bool
) -> None:
    selection = selection_in(b"/usr/share/java/x.jar")
    assert selection.takes(name) is taken
    if taken:
        assert not selection.takes_none_of(b"PK\1\2" + name + b"PK\1\2")
    assert not Selection(frozenset()).takes_none_of(name)
