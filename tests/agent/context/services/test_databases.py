"""MySQL and MariaDB, Redis, OpenLDAP."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fakes.configured_root import all_said, bindings_in, problems_in, write

# --- MySQL and MariaDB ----------------------------------------------------------------------------

SERVER = "/etc/mysql/mariadb.conf.d/50-server.cnf"


def test_mariadb_as_debian_lays_it_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/mysql/my.cnf": "-> /etc/alternatives/my.cnf",
            "/etc/alternatives/my.cnf": "-> /etc/mysql/mariadb.cnf",
            "/etc/mysql/mariadb.cnf": "[client-server]\nsocket = /run/x\n!includedir /etc/mysql/mariadb.conf.d/\n",
            SERVER: """[mysqld]
bind-address = 127.0.0.1, ::1 # local
# ssl-ca = /no.pem
ssl_cert = "/etc/mysql/server.pem"
loose-ssl-key = server.key
datadir = /srv/mysql
[mariadb-10.11]
ssl-ca = /etc/mysql/ca.pem
[embedded]
ssl-cert = /no.pem
""",
            "/etc/mysql/mariadb.conf.d/60-galera.cnf": """[galera]
wsrep_provider_options = "socket.ssl_key=/g.key;socket.ssl_cert=/g.pem"
[mysqld]
port = 3307
admin-ssl-cert = /admin.pem
[client]
ssl-ca=/etc/mysql/trusted.pem
""",
            "/lib/systemd/system/mariadb.service": "[Service]\n",
        },
    )
    listen = "on 127.0.0.1:3307,[::1]:3307 starttls-mysql"
    galera = "/etc/mysql/mariadb.conf.d/60-galera.cnf"
    assert all_said(tmp_path, "mysql") == [
        f"{SERVER}:4 certificate /etc/mysql/server.pem {listen}",
        f"{galera}:5 certificate /admin.pem",
        f"{SERVER}:5 key /srv/mysql/server.key {listen}",
        f"{SERVER}:8 trust /etc/mysql/ca.pem {listen}",
        f"{galera}:2 key /g.key",
        f"{galera}:2 certificate /g.pem",
        f"{galera}:7 trust /etc/mysql/trusted.pem",
    ]
    assert bindings_in(tmp_path, "mysql")[0].unit == "mariadb.service"


def test_mysql_uses_what_it_made_itself(tmp_path: Path) -> None:
    own = {f"/var/lib/mysql/{name}": "" for name in ("ca.pem", "server-cert.pem", "server-key.pem")}
    write(tmp_path, {"/etc/my.cnf": "[mysqld]\n", "/usr/sbin/mysqld": "", **own})
    assert [one.directive for one in bindings_in(tmp_path, "mysql")] == [
        "certificate",
        "key",
        "trust",
    ]
    write(tmp_path, {"/usr/sbin/mariadbd": ""})
    assert bindings_in(tmp_path, "mysql") == []


@pytest.mark.parametrize(
    "text", ["ssl = 0\nssl-cert = /a", "ssl-cert = /a\nskip-ssl", "ssl-cert ="]
)
def test_mysql_without_tls_names_nothing(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"/etc/my.cnf": f"[server]\n{text}\n"})
    assert bindings_in(tmp_path, "mysql") == []


def test_mysql_without_network_listens_nowhere_and_circles_are_noted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/my.cnf": "[mysqld]\nskip-networking\nssl-cert = '/a#b'\n!include my.cnf\n!included x\n"
        },
    )
    assert all_said(tmp_path, "mysql") == ["/etc/my.cnf:3 certificate /a#b"]
    assert [one.text for one in problems_in(tmp_path, "mysql")] == [
        "included by itself, or too deep"
    ]


# --- Redis ----------------------------------------------------------------------------------------


def test_redis(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/redis/redis.conf": """# TLS
bind 127.0.0.1 -::1
dir /var/lib/redis
include /etc/redis/tls*.conf
tls-cert-file redis.crt
""",
            "/etc/redis/tls1.conf": """tls-port 6380
tls-cert-file /no.crt
tls-key-file "/etc/redis/a b.key"
tls-key-file-pass secret
tls-ca-cert-dir /etc/ssl/certs
tls-client-cert-file /client.crt
include /etc/redis/redis.conf
""",
            "/lib/systemd/system/redis-server.service": "[Service]\n",
        },
    )
    listen = "on 127.0.0.1:6380,[::1]:6380 tls"
    assert all_said(tmp_path, "redis") == [
        f"/etc/redis/redis.conf:5 certificate /var/lib/redis/redis.crt {listen}",
        f"/etc/redis/tls1.conf:3 key /etc/redis/a b.key {listen} password inline",
        "/etc/redis/tls1.conf:6 certificate /client.crt",
        f"/etc/redis/tls1.conf:5 trust /etc/ssl/certs {listen}",
    ]
    assert [one.text for one in problems_in(tmp_path, "redis")] == [
        "included by itself, or too deep"
    ]


def test_redis_without_a_port_for_tls_listens_nowhere(tmp_path: Path) -> None:
    write(tmp_path, {"/etc/valkey/valkey.conf": "tls-replication yes\ntls-cert-file /a.crt\n"})
    assert all_said(tmp_path, "redis") == ["/etc/valkey/valkey.conf:2 certificate /a.crt"]


# --- OpenLDAP -------------------------------------------------------------------------------------


def test_slapd_by_its_configuration_in_ldif(tmp_path: Path) -> None:
    key = base64.b64encode(b"/etc/ldap/k\xc3\xa9y.pem").decode()
    folder = "/etc/ldap/slapd.d/cn=config"
    write(
        tmp_path,
        {
            f"{folder}.ldif": f"""# AUTO-GENERATED FILE
dn: cn=config
olcTLSCertificateFile: /etc/ldap/ce
 rt.pem
olcTLSCertificateKeyFile:: {key}
olcTLSCACertificatePath: /etc/ssl/certs
""",
            f"{folder}/olcDatabase={{1}}mdb.ldif": """dn: olcDatabase={1}mdb
olcSyncrepl: {0}rid=1 provider=ldap://b tls_cert="/etc/ldap/out.pem"
  tls_key=/etc/ldap/out.key x=y
""",
            "/etc/ldap/slapd.conf": "TLSCertificateFile /no.pem\n",
            "/etc/default/slapd": 'SLAPD_SERVICES="ldap://127.0.0.1:3389/ ldaps:/// ldapi:///"\n',
            "/etc/ldap/ldap.conf": "# client\nTLS_CACERT\t/etc/ssl/ca.pem\nBASE dc=x\n",
        },
    )
    settings = [
        f"{folder}.ldif:3 certificate /etc/ldap/cert.pem",
        f"{folder}.ldif:5 key /etc/ldap/kéy.pem",
        f"{folder}.ldif:6 trust /etc/ssl/certs",
    ]
    assert all_said(tmp_path, "openldap") == [
        *(f"{line} on 127.0.0.1:3389 starttls-ldap" for line in settings),
        *(f"{line} on *:636 tls" for line in settings),
        f"{folder}/olcDatabase={{1}}mdb.ldif:2 certificate /etc/ldap/out.pem",
        f"{folder}/olcDatabase={{1}}mdb.ldif:2 key /etc/ldap/out.key",
        "/etc/ldap/ldap.conf:2 trust /etc/ssl/ca.pem",
    ]


def test_slapd_by_its_old_configuration(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/openldap/slapd.conf": """include /etc/openldap/tls.conf
include /etc/openldap/slapd.conf
syncrepl rid=1
   tls_cacert=/sync.pem
""",
            "/etc/openldap/tls.conf": 'TLSCertificateFile "/a.pem"\n',
        },
    )
    assert all_said(tmp_path, "openldap") == [
        "/etc/openldap/tls.conf:1 certificate /a.pem",
        "/etc/openldap/slapd.conf:3 trust /sync.pem",
    ]
    assert [one.text for one in problems_in(tmp_path, "openldap")] == [
        "included by itself, or too deep"
    ]
