from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, problems_in, write

CONF = "/etc/postgresql/15/main/postgresql.conf"


def test_a_cluster_of_debian(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            CONF: """data_directory = '/var/lib/postgresql/15/main'		# where the data is
#listen_addresses = 'localhost'
port = 5433				# (change requires restart)
ssl = on
ssl_cert_file = '/etc/ssl/certs/first.pem'
ssl_key_file = '/etc/ssl/it''s.key'
ssl_passphrase_command = 'cat /etc/word'
include_dir = 'conf.d'
""",
            "/etc/postgresql/15/main/conf.d/20.conf": "SSL_CERT_FILE 'second.pem'\n",
            "/etc/postgresql/15/main/conf.d/10.conf": "ssl_cert_file = '/etc/no.pem'\n",
            "/etc/postgresql/15/main/conf.d/30.txt": "ssl_cert_file = '/etc/no.pem'\n",
            "/var/lib/postgresql/15/main/postgresql.auto.conf": "ssl_ca_file = '/etc/ssl/ca.pem'\n",
            "/lib/systemd/system/postgresql@.service": "[Service]\n",
        },
    )
    listen = "on 127.0.0.1:5433,[::1]:5433 starttls-postgresql"
    data = "/var/lib/postgresql/15/main"
    assert all_said(tmp_path, "postgresql") == [
        f"/etc/postgresql/15/main/conf.d/20.conf:1 certificate {data}/second.pem {listen}",
        f"{CONF}:6 key /etc/ssl/it's.key {listen} password program",
        f"{data}/postgresql.auto.conf:1 trust /etc/ssl/ca.pem {listen}",
    ]
    assert bindings_in(tmp_path, "postgresql")[0].unit == "postgresql@15-main.service"


def test_a_data_directory_with_defaults(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/var/lib/pgsql/16/data/postgresql.conf": "listen_addresses='*, ::'\nssl = yes\ninclude '../tls.conf'\n",
            "/var/lib/pgsql/16/tls.conf": "ssl_crl_dir = crls\n",
            "/lib/systemd/system/postgresql-16.service": "[Service]\n",
        },
    )
    listen = "on *:5432,[::]:5432 starttls-postgresql"
    data = "/var/lib/pgsql/16/data"
    assert all_said(tmp_path, "postgresql") == [
        f"{data}/postgresql.conf:0 certificate {data}/server.crt {listen}",
        f"{data}/postgresql.conf:0 key {data}/server.key {listen}",
        f"/var/lib/pgsql/16/tls.conf:1 crl {data}/crls {listen}",
    ]
    assert bindings_in(tmp_path, "postgresql")[0].unit == "postgresql-16.service"


def test_without_tls_nothing_is_named_and_circles_are_noted(tmp_path: Path) -> None:
    write(tmp_path, {CONF: "ssl = off\nssl_cert_file = '/a'\ninclude = 'postgresql.conf'\n"})
    assert bindings_in(tmp_path, "postgresql") == []
    assert [one.text for one in problems_in(tmp_path, "postgresql")] == [
        "included by itself, or too deep"
    ]


def test_escapes_in_quotes_are_those_of_the_server(tmp_path: Path) -> None:
    write(
        tmp_path, {CONF: r"ssl=t" + "\n" + r"ssl_cert_file='/a\'b\\c\101\n'" + "\nbroken\n = x\n"}
    )
    assert bindings_in(tmp_path, "postgresql")[0].paths == (b"/a'b\\cA\n",)
