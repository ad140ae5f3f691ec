from __future__ import annotations

from pathlib import Path

import pytest
from fakes.configured_root import all_said, bindings_in, write

from keycensus_agent.context.services.systemd_units import kind_of


def test_credentials_variables_and_arguments_name_files(tmp_path: Path) -> None:
    unit = "/etc/systemd/system/app@.service"
    write(
        tmp_path,
        {
            unit: """[Service]
LoadCredential=tls.key:/etc/app/%i.key
LoadCredentialEncrypted=word:/etc/app/word
Environment="TLS_CERT=/etc/app/cert.pem" HOME=/etc/app STORE=file:/etc/app/s.p12 NONE_KEY=/none
ExecStart=/usr/bin/app --tls-ca=/etc/app/ca --config /etc/app/app.conf \\
    -key "/etc/app/a b.key" /etc/app/cert.pem --url=https://example.com/cert.pem
""",
            "/etc/systemd/system/app@.service.d/x.conf": "[Service]\nLoadCredential=ca:/etc/app/ca\n",
            "/etc/systemd/system/multi-user.target.wants/app@one.service": "-> ../app@.service",
            **{
                f"/etc/app/{name}": ""
                for name in ("one.key", "word", "cert.pem", "s.p12", "ca", "app.conf")
            },
            "/etc/app/a b.key": "",
        },
    )
    assert all_said(tmp_path, "systemd") == [
        f"{unit}:2 key /etc/app/one.key",
        "/etc/systemd/system/app@.service.d/x.conf:2 trust /etc/app/ca",
        f"{unit}:3 key /etc/app/word",
        f"{unit}:4 certificate /etc/app/cert.pem",
        f"{unit}:4 store /etc/app/s.p12",
        f"{unit}:5 trust /etc/app/ca",
        f"{unit}:5 certificate /etc/app/cert.pem",
    ]
    assert {one.unit for one in bindings_in(tmp_path, "systemd")} == {"app@one.service"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("--tls-cert-file", "certificate"),
        ("SSL_KEY", "key"),
        ("-keystore", "store"),
        ("--cacert", "trust"),
        ("--ca-file", "trust"),
        ("TRUSTED", "trust"),
        ("x.crl", "crl"),
        ("fullchain", "certificate"),
        ("--config", ""),
        ("monkey", ""),
        ("cache", ""),
        ("keyboard.conf", ""),
    ],
)
def test_names_say_what_they_are_for(name: str, kind: str) -> None:
    assert kind_of(name) == kind
