"""Parameters of lists are conditions of a query, which can be read as one."""

from __future__ import annotations

import pytest

from keycensus_collector.api.parameters import (
    CertificateParameters,
    HostParameters,
    KeyParameters,
    ListParameters,
)
from keycensus_collector.errors import UsageError
from keycensus_collector.query.parse import parse
from keycensus_collector.query.render import render

_OUTSIDE = "not role=trust-store"
ASKED: list[tuple[ListParameters, str]] = [
    (CertificateParameters(), ""),
    (CertificateParameters(include="trust-stores"), "role:any"),
    (CertificateParameters(status="live"), "use:live"),
    (CertificateParameters(q="use:retained", include="trust-stores"), "use:retained role:any"),
    (CertificateParameters(status="gone"), "found:gone"),
    (CertificateParameters(status="any", include="trust-stores"), "found:any"),
    (CertificateParameters(status="any"), f"found:gone or use:any {_OUTSIDE}"),
    (
        CertificateParameters(status="any", host="a b"),
        f'host:"a b" found:any use:any {_OUTSIDE}',
    ),
    (
        CertificateParameters(status="retained"),
        f"found:any use:retained none(use:live) {_OUTSIDE}",
    ),
    (CertificateParameters(expires_within=" 4w "), "expires<4w expires>=0d"),
    (CertificateParameters(expires_within="4w", expired=True), "expires<4w expires<0d"),
    (CertificateParameters(expired=False), "expires>=0d"),
    (CertificateParameters(name="none", path="/a*b/*"), 'name:"none" path:"/a**b/**"'),
    (
        CertificateParameters(verdict="served"),
        f"listener:served (found:gone or use:any {_OUTSIDE})",
    ),
    (CertificateParameters(q="ca:no or bits:1", is_ca=True), "(ca:no or bits:1) ca:yes"),
    (
        CertificateParameters(line=7, without_key=True, issuer="X"),
        'issuer:"X" line:7 private-key:none',
    ),
    (KeyParameters(), ""),
    (KeyParameters(status="retained", sealed=True), "sealed:yes use:retained none(use:live)"),
    (KeyParameters(algorithm="RSA", encrypted=False), 'key="RSA" encrypted:no'),
    (KeyParameters(readable_by="group", status="any"), "readable-by:group use:any"),
    (HostParameters(state="silent", name="B 1"), 'state:silent "B 1"'),
]


@pytest.mark.parametrize(("parameters", "query"), ASKED)
def test_parameters_are_a_query(parameters: ListParameters, query: str) -> None:
    asked = parameters.as_query()
    assert asked == parse(query)
    # What a person can type, and a view can keep.
    assert parse(render(asked)) == asked


def test_a_path_of_too_many_stars_is_refused() -> None:
    with pytest.raises(UsageError, match="fewer stars"):
        CertificateParameters(path="*a" * 400).as_query()
