from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.errors import UsageError
from keycensus_agent.reader.discovery.exclude import Exclude


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/var/cache", b"/var/cache", True),
        ("/var/cache/", b"/var/cache", True),
        ("/var/cache", b"/var/cached", False),
        ("/var/cache", b"/srv/var/cache", False),
        ("/var/*", b"/var/log", True),
        ("/var/*", b"/var/log/apt", False),
        ("/var/**", b"/var/log/apt", True),
        ("/srv/**/private", b"/srv/a/b/private", True),
        ("/srv/**/private", b"/srv/private", True),
        ("node_modules", b"/home/x/node_modules", True),
        ("*.bak", b"/etc/a.bak", True),
        ("*.bak", b"/etc/a.bak.pem", False),
        ("file?", b"/etc/file1", True),
        ("file?", b"/etc/file", False),
        ("nginx/tls", b"/etc/nginx/tls", True),
        ("a.pem", b"/etc/abpem", False),
        ("[ab]", b"/etc/a", False),
        ("\udcff*", b"/etc/\xffx", True),
        ("line\nbreak", b"/etc/line\nbreak", True),
    ],
)
def test_globs_match_whole_paths_or_names(pattern: str, path: bytes, *, matches: bool) -> None:
    name = path.rpartition(b"/")[2]
    assert Exclude((pattern,)).reason(path, name) == ("pattern" if matches else "")


@pytest.mark.parametrize("pattern", ["", "/", "//", "a\0b"])
def test_a_glob_that_cannot_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="exclude"):
        Exclude((pattern,))


def test_without_patterns_nothing_is_selected() -> None:
    assert not Exclude().selective
    assert Exclude().reason(b"/etc", b"etc") == ""


_PATTERN = st.text(alphabet="ab*?/.", min_size=1, max_size=12)
_PATH = st.lists(st.text(alphabet="ab.", min_size=1, max_size=3), min_size=1, max_size=4)


@given(st.lists(_PATTERN, min_size=1, max_size=3), _PATH)
def test_names_are_looked_at_wherever_a_pattern_may_match(
    patterns: list[str], components: list[str]
) -> None:
    try:
        exclude = Exclude(tuple(patterns))
    except UsageError:
        return
    path = ("/" + "/".join(components)).encode()
    directory, _, name = path.rpartition(b"/")
    if exclude.reason(path, name):
        assert exclude.concerns(directory or b"/")


def test_a_pattern_without_wildcards_concerns_one_directory() -> None:
    exclude = Exclude(("/var/cache/apt", "/srv/*/private"))
    assert exclude.concerns(b"/var/cache")
    assert exclude.concerns(b"/srv")
    assert exclude.concerns(b"/srv/web")
    for elsewhere in (b"/", b"/var", b"/var/cache/apt", b"/var/cached", b"/srvs"):
        assert not exclude.concerns(elsewhere)
