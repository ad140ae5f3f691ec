from __future__ import annotations

import pytest

from keycensus_agent.reader.unopened import unopened_in


@pytest.mark.parametrize(
    ("directory", "name", "opened"),
    [
        (b"/usr/share/doc/x", "changelog.gz", False),
        (b"/usr/share/doc/x", "key.pem", True),
        (b"/usr/lib/python3/__pycache__", "a.cpython-311.pyc", False),
        (b"/usr/lib/python3/__pycache__", "a.pem", True),
        (b"/usr/lib/python3", "a.pyc", True),
        (b"/usr/share/locale/de/LC_MESSAGES", "x.mo", False),
        (b"/srv/LC_MESSAGES", "x.pem", True),
        (b"/usr/share/icons/x", "folder.png", False),
        (b"/usr/lib/x", "folder.png", False),
        (b"/srv/backup", "x.tar.gz", True),
        (b"/srv/pictures", "folder.png", True),
        (b"/", "x.gz", True),
        (b"/usr/share/doc/x/html", "index.html", False),
        (b"/usr/share/gtk-doc/html/x", "x.js", False),
        (b"/srv/.rustup/toolchains/stable/share/doc/rust/html/std", "all.html", False),
        (b"/usr/share/doc/x/examples", "server.key", True),
        (b"/usr/share/doc/x", "README", True),
        (b"/usr/share/x", "index.html", True),
        (b"/srv/www", "index.html", True),
        (b"/srv/app/lib/python2.7/site-packages/x", "a.pyo", False),
        (b"/srv/app/lib/python3.11/site-packages/x", "a.pyc", True),
        (b"/srv/app/node_modules/x", "logo.png", False),
        (b"/lib/modules/6.1.0/kernel", "x.ko.xz", False),
    ],
)
def test_a_name_is_passed_over_only_where_such_files_are_written_by_programs(
    directory: bytes, name: str, *, opened: bool
) -> None:
    passed_over = name.endswith(unopened_in(directory).endings)
    assert passed_over is not opened
