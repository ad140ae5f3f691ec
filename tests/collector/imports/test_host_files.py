"""Lists of known hosts are read as their makers mean them, and mistakes are told by line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keycensus_collector.errors import UsageError
from keycensus_collector.imports.host_files import FORMATS, KnownHost, read_hosts
from keycensus_collector.imports.host_ranges import names_of

INI = """\
# the fleet
lonely.example.com ansible_host=192.0.2.1
[web]
web[01:03].example.com:2222 http_port=80   # by number
[db:children]
nothing
[db:vars]
ansible_user=root
[db]
db-[a:c:2] ansible_host="192.0.2.9"
"""
YAML = """\
all:
  hosts:
    lonely.example.com: {ansible_host: 192.0.2.1}
  children:
    web:
      hosts:
        web[01:03].example.com: {http_port: 80}
    data:
      children:
        db:
          hosts:
            db-[a:c:2]: {ansible_host: 192.0.2.9}
"""
EXPECTED = [
    ("lonely.example.com", ("192.0.2.1",), ()),
    ("web01.example.com", (), ("web",)),
    ("web02.example.com", (), ("web",)),
    ("web03.example.com", (), ("web",)),
    ("db-a", ("192.0.2.9",), ("db",)),
    ("db-c", ("192.0.2.9",), ("db",)),
]


def plain(hosts: list[KnownHost]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(each.name, each.addresses, each.groups) for each in hosts]


@pytest.mark.parametrize(("text", "format_"), [(INI, "ansible-ini"), (YAML, "ansible-yaml")])
def test_inventories_of_ansible(text: str, format_: str) -> None:
    assert plain(read_hosts(text.encode(), format_)) == EXPECTED


def test_csv_and_json_as_of_netbox() -> None:
    text = "\ufeffName,IP,Groups\nweb1,10.0.0.1/24,prod;dmz\nWEB1,10.0.0.2,\n"
    assert plain(read_hosts(text.encode(), "csv")) == [
        ("web1", ("10.0.0.1", "10.0.0.2"), ("prod", "dmz"))
    ]
    item = {
        "name": "web2",
        "primary_ip4": {"address": "10.0.0.7/32"},
        "tags": [{"name": "Prod", "slug": "prod"}],
        "role": {"name": "web", "slug": "web"},
    }
    for document in ([item], {"count": 1, "results": [item]}):
        assert plain(read_hosts(json.dumps(document).encode(), "json")) == [
            ("web2", ("10.0.0.7",), ("prod", "web"))
        ]


@pytest.mark.parametrize(
    ("text", "format_", "said"),
    [
        ("a,b\n1,2\n", "csv", "line 1: no column is called name"),
        ("name\nok\nnot a name\n-x\n", "csv", "line 3: 'not a name' can't.*; line 4"),
        ("name\n", "csv", "names no host"),
        ("name\na,b\n", "csv", "line 2: more cells"),
        ("[web\nx\n", "ansible-ini", "line 1: this is no section"),
        ("web[1:\n", "ansible-ini", "line 1: .*range that is none"),
        ("web[9:1]\n", "ansible-ini", "empty"),
        ("web[1:999999]\n", "ansible-ini", "more than 100,000"),
        ("a[0:9][0:9][0:9][0:9][0:9][0:9]\n", "ansible-ini", "more than 100,000"),
        ("web[a:9]\n", "ansible-ini", "one kind of value"),
        ('web "x\n', "ansible-ini", "No closing quotation"),
        ("a: &x {hosts: {}}\nb: *x\n", "ansible-yaml", "line 2: aliases are not taken"),
        ("!!python/object/apply:os.system ['id']\n", "ansible-yaml", "could not determine"),
        ("- a\n", "ansible-yaml", "mapping of groups"),
        ("a: {hosts: [x]}\n", "ansible-yaml", "group a: hosts and children are mappings"),
        ("{", "json", "it is no JSON"),
        ('{"results": 1}', "json", "list of objects"),
        ('[1, {"x": 2}]', "json", "item 1: is no object; item 2: has no name"),
        ("\xff", "json", "no JSON"),
    ],
)
def test_mistakes_say_where_they_are(text: str, format_: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_hosts(text.encode(), format_)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="byte 4"):
        read_hosts(b"name\xff", "csv")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from(FORMATS))
def test_anything_is_read_or_refused_in_words(text: str, format_: str) -> None:
    try:
        hosts = read_hosts(text.encode(errors="replace"), format_)
    except UsageError:
        return
    assert all(each.name.isascii() for each in hosts)


@given(st.integers(0, 300), st.integers(0, 40), st.integers(1, 5), st.integers(0, 3))
def test_ranges_count_as_ansible_does(low: int, more: int, step: int, width: int) -> None:
    first, last = str(low).zfill(width), str(low + more)
    names = list(names_of(f"n[{first}:{last}:{step}]x"))
    padded = len(first) if first.startswith("0") else 0
    assert names == [f"n{str(i).zfill(padded)}x" for i in range(low, low + more + 1, step)]
