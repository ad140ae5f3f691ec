"""What a place is for, and whether anything reaches it: rules over its path and its entries.

Pure. Runs in the reader. The path's own directory says most; where it is silent the content does.
A wrong guess costs a person a look, never a finding: nothing is left out by it.
"""

from __future__ import annotations

import re

from keycensus_agent.model import EntryKind, Package, Parsed, Role, Use

# A bundle of this many CA certificates and no key is a trust store, wherever it lies.
_BUNDLE_SIZE = 10

_TRUST_STORE_PATH = re.compile(
    rb"/etc/ssl/certs/|/usr/(?:local/)?share/ca-certificates/|/etc/pki/ca-trust/|/etc/pki/tls/certs/ca-"
    rb"|/usr/share/pki/(?:ca-trust|trust)|/etc/ca-certificates/|/etc/pki/java/cacerts"
    rb"|/etc/ssl/(?:cert|ca-bundle)\.pem\Z|/(?:lib/security|etc/default|ssl)/.*cacerts\Z|/cacerts\Z"
    rb"|/certifi/cacert\.pem\Z|/cacert\.pem\Z|/ca-bundle\.(?:crt|trust\.crt)\Z|/cacerts\.(?:txt|pem)\Z"
    rb"|\.truststore\Z|/truststore(?:\.(?:jks|p12))?\Z|/mozilla/.*\.crt\Z"
)
# Packages that bring roots and nothing else, as distributions name them.
_ROOT_PACKAGE = re.compile(
    r"ca-certificates(?:-.*)?|.*-ca-certificates(?:-.*)?|ca-roots?|ca_root_nss|p11-kit-trust"
    r"|(?:python\d*-|py\d*-)?certifi|mozilla-nss-certs"
)
_CA_KEY_PATH = re.compile(
    rb"/(?:demo)?CA/private/|/(?:ca|root-?ca|ca[-_.]?key|cakey|ca-private)(?:\.(?:key|pem))+\Z|/etc/kubernetes/pki/(?:.*/)?ca\.key\Z"
)
_CLIENT_PATH = re.compile(
    rb"/\.kube/|/\.postgresql/|/\.docker/|/kubelet-client|-client\.(?:crt|key|pem)\Z|/client[-_.][^/]*\Z|/client\.(?:crt|key|pem)\Z"
)
_SERVER_PATH = re.compile(
    rb"/etc/letsencrypt/(?:live|archive)/|/(?:nginx|apache2?|httpd|lighttpd|caddy|haproxy|traefik|envoy|tomcat\d*"
    rb"|jetty|wildfly|postfix|dovecot|exim4?|cyrus|openldap|slapd|postgresql|pgsql|mysql|mariadb"
    rb"|mongodb?|redis|rabbitmq|vsftpd|proftpd|openvpn|stunnel4?|cockpit|grafana|jenkins|gitlab"
    rb"|elasticsearch|kafka|zookeeper|vault|consul|prosody|ejabberd|mosquitto|cups|webmin)/"
    rb"|/server[-_.][^/]*\Z|/server\.(?:crt|key|pem)\Z|ssh_host_[^/]*_key\Z"
)

# Extended key usages (RFC 5280, 4.2.1.12; RFC 4556 for Kerberos): TLS server, Netscape's and Microsoft's step-up, KDC; TLS
# client, smart-card logon, Kerberos client.
_ANY_USAGE = "2.5.29.37.0"
_SERVER_USAGES = frozenset(
    {"1.3.6.1.5.5.7.3.1", "2.16.840.1.113730.4.1", "1.3.6.1.4.1.311.10.3.3", "1.3.6.1.5.2.3.5"}
)
_CLIENT_USAGES = frozenset({"1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2", "1.3.6.1.5.2.3.4"})

# certbot keeps every issued file as archive/NAME/KINDn.pem and turns the links in live/.
_CERTBOT_ARCHIVE = re.compile(rb"/archive/[^/]+/(?:cert|chain|fullchain|privkey)\d+\.pem\Z")
_BACKUP_NAME = re.compile(
    rb"(?:~|\.(?:bak|old|orig|backup|save|saved|prev|previous|disabled|dpkg-(?:old|dist|bak|new)|ucf-(?:old|dist)"
    rb"|rpmsave|rpmorig|rpmnew|pacsave|pacnew|sav))(?:[-._]?\d+)?\Z",
    re.IGNORECASE,
)
# Kubernetes writes a volume's files into ..YYYY_MM_DD_hh_mm_ss.N and turns the link ..data to it.
KUBERNETES_VERSION = re.compile(rb"\A(.*)/(\.\.\d{4}_\d\d_\d\d_[^/]+)/")


def role_by_path(path: bytes) -> Role:
    """Return what the path says of a place's role; UNKNOWN if it is silent."""
    if _TRUST_STORE_PATH.search(path):
        return Role.TRUST_STORE
    if _CA_KEY_PATH.search(path):
        return Role.CA
    if _CLIENT_PATH.search(path):
        return Role.CLIENT
    return Role.SERVER if _SERVER_PATH.search(path) else Role.UNKNOWN


def role_of(path: bytes, parsed: Parsed) -> Role:
    """Return the role of a file at `path` that holds `parsed`.

    Where the path is silent, the certificates' extended key usage tells; where that is silent too, or unknown, one beside a
    key is a server's. Without details a certificate among many counts as an authority's.
    """
    kinds = {entry.kind for entry in parsed.entries}
    has_key = bool(kinds & {EntryKind.PRIVATE_KEY, EntryKind.SEALED_KEY, EntryKind.OPAQUE_KEY})
    hashes = [entry.artifact for entry in parsed.entries if entry.kind is EntryKind.CERTIFICATE]
    is_ca = {detail.sha256: detail.is_ca for detail in parsed.details}
    leaves = sum(not is_ca.get(sha256, True) for sha256 in hashes)
    authorities = len(hashes) - leaves
    if not has_key and authorities >= _BUNDLE_SIZE and leaves * 10 <= authorities:
        return Role.TRUST_STORE
    by_path = role_by_path(path)
    if by_path is Role.TRUST_STORE and (has_key or leaves >= max(authorities, 1) or not kinds):
        # A server's own certificate that was put among the roots: people do that.
        by_path = Role.UNKNOWN
    if by_path is not Role.UNKNOWN or not hashes:
        return by_path
    by_usage = _role_by_usage(parsed)
    if by_usage is not None or not has_key:
        return by_usage or Role.UNKNOWN
    return Role.SERVER if leaves or not is_ca else Role.CA


def _role_by_usage(parsed: Parsed) -> Role | None:
    """Return what the end-entity certificates say that they are for; None if they say nothing.

    One for both ends is a server's: authorities put clients into servers' certificates for decades, and not the other way.
    """
    said = {
        purpose
        for detail in parsed.details
        if not detail.is_ca
        for purpose in detail.extended_key_usage
    }
    if not said or _ANY_USAGE in said:
        return None
    if said & _SERVER_USAGES:
        return Role.SERVER
    return Role.CLIENT if said & _CLIENT_USAGES else Role.UNKNOWN


def role_with(role: Role, package: Package | None) -> Role:
    """Return the role of a place when the package that owns it is known, where nothing else told."""
    if role is Role.UNKNOWN and package is not None and _ROOT_PACKAGE.fullmatch(package.name):
        return Role.TRUST_STORE
    return role


def use_of(path: bytes, current_version: bytes) -> Use:
    """Tell whether a place is live, or only retained.

    `current_version` is the name that `..data` leads to in the Kubernetes volume of this path, if it
    is one and could be read; else empty.
    """
    if _CERTBOT_ARCHIVE.search(path) or _BACKUP_NAME.search(path):
        return Use.RETAINED
    version = KUBERNETES_VERSION.match(path)
    if version is not None and current_version and version[2] != current_version:
        return Use.RETAINED
    return Use.LIVE
