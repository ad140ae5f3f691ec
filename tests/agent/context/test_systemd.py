from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes.configured_root import enable, write
from fakes.package_root import LOCAL

from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units, words
from keycensus_agent.reader.discovery.links import Resolver


@contextmanager
def units_of(root: Path) -> Iterator[Units]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Units(Sources(RootFiles(Resolver(descriptor, LOCAL)), "systemd"))
    finally:
        os.close(descriptor)


def test_drop_ins_add_replace_and_take_back(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/lib/systemd/system/a-b@.service": "[Service]\nExecStart=/one\nEnvironment=A=1\n",
            "/lib/systemd/system/a-b@.service.d/10-x.conf": "[Service]\nEnvironment=A=vendor\n",
            "/etc/systemd/system/a-b@.service.d/10-x.conf": "[Service]\nEnvironment=A=local\n",
            "/etc/systemd/system/a-b@2.service.d/20.conf": "[Service]\nExecStart=\nExecStart=-/two 'b c'\n",
            "/etc/systemd/system/a-.service.d/15.conf": "# no\n[Service]\nEnvironment=B=2\n",
            "/etc/systemd/system/service.d/16.conf": "[Service]\nEnvironment=C=3\n[Unit]\nEnvironment=no\n",
        },
    )
    with units_of(tmp_path) as units:
        environment = [one.value for one in units.values("a-b@2.service", "Service", "Environment")]
        assert environment == ["A=1", "A=local", "B=2", "C=3"]
        assert units.commands("a-b@2.service") == [["/two", "b c"]]
        assert units.commands("a-b@1.service") == [["/one"]]
        assert units.commands("none.service") == []


def test_what_is_masked_or_has_no_file_does_not_start(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/lib/systemd/system/good.service": "[Service]\n",
            "/lib/systemd/system/masked.service": "[Service]\n",
            "/etc/systemd/system/masked.service": "-> /dev/null",
        },
    )
    enable(tmp_path, "good.service", "masked.service", "gone.service", "one@.service")
    with units_of(tmp_path) as units:
        assert units.names(".service") == ["good.service"]
        wanted = ("good.service", "masked.service", "gone.service")
        assert [units.is_enabled(name) for name in wanted] == [True, False, False]
        assert units.first("masked.service", "good.service") == "good.service"
        assert units.first("gone.service") == ""


def test_words_are_split_as_systemd_splits_them() -> None:
    text = r"""a 'b c'"d\x41e" \s "" x\"y "open"""
    assert words(text) == ["a", "b cdAe", " ", "", 'x"y', "open"]
