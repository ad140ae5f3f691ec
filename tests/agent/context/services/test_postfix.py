from __future__ import annotations

from pathlib import Path

import pytest
from fakes.configured_root import all_said, bindings_in, write

from keycensus_agent.context.services.postfix_parameters import Parameter, expanded

MAIN, MASTER = "/etc/postfix/main.cf", "/etc/postfix/master.cf"


def test_services_of_master_have_their_files_and_protocols(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: """# a comment
mydomain = example.com
myhostname = mail.$mydomain
keys = /etc/postfix/keys
smtpd_tls_cert_file=
    ${keys}/server.pem
smtpd_tls_key_file = $keys/server.key
smtpd_tls_security_level = may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_CAfile = ${none?/x}${none:/etc/ssl/ca.pem}
inet_interfaces = 192.0.2.1, localhost
""",
            MASTER: """smtp      inet  n       -       y       -       -       smtpd
#465      inet  n       -       y       -       -       smtpd
submissions inet n      -       y       -       -       smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o { smtpd_tls_chain_files = /k1.pem, /k2.pem }
127.0.0.1:10025 inet n  -       y       -       -       smtpd -o smtpd_tls_security_level=none
[::1]:587 inet n        -       y       -       -       smtpd
smtp      unix  -       -       y       -       -       smtp
""",
        },
    )
    pem, key = "/etc/postfix/keys/server.pem", "/etc/postfix/keys/server.key"
    smtp = "for mail.example.com on 192.0.2.1:25,127.0.0.1:25 starttls-smtp"
    tls = "for mail.example.com on 192.0.2.1:465,127.0.0.1:465 tls"
    assert all_said(tmp_path, "postfix") == [
        f"{MAIN}:5 certificate {pem} {smtp}",
        f"{MAIN}:7 key {key} {smtp}",
        f"{MASTER}:3 certificate /k1.pem /k2.pem {tls}",
        f"{MAIN}:5 certificate {pem} for mail.example.com",
        f"{MAIN}:7 key {key} for mail.example.com",
        f"{MAIN}:5 certificate {pem} for mail.example.com on [::1]:587 starttls-smtp",
        f"{MAIN}:7 key {key} for mail.example.com on [::1]:587 starttls-smtp",
        f"{MAIN}:10 trust /etc/ssl/ca.pem",
        f"{MAIN}:9 trust /etc/ssl/certs",
    ]


def test_without_a_listener_the_files_are_named_all_the_same(tmp_path: Path) -> None:
    text = "smtpd_tls_cert_file = /c.pem\nsmtpd_tls_key_file = $smtpd_tls_cert_file\nsmtpd_tls_eccert_file = none\n"
    write(
        tmp_path, {MAIN: text, "/lib/systemd/system/postfix@.service": "", "/etc/hostname": "h\n"}
    )
    assert all_said(tmp_path, "postfix") == [f"{MAIN}:1 certificate /c.pem"]
    assert bindings_in(tmp_path, "postfix")[0].unit == "postfix@-.service"


def test_names_have_certificates_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: "smtpd_use_tls = yes\ntls_server_sni_maps = lmdb:/etc/postfix/sni\n",
            MASTER: "2525 inet n - y - - smtpd\n",
            "/etc/postfix/sni": "a.test /a.key, /a.pem\n.b.test\t/b.pem\nnone\n",
            "/etc/hostname": "mail.test\n",
        },
    )
    assert all_said(tmp_path, "postfix") == [
        "/etc/postfix/sni:1 certificate /a.key /a.pem for a.test on *:2525 starttls-smtp",
        "/etc/postfix/sni:2 certificate /b.pem for *.b.test on *:2525 starttls-smtp",
    ]


def test_other_instances_are_read_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            MAIN: "multi_instance_directories = /etc/postfix-out /etc/postfix\n",
            "/etc/postfix-out/main.cf": "smtp_tls_cert_file = $config_directory/c.pem\n",
        },
    )
    assert all_said(tmp_path, "postfix") == [
        "/etc/postfix-out/main.cf:1 certificate /etc/postfix-out/c.pem"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("$a-${a}-$(a)-$$", "A-A-A-$"),
        ("${a?yes}${a:no}", "yes"),
        ("${none?yes}${none:no}", "no"),
        ("${a?{yes $a}:{no}}", "yes A"),
        ("${none?{yes}:{no $a}}", "no A"),
        ("$none$", "$"),
        ("${a", "A"),
        ("${?}${", ""),
        ("$self", ""),
    ],
)
def test_parameters_are_put_in(value: str, text: str) -> None:
    known = {"a": Parameter("A", "", 0), "self": Parameter("", "", 0)}
    assert expanded(value, known) == text


def test_parameters_that_double_come_to_an_end() -> None:
    known = {f"p{n}": Parameter(f"$p{n + 1}$p{n + 1}", "", 0) for n in range(30)}
    known["p30"] = Parameter("$p0", "", 0)
    assert len(expanded("$p0" * 1_000, known)) <= 4096
