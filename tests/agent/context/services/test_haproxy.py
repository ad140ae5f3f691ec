from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, problems_in, write

MAIN = "/etc/haproxy/haproxy.cfg"
UNIT = """[Service]
EnvironmentFile=-/etc/default/haproxy
Environment="CONFIG=/etc/haproxy/haproxy.cfg" "EXTRAOPTS=-S /run/haproxy-master.sock"
ExecStart=/usr/sbin/haproxy -Ws -f $CONFIG -p /run/haproxy.pid $EXTRAOPTS
"""


def test_lines_of_bind_have_certificates_keys_and_trust(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """global
    ca-base /etc/ssl/certs
    crt-base /etc/ssl/private
frontend web
    bind *:80
    bind :443,[::]:443,quic4@:443,unix@/x ssl crt a.pem alpn h2 ca-file clients.pem crl-file /c.crl # crt no
    bind 10.0.0.1:8443-8444 ssl crt "/srv/a b.pem" crt b.crt
    bind abns@x ssl crt a.pem
backend app
    server one 10.0.0.2:443 ssl verify required ca-file @system-ca crt /srv/out.pem
    server two 10.0.0.2:443 ssl ca-file /srv/app\\ ca.pem
""",
            "/etc/ssl/private/a.pem": "",
            "/etc/ssl/private/a.pem.key": "",
            "/etc/ssl/private/b.crt": "",
            "/etc/ssl/private/b.key": "",
        },
    )
    web = "on *:443,[::]:443 tls"
    two = "on 10.0.0.1:8443,10.0.0.1:8444 tls"
    assert all_said(tmp_path, "haproxy") == [
        f"{MAIN}:6 certificate /etc/ssl/private/a.pem {web}",
        f"{MAIN}:6 key /etc/ssl/private/a.pem.key {web}",
        f"{MAIN}:6 trust /etc/ssl/certs/clients.pem {web}",
        f"{MAIN}:6 crl /c.crl {web}",
        f"{MAIN}:7 certificate /srv/a b.pem {two}",
        f"{MAIN}:7 certificate /etc/ssl/private/b.crt {two}",
        f"{MAIN}:7 key /etc/ssl/private/b.key {two}",
        f"{MAIN}:8 certificate /etc/ssl/private/a.pem",
        f"{MAIN}:8 key /etc/ssl/private/a.pem.key",
        f"{MAIN}:10 certificate /srv/out.pem",
        f"{MAIN}:11 trust /srv/app ca.pem",
    ]
    assert problems_in(tmp_path, "haproxy") == []


def test_directories_bundles_and_lists(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """listen l
    bind [::1]:1 ssl crt /d/
    bind ipv6@:2 ssl crt /b.pem
    bind ipv4@127.0.0.1:3 ssl crt-list /etc/haproxy/list
""",
            **{
                f"/d/{name}": ""
                for name in ("b.pem", "a.pem", "a.pem.key", "a.pem.ocsp", ".x", "c.issuer")
            },
            "/b.pem.rsa": "",
            "/b.pem.ecdsa": "",
            "/etc/haproxy/list": "# a list\n/l1.pem a.test *.b.test !c.b.test\n"
            "/l2.pem [verify required ca-file /l.ca] d.test\n\n/l3.pem\n",
        },
    )
    assert all_said(tmp_path, "haproxy") == [
        f"{MAIN}:2 certificate /d/a.pem /d/b.pem on [::1]:1 tls",
        f"{MAIN}:2 key /d/a.pem.key on [::1]:1 tls",
        f"{MAIN}:3 certificate /b.pem.rsa /b.pem.ecdsa on [::]:2 tls",
        "/etc/haproxy/list:2 certificate /l1.pem for a.test,*.b.test on 127.0.0.1:3 tls",
        "/etc/haproxy/list:3 certificate /l2.pem for d.test on 127.0.0.1:3 tls",
        "/etc/haproxy/list:3 trust /l.ca for d.test on 127.0.0.1:3 tls",
        "/etc/haproxy/list:5 certificate /l3.pem on 127.0.0.1:3 tls",
    ]


def test_the_unit_says_which_files_and_variables(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/lib/systemd/system/haproxy.service": UNIT,
            "/etc/default/haproxy": 'CONFIG="/etc/haproxy/conf.d"\nNAME=n\n',
            "/etc/haproxy/conf.d/1.cfg": "global\n  crt-base /srv\n",
            "/etc/haproxy/conf.d/2.cfg": "frontend f\n bind :1 ssl crt \"${NAME}-${NO-x}.pem\" crt '$NAME'\n",
            "/etc/haproxy/conf.d/no.txt": "frontend f\n bind :1 ssl crt a\n",
            MAIN: "frontend f\n bind :1 ssl crt /unused\n",
        },
    )
    found = bindings_in(tmp_path, "haproxy")
    assert [path for one in found for path in one.paths] == [b"/srv/n-x.pem", b"/srv/$NAME"]
    assert {one.unit for one in found} == {"haproxy.service"}


def test_stores_of_certificates_and_no_files_beside(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """global
  ssl-load-extra-files none
crt-store web
  crt-base /srv/c
  key-base /srv/k
  load crt a.crt key a.key issuer /i.pem alias a
frontend f
  bind :1 ssl crt @web/a crt /e.crt
  .if defined(X)
""",
            "/e.crt": "",
            "/e.key": "",
        },
    )
    assert all_said(tmp_path, "haproxy") == [
        f"{MAIN}:6 certificate /srv/c/a.crt",
        f"{MAIN}:6 key /srv/k/a.key",
        f"{MAIN}:6 chain /i.pem",
        f"{MAIN}:8 certificate /e.crt on *:1 tls",
    ]
