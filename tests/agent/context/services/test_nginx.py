from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, enable, problems_in, write

MAIN = """
user www-data;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 768; }
http {
    log_format main '$remote_addr "$request" {not a block};';
    include conf.d/*.conf;
    include sites-enabled/*;
}
"""


def test_servers_have_their_certificates_names_and_listeners_with_tls(tmp_path: Path) -> None:
    site = """server {
    listen 80;
    listen 443 ssl http2 default_server;
    listen [::]:443 ssl;
    listen 443 quic;
    server_name example.com www.example.com .example.org _ "~^(?<x>.+)\\.test$";
    ssl_certificate     "/etc/ssl/a b.pem"; # a comment; with }
    ssl_certificate_key ssl/a.key;
    ssl_client_certificate /etc/ssl/clients.pem;
    ssl_crl /etc/ssl/clients.crl;
    ssl_password_file /etc/ssl/words;
    location / { proxy_pass https://back; proxy_ssl_certificate /etc/ssl/out.pem;
        proxy_ssl_trusted_certificate /etc/ssl/back.pem; }
}"""
    write(tmp_path, {"/etc/nginx/nginx.conf": MAIN, "/etc/nginx/sites-available/site": site})
    write(tmp_path, {"/etc/nginx/sites-enabled/site": "-> ../sites-available/site"})
    where = "/etc/nginx/sites-enabled/site"
    rest = " for example.com,www.example.com,example.org,*.example.org on *:443,[::]:443 tls"
    assert all_said(tmp_path, "nginx") == [
        f"{where}:7 certificate /etc/ssl/a b.pem{rest}",
        f"{where}:8 key /etc/nginx/ssl/a.key{rest} password file",
        f"{where}:9 trust /etc/ssl/clients.pem{rest}",
        f"{where}:10 crl /etc/ssl/clients.crl{rest}",
        f"{where}:12 certificate /etc/ssl/out.pem",
        f"{where}:13 trust /etc/ssl/back.pem",
    ]
    assert problems_in(tmp_path, "nginx") == []


def test_settings_are_inherited_and_one_socket_is_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": """http {
  ssl_certificate /etc/ssl/all.pem; ssl_certificate_key /etc/ssl/all.key;
  server { listen 127.0.0.1:8443 ssl; server_name one; }
  server { listen 127.0.0.1:8443; server_name two; ssl_certificate /etc/ssl/two.pem; }
  server { listen 8080; server_name plain; }
}""",
        },
    )
    where, listen = "/etc/nginx/nginx.conf", "on 127.0.0.1:8443 tls"
    assert all_said(tmp_path, "nginx") == [
        f"{where}:2 certificate /etc/ssl/all.pem for one {listen}",
        f"{where}:2 key /etc/ssl/all.key for one {listen}",
        f"{where}:4 certificate /etc/ssl/two.pem for two {listen}",
        f"{where}:2 key /etc/ssl/all.key for two {listen}",
    ]


def test_what_no_server_uses_is_named_all_the_same(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"/etc/nginx/nginx.conf": "http { ssl_certificate /a.pem; server { listen 80; } }"},
    )
    assert all_said(tmp_path, "nginx") == ["/etc/nginx/nginx.conf:1 certificate /a.pem"]


def test_mail_and_stream_have_their_protocols(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": """
stream { server { listen 5432 ssl; ssl_certificate /s.pem; } }
mail { ssl_certificate /m.pem; starttls on;
  server { listen 587; protocol smtp; }
  server { listen 143; }
  server { listen 993 ssl; protocol imap; }
}""",
        },
    )
    where = "/etc/nginx/nginx.conf"
    assert all_said(tmp_path, "nginx") == [
        f"{where}:2 certificate /s.pem on *:5432 tls",
        f"{where}:3 certificate /m.pem on *:587 starttls-smtp",
        f"{where}:3 certificate /m.pem on *:143 starttls-imap",
        f"{where}:3 certificate /m.pem on *:993 tls",
    ]


def test_a_variable_stands_for_each_name_of_its_server(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": """http { server { listen 443 ssl; server_name a.test b.test *.test;
  ssl_certificate /ssl/$ssl_server_name.crt;
  ssl_certificate_key /ssl/$other.key;
  ssl_certificate data:$variable; } }""",
            "/ssl/a.test.crt": "x",
        },
    )
    (binding,) = bindings_in(tmp_path, "nginx")
    assert binding.paths == (b"/ssl/a.test.crt",)
    assert [problem.line for problem in problems_in(tmp_path, "nginx")] == [3]


def test_the_unit_says_which_configuration_and_a_host_name_is_the_hosts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/lib/systemd/system/nginx.service": "[Service]\nExecStart=/usr/sbin/nginx -g 'daemon on;' \\\n  -c /srv/n.conf\n",
            "/srv/n.conf": "http { server { listen 1 ssl; server_name $hostname; ssl_certificate c.pem; } }",
            "/etc/nginx/nginx.conf": "http { ssl_certificate /unused.pem; }",
            "/etc/hostname": "web1\n",
        },
    )
    enable(tmp_path, "nginx.service")
    (binding,) = bindings_in(tmp_path, "nginx")
    assert (binding.unit, binding.paths) == ("nginx.service", (b"/srv/c.pem",))
    assert binding.server_names == ("web1",)


def test_lua_is_no_configuration(tmp_path: Path) -> None:
    lua = 'content_by_lua_block { local t = { "}", [[}]] } -- } ssl_certificate /no.pem;\n }'
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": f"http {{ server {{ {lua}\n listen 1 ssl; ssl_certificate /y; }} }}"
        },
    )
    assert all_said(tmp_path, "nginx") == ["/etc/nginx/nginx.conf:3 certificate /y on *:1 tls"]


def test_circles_and_broken_ends_are_noted_and_the_rest_is_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/nginx/nginx.conf": "http { include a.conf; server { listen 1 ssl; ssl_certificate /y; }",
            "/etc/nginx/a.conf": "include /etc/nginx/nginx.conf; include a.conf; ssl_crl /c",
        },
    )
    assert all_said(tmp_path, "nginx") == ["/etc/nginx/nginx.conf:1 certificate /y on *:1 tls"]
    assert {problem.text for problem in problems_in(tmp_path, "nginx")} == {
        "included by itself, or too deep",
        "ends in the middle of a block or directive",
    }


def test_includes_that_double_at_every_depth_come_to_an_end(tmp_path: Path) -> None:
    files = {f"/etc/nginx/{n}.conf": f"include {n + 1}.conf;" * 8 for n in range(18)}
    write(tmp_path, {**files, "/etc/nginx/nginx.conf": "http { include 0.conf; }"})
    assert all_said(tmp_path, "nginx") == []
    assert [problem.text for problem in problems_in(tmp_path, "nginx")] == [
        "not read whole: the configuration says too much"
    ]


def test_blocks_without_end_in_each_other_are_noted(tmp_path: Path) -> None:
    write(tmp_path, {"/etc/nginx/nginx.conf": "a {" * 5_000})
    assert [problem.text for problem in problems_in(tmp_path, "nginx")] == [
        "blocks too deep in each other"
    ]
