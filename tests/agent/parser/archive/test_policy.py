from __future__ import annotations

import pytest

from keycensus_agent.parser.archive.policy import is_searched, passed_over_in


@pytest.mark.parametrize(
    ("path", "searched"),
    [
        (b"/usr/share/man/man1/ls.1.gz", False),
        (b"/usr/share/doc/x/changelog.gz", False),
        (b"/usr/lib/modules/6.1/kernel/x.ko.xz", False),
        (b"/usr/share/manual.zip", True),
        (b"/usr/share/java/x.jar", True),
        (b"/srv/backup.tar.gz", True),
    ],
)
def test_what_packages_compress_by_the_thousand_is_not_searched(
    path: bytes, *, searched: bool
) -> None:
    assert is_searched(path) is searched


def test_what_a_distribution_ships_is_searched_less_closely() -> None:
    assert b"java" in passed_over_in(b"/usr/lib/x/src.zip")
    assert b"java" not in passed_over_in(b"/usr/local/x/src.zip")
    assert b"java" not in passed_over_in(b"/srv/src.zip")
    assert b"html" not in passed_over_in(b"/srv/site.zip")
    assert b"class" in passed_over_in(b"/srv/x.jar")
