from __future__ import annotations

from pathlib import Path

import pytest
from fakes.configured_root import all_said, bindings_in, enable, problems_in, write

# As Debian lays it out: modules and sites by links, variables of the shell in a file of their own.
DEBIAN = {
    "/etc/apache2/apache2.conf": """ServerRoot "/etc/apache2"
ErrorLog ${APACHE_LOG_DIR}/error.log
IncludeOptional mods-enabled/*.load
Include ports.conf
IncludeOptional sites-enabled/*.conf
""",
    "/etc/apache2/envvars": 'if [ "${C##/x-}" != "$C" ]; then\n SUFFIX="-${C##/x-}"\nelse\n SUFFIX=\nfi\n'
    "export APACHE_LOG_DIR=/var/log/apache2$SUFFIX\nexport KEYS=/srv/keys$SUFFIX\n",
    "/etc/apache2/ports.conf": "Listen 80\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n"
    "<IfModule mod_gnutls.c>\n\tListen 444\n</IfModule>\n",
    "/etc/apache2/mods-enabled/ssl.load": "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n",
    "/lib/systemd/system/apache2.service": "[Service]\nExecStart=/usr/sbin/apachectl start\n",
}


def site(root: Path, text: str) -> None:
    write(root, {**DEBIAN, "/etc/apache2/sites-available/a.conf": text})
    write(root, {"/etc/apache2/sites-enabled/a.conf": "-> ../sites-available/a.conf"})


def test_a_virtual_host_has_its_files_names_and_listeners(tmp_path: Path) -> None:
    site(
        tmp_path,
        """<VirtualHost *:80>
    ServerName plain.test
</VirtualHost>
<VirtualHost *:443>
    ServerName https://a.test:443
    ServerAlias www.a.test *.b.test
    SSLEngine on
    SSLCertificateFile "/etc/ssl/a b.pem"
    sslcertificatekeyfile ${KEYS}/a.key
    SSLCertificateChainFile \\
        chain.pem
    SSLCACertificatePath /etc/ssl/clients/
    SSLProxyMachineCertificateFile /srv/out.pem
</VirtualHost>
""",
    )
    enable(tmp_path, "apache2.service")
    where = "/etc/apache2/sites-enabled/a.conf"
    rest = " for a.test,www.a.test,*.b.test on *:443 tls"
    assert all_said(tmp_path, "apache") == [
        f"{where}:8 certificate /etc/ssl/a b.pem{rest}",
        f"{where}:9 key /srv/keys/a.key{rest}",
        f"{where}:10 chain /etc/apache2/chain.pem{rest}",
        f"{where}:12 trust /etc/ssl/clients{rest}",
        f"{where}:13 certificate /srv/out.pem",
    ]
    assert {one.unit for one in bindings_in(tmp_path, "apache")} == {"apache2.service"}
    assert problems_in(tmp_path, "apache") == []


def test_without_its_module_nothing_of_it_is_meant(tmp_path: Path) -> None:
    site(
        tmp_path,
        "<IfModule mod_ssl.c>\n<VirtualHost *:443>\nSSLCertificateFile /a\n</VirtualHost>\n</IfModule>",
    )
    assert len(bindings_in(tmp_path, "apache")) == 1
    (tmp_path / "etc/apache2/mods-enabled/ssl.load").unlink()
    assert bindings_in(tmp_path, "apache") == []


def test_red_hats_layout_and_settings_for_all_hosts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/httpd/conf/httpd.conf": """ServerRoot /etc/httpd
Include conf.modules.d/*.conf
Listen 10.0.0.1:80
IncludeOptional conf.d/*.conf
""",
            "/etc/httpd/conf.modules.d/00-ssl.conf": "LoadModule ssl_module modules/mod_ssl.so",
            "/etc/httpd/conf.d/ssl.conf": """Listen 10.0.0.1:8443 https
SSLCertificateFile conf/all.pem
SSLPassPhraseDialog exec:/usr/libexec/httpd-ssl-pass-dialog
SSLCertificateKeyFile conf/all.key
<VirtualHost _default_:8443>
  ServerName one
</VirtualHost>
<VirtualHost 10.0.0.1:8443>
  ServerName two
  SSLCertificateFile conf/two.pem
</VirtualHost>
<VirtualHost *:80>
  ServerName plain
</VirtualHost>
""",
        },
    )
    where, listen = "/etc/httpd/conf.d/ssl.conf", "on 10.0.0.1:8443 tls"
    assert all_said(tmp_path, "apache") == [
        f"{where}:2 certificate /etc/httpd/conf/all.pem for one {listen}",
        f"{where}:4 key /etc/httpd/conf/all.key for one {listen} password program",
        f"{where}:10 certificate /etc/httpd/conf/two.pem for two {listen}",
        f"{where}:4 key /etc/httpd/conf/all.key for two {listen} password program",
    ]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Define name x\nSSLCertificateFile /${name}.pem", [b"/x.pem"]),
        ("Define x\n<IfDefine x>\nSSLCertificateFile /a\n</IfDefine>", [b"/a"]),
        ("<IfDefine !x>\nSSLCertificateFile /a\n</IfDefine>", [b"/a"]),
        ("Define x\nUndefine x\n<IfDefine x>\nSSLCertificateFile /a\n</IfDefine>", []),
        ("<IfFile /etc/apache2/envvars>\nSSLCertificateFile /a\n</IfFile>", [b"/a"]),
        ("<IfFile /none>\n<Directory />\n</Directory>\nSSLCertificateFile /a\n</IfFile>", []),
        ("<IfVersion >= 2.4>\nSSLCertificateFile /a\n</IfVersion>", [b"/a"]),
        ("<IfModule ! mod_none.c >\nSSLCertificateFile\t/a\n</IfModule>", [b"/a"]),
        ("SSLCertificateFile pkcs11:object=x", []),
        ("SSLCertificateFile '/it''s'", [b"/it"]),
        ("# SSLCertificateFile /a", []),
        ("SSLCertificateFile", []),
        ("IncludeOptional more\nIncludeOptional none/*.conf", [b"/in/more"]),
        (
            "<Macro Site $n $name>\nSSLCertificateFile /$name/$n\n</Macro>\nUse Site a b",
            [b"/b/a"],
        ),
    ],
)
def test_conditions_variables_and_macros(tmp_path: Path, text: str, paths: list[bytes]) -> None:
    site(tmp_path, text)
    write(tmp_path, {"/etc/apache2/more/x.conf": "SSLCertificateFile /in/more"})
    assert [path for one in bindings_in(tmp_path, "apache") for path in one.paths] == paths
    assert problems_in(tmp_path, "apache") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SSLCertificateFile ${NONE}/a", "a variable names a file"),
        ("Use Nothing here", "uses a macro that is not there, or itself"),
        ("<Macro A>\nUse A\n</Macro>\nUse A", "uses a macro that is not there, or itself"),
        ("</VirtualHost>", "closes a section that is not open"),
        ("<VirtualHost *:443>", "ends in the middle of a section"),
        ("Include apache2.conf", "included by itself, or too deep"),
        ("<A>\n" * 60, "sections too deep in each other"),
    ],
)
def test_mistakes_are_noted(tmp_path: Path, text: str, problem: str) -> None:
    site(tmp_path, text)
    assert problem in {one.text for one in problems_in(tmp_path, "apache")}


def test_the_main_server_may_speak_tls_itself(tmp_path: Path) -> None:
    site(tmp_path, "ServerName all.test\nSSLEngine on\nSSLCertificateFile /a")
    (binding,) = bindings_in(tmp_path, "apache")
    assert (binding.server_names, binding.listen) == (("all.test",), ("*:80", "*:443"))


def test_a_host_with_ssl_engine_off_listens_without(tmp_path: Path) -> None:
    site(tmp_path, "<VirtualHost *:443>\nSSLEngine off\nSSLCertificateFile /a\n</VirtualHost>")
    (binding,) = bindings_in(tmp_path, "apache")
    assert (binding.listen, binding.protocol) == ((), "")


def test_what_mod_md_manages_is_found_in_its_store(tmp_path: Path) -> None:
    site(
        tmp_path,
        """MDStoreDir /var/lib/apache2/md
MDomain a.test www.a.test
<VirtualHost *:443>
  ServerName www.a.test
</VirtualHost>
""",
    )
    store = "/var/lib/apache2/md/domains/a.test"
    write(
        tmp_path, {f"{store}/pubcert.pem": "", f"{store}/privkey.pem": "", f"{store}/md.json": ""}
    )
    rest = "for www.a.test on *:443 tls"
    assert all_said(tmp_path, "apache") == [
        f"/etc/apache2/sites-enabled/a.conf:3 certificate {store}/pubcert.pem {rest}",
        f"/etc/apache2/sites-enabled/a.conf:3 key {store}/privkey.pem {rest}",
    ]
