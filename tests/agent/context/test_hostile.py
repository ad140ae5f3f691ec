"""Configurations that were written to hurt: whatever they say, a reader yields what it can and comes to an end."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.configured_root import NOW_MS, context_of, write
from fakes.memory_files import MemoryFiles
from hypothesis import given, settings
from hypothesis import strategies as st

from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.schedules import Schedules
from keycensus_agent.context.renewers.table import TOOLS
from keycensus_agent.context.services.table import SERVICES
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units

# Where each reader looks first, and a file that patterns and includes lead to.
FILES = {
    "nginx": ("/etc/nginx/nginx.conf", "/etc/nginx/x"),
    "apache": ("/etc/apache2/apache2.conf", "/etc/apache2/envvars", "/etc/apache2/x"),
    "haproxy": ("/etc/haproxy/haproxy.cfg", "/x"),
    "postfix": ("/etc/postfix/main.cf", "/etc/postfix/master.cf", "/x"),
    "dovecot": ("/etc/dovecot/dovecot.conf", "/etc/dovecot/x"),
    "postgresql": ("/etc/postgresql/15/main/postgresql.conf", "/etc/postgresql/15/main/x"),
    "mysql": ("/etc/my.cnf", "/etc/x", "/usr/sbin/mysqld"),
    "openldap": (
        "/etc/ldap/slapd.conf",
        "/etc/openldap/slapd.d/cn=config.ldif",
        "/etc/default/slapd",
        "/etc/ldap/ldap.conf",
    ),
    "redis": ("/etc/redis/redis.conf", "/x"),
    "tomcat": ("/etc/tomcat9/server.xml", "/etc/tomcat9/catalina.properties"),
    "systemd": ("/etc/systemd/system/x.service", "/etc/systemd/system/x.service.d/x.conf", "/x"),
    "kubernetes": (
        "/etc/kubernetes/manifests/x.yaml",
        "/var/lib/kubelet/config.yaml",
        "/etc/kubernetes/x.conf",
    ),
    "certbot": ("/etc/letsencrypt/renewal/x.conf", "/etc/letsencrypt/cli.ini", "/x"),
    "acme.sh": ("/root/.acme.sh/x/x.conf", "/root/.acme.sh/account.conf", "/root/.acme.sh/x/x.cer"),
    "lego": ("/etc/lego/certificates/x.json", "/etc/lego/certificates/x.crt"),
    "dehydrated": (
        "/etc/dehydrated/config",
        "/etc/dehydrated/domains.txt",
        "/etc/dehydrated/certs/x/cert.pem",
    ),
    "certmonger": ("/var/lib/certmonger/requests/x", "/x"),
    "caddy": ("/var/lib/caddy/certificates/x/x/x.json", "/var/lib/caddy/certificates/x/x/x.crt"),
    "traefik": ("/etc/traefik/traefik.yml", "/acme.json"),
    "mod_md": ("/etc/apache2/apache2.conf", "/etc/apache2/mods-enabled/md.load"),
    "cert-manager": ("/etc/kubernetes/x.yaml",),
}
CRON = ("/etc/crontab", "/usr/sbin/cron", "/etc/systemd/system/timers.target.wants/x.timer")
WORDS = [
    *(
        "{",
        "}",
        ";",
        "<",
        ">",
        "</",
        "/>",
        "[",
        "]",
        "(",
        ")",
        "=",
        ":",
        "::",
        ",",
        "?",
        "!",
        "@",
        "|",
        "-",
        "--",
    ),
    *(
        "\n",
        "\n",
        " ",
        "\t",
        "\\",
        "\\\n",
        '"',
        "'",
        "#",
        "$",
        "${",
        "$(",
        "%",
        "%i",
        "<!--",
        "<![CDATA[",
    ),
    *(
        "/x",
        "x",
        "*",
        "/x/*",
        "../x",
        "443",
        "*:443",
        "[::1]:443",
        "0-65535",
        "on",
        "yes",
        "ssl",
        "\0",
        "\udcff",
        "é",
    ),
    *(
        "include",
        "Include",
        "!include",
        "!includedir",
        "include_dir",
        "server",
        "http",
        "listen",
        "server_name",
    ),
    *(
        "ssl_certificate",
        "ssl_certificate_key",
        "$ssl_server_name",
        "data:",
        "content_by_lua_block",
    ),
    *(
        "Define",
        "IfModule",
        "VirtualHost",
        "Macro",
        "Use",
        "SSLCertificateFile",
        "MDomain",
        "LoadModule",
        "md_module",
    ),
    *("global", "frontend", "bind", "crt", "crt-list", "crt-base", "load", "crt-store", "ca-file"),
    *(
        "smtpd_tls_cert_file",
        "smtpd_tls_chain_files",
        "smtp inet n - y - - smtpd",
        "-o",
        "tls_server_sni_maps",
        "hash:",
    ),
    *(
        "ssl_cert",
        "local_name",
        "protocols",
        "inet_listener",
        "ssl_cert_file",
        "listen_addresses",
        "port",
    ),
    *(
        "[mysqld]",
        "ssl-cert",
        "wsrep_provider_options",
        "socket.ssl_key=",
        "TLSCertificateFile",
        "olcTLSCertificateFile",
    ),
    *(
        "syncrepl",
        "tls_cert=",
        "tls-cert-file",
        "tls-port",
        "bind",
        "dir",
        "<Connector ",
        "<Certificate ",
        "keystoreFile=",
    ),
    *(
        "[Service]",
        "LoadCredential",
        "Environment",
        "EnvironmentFile",
        "ExecStart",
        "volumes",
        "volumeMounts",
        "hostPath",
    ),
    *(
        "mountPath",
        "name",
        "path",
        "--tls-cert-file=",
        "client-key-data",
        "cert",
        "privkey",
        "renew_before_expiry",
    ),
    *(
        "Le_Domain",
        "Le_NextRenewTime",
        "BASEDIR",
        "CERTDIR",
        "CONFIG_D",
        "cert_storage_location",
        "cert_storage_type",
    ),
    *(
        "NSSDB",
        "cert_not_after",
        "20260101000000",
        "-----BEGIN CERTIFICATE-----",
        "MIIB",
        "-----END CERTIFICATE-----",
    ),
    *(
        '{"a":{"Certificates":[{"domain":{"main":"x"},"certificate":"AAAA"}]}}',
        "storage",
        "kind: Secret",
    ),
    *("cert-manager.io/certificate-name", "tls.crt"),
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=60).map("".join)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", sorted(FILES))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_text_makes_a_reader_fail(name: str, data: st.DataObject) -> None:
    paths = (*FILES[name], *CRON)
    files = MemoryFiles({path: encoded(data.draw(TEXTS)) for path in paths})
    units = Units(Sources(files, "systemd"))
    sources = Sources(files, name)
    for service in SERVICES:
        if service.name == name:
            for binding in service.read(sources, units):
                assert all(
                    path.startswith(b"/") for path in (binding.configuration, *binding.paths)
                )
                for text in (*binding.server_names, *binding.listen, binding.unit):
                    text.encode()
                assert bool(binding.protocol) <= bool(binding.listen)
    for tool in TOOLS:
        if tool.name == name:
            asked = Asked(sources, units, Schedules(sources, units), NOW_MS)
            for renewer in tool.read(asked):
                assert renewer.overdue == bool(renewer.reason)
                assert renewer.last_success_ms >= 0
                (renewer.name + renewer.schedule).encode()


def test_every_reader_is_tried() -> None:
    assert set(FILES) == {row.name for row in SERVICES} | {row.name for row in TOOLS}


REPEATED = [
    "a",
    " ",
    '"',
    "'",
    "{",
    "<",
    "\\",
    "$",
    "${a",
    "${",
    "a b\n",
    "<a ",
    '<a b="',
    "a=",
    "-----BEGIN CERTIFICATE-----",
    "\n ",
    "[",
    "((",
    "{%",
    "!",
]


@pytest.mark.parametrize("name", sorted(FILES))
def test_long_texts_of_one_thing_come_to_an_end(name: str) -> None:
    for repeated in REPEATED:
        data = encoded(repeated * (40_000 // len(repeated)))
        files = MemoryFiles(dict.fromkeys(FILES[name], data))
        units, sources = Units(Sources(files, "systemd")), Sources(files, name)
        for service in SERVICES:
            if service.name == name:
                list(service.read(sources, units))
        for tool in TOOLS:
            if tool.name == name:
                list(tool.read(Asked(sources, units, Schedules(sources, units), NOW_MS)))


def test_endless_lines_binary_files_pipes_and_missing_rights_are_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": "http { ssl_certificate /a.pem; # " + "x" * 3_000_000,
            "/etc/haproxy/haproxy.cfg": "bind \0",
            "/etc/postfix/main.cf": "-> /dev/zero",
            "/etc/my.cnf": "-> my.cnf",
        },
    )
    context = context_of(tmp_path)
    assert [(one.service, one.directive) for one in context.bindings] == [("nginx", "certificate")]
    assert {(one.service, one.text) for one in context.problems} == {
        ("nginx", "longer than 2,097,152 bytes: read to there"),
        ("nginx", "ends in the middle of a block or directive"),
        ("haproxy", "no text: it has NUL bytes"),
        ("mysql", "not read (ELOOP)"),
    }
