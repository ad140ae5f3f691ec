from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, problems_in, write

XML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE server [ <!ENTITY x "y"> ]>
<Server port="8005" shutdown="SHUTDOWN">
  <!-- <Connector port="1" SSLEnabled="true" keystoreFile="no.jks"/> -->
  <Service name="Catalina">
    <Connector port="8080" protocol="HTTP/1.1" />
    <Connector port="8443" SSLEnabled="true"
               address="192.0.2.1">
      <SSLHostConfig truststoreFile="${catalina.home}/conf/trust.p12" truststorePassword="${env.word}">
        <Certificate certificateKeystoreFile="conf/a&amp;b.jks"
                     certificateKeystorePassword="changeit" type="RSA" />
      </SSLHostConfig>
      <SSLHostConfig hostName="b.test" caCertificateFile="/etc/ssl/ca.pem">
        <Certificate certificateFile='${keys}/b.pem' certificateKeyFile="${keys}/b.key"
                     certificateKeyPassword="${key.word}" certificateChainFile="${none:-conf}/chain.pem" />
      </SSLHostConfig>
    </Connector>
    <![CDATA[ <Connector keystoreFile="no" /> ]]>
    <Connector port="8444" SSLEnabled="true" keystoreFile="file:/srv/old.jks" keystorePass="x"
       truststoreFile="${unknown}/t.jks" crlFile="https://example.com/crl" />
    <Certificate certificateFile="outside.pem" />
  </Service>
</Server>
"""


def test_connectors_and_their_hosts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/tomcat10/server.xml": XML,
            "/etc/tomcat10/catalina.properties": "# x\nkeys=/srv/keys\nkey.word = secret\n",
            "/var/lib/tomcat10/conf": "-> /etc/tomcat10",
            "/lib/systemd/system/tomcat10.service": "[Service]\n",
        },
    )
    where = "/etc/tomcat10/server.xml"
    tls, old = "on 192.0.2.1:8443 tls", "on *:8444 tls"
    assert all_said(tmp_path, "tomcat") == [
        f"{where}:9 trust /etc/tomcat10/trust.p12 {tls} password environment",
        f"{where}:10 store /etc/tomcat10/a&b.jks {tls} password inline",
        f"{where}:13 trust /etc/ssl/ca.pem for b.test {tls}",
        f"{where}:14 certificate /srv/keys/b.pem for b.test {tls}",
        f"{where}:14 key /srv/keys/b.key for b.test {tls} password file",
        f"{where}:14 chain /etc/tomcat10/chain.pem for b.test {tls}",
        f"{where}:19 store /srv/old.jks {old} password inline",
    ]
    assert {one.unit for one in bindings_in(tmp_path, "tomcat")} == {"tomcat10.service"}
    assert [(one.line, one.text) for one in problems_in(tmp_path, "tomcat")] == [
        (19, "a property names a file")
    ]


def test_a_tomcat_that_was_unpacked(tmp_path: Path) -> None:
    text = '<Connector port="443" SSLEnabled="TRUE" keystoreFile="k.jks" keystorePass="${file.word}" />'
    write(tmp_path, {"/opt/apache-tomcat-9/conf/server.xml": text})
    assert all_said(tmp_path, "tomcat") == [
        "/opt/apache-tomcat-9/conf/server.xml:1 store /opt/apache-tomcat-9/k.jks on *:443 tls password environment"
    ]


def test_broken_xml_costs_nothing(tmp_path: Path) -> None:
    text = '<Connector <Connector a="<" <!-- <![CDATA[ ' + '<a "' * 50_000
    write(tmp_path, {"/etc/tomcat9/server.xml": text})
    assert all_said(tmp_path, "tomcat") == []
