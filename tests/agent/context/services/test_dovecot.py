from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, enable, problems_in, write

MAIN = "/etc/dovecot/dovecot.conf"
SSL = "/etc/dovecot/conf.d/10-ssl.conf"


def test_a_certificate_for_all_is_on_every_listener(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """# mail
!include_try /usr/share/dovecot/protocols.d/*.protocol
dict {
  #x = y
}
!include conf.d/*.conf
!include_try local.conf
""",
            "/usr/share/dovecot/protocols.d/imapd.protocol": "protocols = $protocols imap\n",
            "/usr/share/dovecot/protocols.d/popd.protocol": "protocols = $protocols pop3\n",
            SSL: """ssl = required
ssl_cert = </etc/ssl/mail.pem
ssl_key = < "/etc/none.key"
ssl_key = </etc/ssl/mail.key
ssl_key_password = secret
ssl_client_ca_dir = /etc/ssl/certs
""",
            "/etc/dovecot/conf.d/10-master.conf": """listen = *
service imap-login {
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    address = 192.0.2.1
    port = 1993
    ssl = yes
  }
}
service pop3-login { process_limit = 2 }
""",
            "/lib/systemd/system/dovecot.service": "[Service]\n",
        },
    )
    enable(tmp_path, "dovecot.service")
    cert, key = "certificate /etc/ssl/mail.pem", "key /etc/ssl/mail.key"
    tls, starttls = "on 192.0.2.1:1993,*:995 tls", "on *:110 starttls-pop3"
    assert all_said(tmp_path, "dovecot") == [
        f"{SSL}:2 {cert} {tls}",
        f"{SSL}:4 {key} {tls} password inline",
        f"{SSL}:2 {cert} {starttls}",
        f"{SSL}:4 {key} {starttls} password inline",
        f"{SSL}:6 trust /etc/ssl/certs",
    ]
    assert {one.unit for one in bindings_in(tmp_path, "dovecot")} == {"dovecot.service"}
    assert problems_in(tmp_path, "dovecot") == []


def test_names_addresses_and_protocols_have_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """protocols = imap submission
listen = 192.0.2.1
ssl_server_cert_file = /etc/ssl/all.pem
local_name "a.test *.b.test" {
  ssl_server_cert_file = /etc/ssl/a.pem
}
local 192.0.2.9 {
  ssl_cert = </etc/ssl/nine.pem
}
protocol submission {
  ssl_cert = </etc/ssl/out.pem
}
ssl_cert = -----BEGIN CERTIFICATE-----
service submission-login {
  inet_listener submissions { }
}
""",
        },
    )
    names = "for a.test,*.b.test"
    assert all_said(tmp_path, "dovecot") == [
        f"{MAIN}:3 certificate /etc/ssl/all.pem on 192.0.2.1:143 starttls-imap",
        f"{MAIN}:3 certificate /etc/ssl/all.pem on 192.0.2.1:993 tls",
        f"{MAIN}:5 certificate /etc/ssl/a.pem {names} on 192.0.2.1:143 starttls-imap",
        f"{MAIN}:5 certificate /etc/ssl/a.pem {names} on 192.0.2.1:993 tls",
        f"{MAIN}:8 certificate /etc/ssl/nine.pem",
        f"{MAIN}:11 certificate /etc/ssl/out.pem on 192.0.2.1:587 starttls-smtp",
        f"{MAIN}:11 certificate /etc/ssl/out.pem on 192.0.2.1:465 tls",
    ]


def test_without_tls_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path, {MAIN: "ssl_cert = </a\nssl = no\n"})
    assert bindings_in(tmp_path, "dovecot") == []


def test_mistakes_are_noted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {MAIN: "!include none.conf\n!include dovecot.conf\nservice a {\nx = \\\n y\n}}\nb {\n"},
    )
    assert {(one.line, one.text) for one in problems_in(tmp_path, "dovecot")} == {
        (1, "includes what is not there"),
        (0, "included by itself, or too deep"),
        (0, "ends in the middle of a block"),
    }
