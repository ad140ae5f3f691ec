"""Bindings and renewal records become usages, equal ones one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keycensus_agent.context.bindings import Binding, Renewer
from keycensus_agent.context.usages import merge, renewals
from keycensus_agent.reader.convert import encode_usage, usage_of

BINDING = Binding("nginx", "nginx.service", b"/c", 7, "certificate", (b"/a",), ("www",), ("*:443",))
RENEWER = Renewer("certbot", "www", b"/r", (b"/a",), 5, overdue=False, schedule="certbot.timer")


def keys(paths: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(paths))


def test_equal_bindings_are_one_usage_of_all_their_places() -> None:
    (bound,) = merge([replace(BINDING, line=9, paths=(b"/b",)), BINDING], keys)
    assert (bound.usage.line, bound.usage.places) == (7, (b"/a", b"/b"))
    assert set(bound.paths) == {b"/a", b"/b"}
    others = merge([BINDING, replace(BINDING, directive="key")], keys)
    assert len(others) == 2


def test_order_of_bindings_changes_no_row() -> None:
    one, other = BINDING, replace(BINDING, configuration=b"/d")
    rows = [
        [encode_usage(each.usage) for each in merge(order, keys)]
        for order in ((one, other), (other, one))
    ]
    assert rows[0] == rows[1]


def test_text_of_configurations_is_made_fit_for_rows() -> None:
    hostile = replace(
        BINDING,
        unit="a\0\udcff" + "x" * 500,
        server_names=("n" * 500, "\ud800"),
        listen=("\udcfe",),
    )
    (bound,) = merge([hostile], keys)
    assert usage_of(encode_usage(bound.usage)) == bound.usage
    assert len(bound.usage.unit) == 200


def test_a_renewers_records_are_usages_with_a_renewal() -> None:
    (usage,) = renewals([RENEWER, replace(RENEWER, paths=(b"/b",))], keys)
    assert (usage.service, usage.directive, usage.places) == ("renewer", "renewal", (b"/a", b"/b"))
    assert usage.renewal is not None
    assert (usage.renewal.tool, usage.renewal.last_success_ms) == ("certbot", 5)
    (odd,) = renewals([replace(RENEWER, last_success_ms=-5)], keys)
    assert odd.renewal is not None
    assert odd.renewal.last_success_ms == 0
    assert len(renewals([RENEWER, replace(RENEWER, name="other")], keys)) == 2


def test_of_several_records_under_one_name_the_late_one_counts() -> None:
    late = replace(RENEWER, paths=(b"/late",), overdue=True, reason="past-due")
    for order in ([RENEWER, late], [late, RENEWER]):
        (usage,) = renewals(order, keys)
        assert usage.renewal is not None
        assert usage.renewal.overdue
        assert usage.renewal.reason == "past-due"
        assert usage_of(encode_usage(usage)) == usage
