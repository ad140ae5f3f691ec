"""Tools beside certbot: each in a healthy layout, and in broken ones."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from fakes.configured_root import DAY_MS, NOW_MS, enable, problems_in, renewers_in, write
from fakes.dated_certificate import dated_pem

from keycensus_agent.context.bindings import Renewer

GOOD = dated_pem(NOW_MS, -30, 60)
LATE = dated_pem(NOW_MS, -80, 10)
NOW = NOW_MS // 1000
DAY = 86_400


def only(root: Path, tool: str) -> Renewer:
    (renewer,) = renewers_in(root, tool)
    return renewer


def written_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


# --- acme.sh --------------------------------------------------------------------------------------


def acme_sh(root: Path, *, next_renewal: int = NOW + 30 * DAY, pem: str = GOOD) -> None:
    home = "/root/.acme.sh/a.test_ecc"
    record = (
        "Le_Domain='a.test'\nLe_Alt='no'\nLe_ReloadCmd='__ACME_BASE64__START_c3lz__ACME_BASE64__END_'\n"
        f"Le_CertCreateTime='{NOW - 30 * DAY}'\nLe_NextRenewTime='{next_renewal}'\n"
        "Le_RealKeyPath='/etc/nginx/a.key'\nLe_RealFullChainPath='/etc/nginx/a.pem'\nLe_RealCACertPath=''\n"
    )
    write(
        root,
        {f"{home}/a.test.conf": record, f"{home}/a.test.cer": pem, f"{home}/fullchain.cer": pem},
    )
    write(root, {"/root/.acme.sh/account.conf": "AUTO_UPGRADE='1'\n", "/root/.acme.sh/ca/x": ""})


def acme_sh_cron(root: Path) -> None:
    line = '23 0 * * * "/root/.acme.sh"/acme.sh --cron --home "/root/.acme.sh" > /dev/null\n'
    write(root, {"/var/spool/cron/crontabs/root": line, "/usr/sbin/cron": ""})


def test_acme_sh_in_order(tmp_path: Path) -> None:
    acme_sh(tmp_path)
    acme_sh_cron(tmp_path)
    renewer = only(tmp_path, "acme.sh")
    assert (renewer.name, renewer.schedule) == ("a.test", "/var/spool/cron/crontabs/root")
    assert renewer.last_success_ms == (NOW - 30 * DAY) * 1000
    assert {b"/etc/nginx/a.key", b"/root/.acme.sh/a.test_ecc/a.test.key"} < set(renewer.paths)
    assert not renewer.overdue


@pytest.mark.parametrize(
    ("next_renewal", "pem", "cron", "reason"),
    [
        (NOW + DAY, GOOD, False, "not-scheduled"),
        (NOW - DAY, GOOD, True, ""),
        (NOW - 3 * DAY, GOOD, True, "past-due"),
        (NOW + DAY, LATE, True, "past-due"),
    ],
)
def test_acme_sh_broken(
    tmp_path: Path, next_renewal: int, pem: str, reason: str, *, cron: bool
) -> None:
    acme_sh(tmp_path, next_renewal=next_renewal, pem=pem)
    if cron:
        acme_sh_cron(tmp_path)
    assert only(tmp_path, "acme.sh").reason == reason


def test_acme_sh_may_keep_certificates_elsewhere(tmp_path: Path) -> None:
    acme_sh(tmp_path)
    write(tmp_path, {"/home/u/.acme.sh/account.conf": "CERT_HOME='/srv/certs'\n"})
    write(tmp_path, {"/srv/certs/b.test/b.test.conf": "Le_Domain='b.test'\n"})
    assert [one.name for one in renewers_in(tmp_path, "acme.sh")] == ["a.test", "b.test"]


# --- certmonger -----------------------------------------------------------------------------------


def certmonger(root: Path, **changes: str) -> None:
    fields = {
        "id": "20260101",
        "key_storage_type": "FILE",
        "key_storage_location": "/etc/pki/a.key",
        "cert_storage_type": "FILE",
        "cert_storage_location": "/etc/pki/a.pem",
        "cert_not_before": "20260101000000",
        "cert_not_after": "20270101000000",
        "state": "MONITORING",
        "autorenew": "1",
        "monitor": "1",
        "ca_name": "IPA",
        "cert": "-----BEGIN CERTIFICATE-----\n MIIC\n state=CA_REJECTED\n -----END CERTIFICATE-----",
        **changes,
    }
    text = "".join(f"{name}={value}\n" for name, value in fields.items())
    write(root, {"/var/lib/certmonger/requests/20260101": text})
    write(root, {"/lib/systemd/system/certmonger.service": "[Service]\n"})
    enable(root, "certmonger.service")


def test_certmonger_in_order(tmp_path: Path) -> None:
    certmonger(tmp_path)
    write(tmp_path, {"/etc/pki/a.pem": GOOD})
    renewer = only(tmp_path, "certmonger")
    assert (renewer.name, renewer.schedule) == ("20260101", "certmonger.service")
    assert renewer.paths == (b"/etc/pki/a.pem", b"/etc/pki/a.key")
    assert renewer.last_success_ms == written_ms(tmp_path / "etc/pki/a.pem")
    assert not renewer.overdue


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "CA_UNREACHABLE"}, "failing"),
        ({"state": "NEED_KEY_GEN_PIN"}, "failing"),
        ({"state": "CA_WORKING"}, ""),
        ({"autorenew": "0"}, "switched-off"),
        ({"cert_not_after": "20261105000000"}, "past-due"),
        ({"cert_not_after": "rubbish"}, "past-due"),
    ],
)
def test_certmonger_broken(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    certmonger(tmp_path, **changes)
    write(tmp_path, {"/etc/pki/a.pem": LATE})
    assert only(tmp_path, "certmonger").reason == reason


def test_certmonger_keeps_nss_databases_too(tmp_path: Path) -> None:
    where = {"cert_storage_type": "NSSDB", "cert_storage_location": "sql:/etc/dirsrv"}
    certmonger(tmp_path, **where)
    write(tmp_path, {"/etc/dirsrv/cert9.db": "", "/var/lib/certmonger/requests/broken": "id=1\n"})
    renewer = only(tmp_path, "certmonger")
    assert renewer.paths == (b"/etc/dirsrv/cert9.db", b"/etc/pki/a.key")
    assert renewer.last_success_ms == 1_767_225_600_000  # from when the certificate is
    assert len(problems_in(tmp_path, "certmonger")) == 1


def test_certmonger_that_does_not_start_renews_nothing(tmp_path: Path) -> None:
    certmonger(tmp_path)
    (tmp_path / "etc/systemd/system/multi-user.target.wants/certmonger.service").unlink()
    assert only(tmp_path, "certmonger").reason == "not-scheduled"


# --- lego and dehydrated --------------------------------------------------------------------------


@pytest.mark.parametrize(("pem", "reason"), [(GOOD, ""), (LATE, "past-due")])
def test_lego(tmp_path: Path, pem: str, reason: str) -> None:
    stem = "/root/.lego/certificates/_.a.test"
    write(
        tmp_path,
        {f"{stem}.json": "{}", f"{stem}.crt": pem, f"{stem}.key": "", f"{stem}.issuer.crt": ""},
    )
    write(tmp_path, {"/root/.lego/certificates/orphan.json": "{}"})
    assert only(tmp_path, "lego").reason in ("not-scheduled", "past-due")
    write(
        tmp_path,
        {
            "/etc/systemd/system/lego.timer": "[Timer]\nOnCalendar=daily\n",
            "/etc/systemd/system/lego.service": "[Service]\nExecStart=/usr/bin/lego --domains a.test \\\n renew\n",
        },
    )
    enable(tmp_path, "lego.timer")
    renewer = only(tmp_path, "lego")
    assert (renewer.name, renewer.schedule, renewer.reason) == ("_.a.test", "lego.timer", reason)
    assert len(renewer.paths) == 3
    assert renewer.last_success_ms == written_ms(tmp_path / f"{stem[1:]}.crt")


def test_dehydrated(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "/etc/dehydrated/config": "CONFIG_D=/etc/dehydrated/conf.d\nBASEDIR=/var/lib/dehydrated\n",
            "/etc/dehydrated/conf.d/local.sh": 'DOMAINS_TXT="/etc/dehydrated/domains.txt"\n',
            "/etc/dehydrated/domains.txt": "# all\na.test www.a.test\n*.b.test > b.test # wild\n\n",
            "/etc/cron.d/dehydrated": "@daily root /usr/bin/dehydrated -c\n",
            "/usr/sbin/cron": "",
        },
    )
    for name, pem in (("a.test", GOOD), ("b.test", LATE), ("old.test", GOOD), ("c.test", "")):
        directory = f"/var/lib/dehydrated/certs/{name}"
        write(tmp_path, {f"{directory}/cert-1.pem": pem, f"{directory}/cert.pem": "-> cert-1.pem"})
    write(tmp_path, {"/var/lib/dehydrated/certs/b.test/config": "RENEW_DAYS=5\n"})
    write(tmp_path, {"/var/lib/dehydrated/certs/empty/config": ""})
    found = renewers_in(tmp_path, "dehydrated")
    assert [(one.name, one.reason) for one in found] == [
        ("a.test", ""),
        ("b.test", ""),
        ("c.test", "switched-off"),
        ("old.test", "switched-off"),
    ]
    assert b"/var/lib/dehydrated/certs/a.test/cert-1.pem" in found[0].paths
    (tmp_path / "etc/dehydrated/domains.txt").unlink()
    (tmp_path / "var/lib/dehydrated/certs/b.test/config").unlink()
    assert [one.reason for one in renewers_in(tmp_path, "dehydrated")] == ["", "past-due", "", ""]


# --- servers that renew themselves ----------------------------------------------------------------


@pytest.mark.parametrize(("pem", "reason"), [(GOOD, ""), (LATE, "past-due")])
def test_caddy(tmp_path: Path, pem: str, reason: str) -> None:
    issuer = "certificates/acme-v02.api.letsencrypt.org-directory"
    stem = f"/srv/data/caddy/{issuer}/a.test/a.test"
    write(tmp_path, {f"{stem}.json": "{}", f"{stem}.crt": pem, f"{stem}.key": ""})
    write(tmp_path, {f"/data/caddy/{issuer}/b.test/b.test.json": "{}"})
    write(
        tmp_path,
        {"/lib/systemd/system/caddy.service": "[Service]\nEnvironment=XDG_DATA_HOME=/srv/data\n"},
    )
    assert only(tmp_path, "caddy").overdue
    enable(tmp_path, "caddy.service")
    renewer = only(tmp_path, "caddy")
    assert (renewer.schedule, renewer.reason) == ("caddy.service", reason)
    assert renewer.paths == (f"{stem}.crt".encode(), f"{stem}.key".encode())


def test_traefik_in_a_container(tmp_path: Path) -> None:
    def stored(name: str, pem: str) -> dict[str, object]:
        return {"domain": {"main": name}, "certificate": base64.b64encode(pem.encode()).decode()}

    odd: list[object] = [None, {}, {"domain": []}, {"domain": {"main": "odd"}, "certificate": 7}]
    store = {"le": {"Certificates": [stored("a.test", GOOD), stored("b.test", LATE), *odd]}, "x": 1}
    write(tmp_path, {"/etc/traefik/traefik.yml": "acme:\n  storage: /srv/t/acme.json\n"})
    write(
        tmp_path,
        {"/srv/t/acme.json": json.dumps(store), "/acme.json": "{", "/opt/traefik/acme.json": "[]"},
    )
    assert {one.schedule for one in renewers_in(tmp_path, "traefik")} == {""}
    container = (
        '{"State":{"Running":true},"Image":"sha256:1","Config":{"Image":"docker.io/traefik:3"}}'
    )
    write(tmp_path, {"/var/lib/docker/containers/0123456789abcdef/config.v2.json": container})
    found = renewers_in(tmp_path, "traefik")
    assert [(one.name, one.reason) for one in found] == [
        ("a.test", ""),
        ("b.test", "past-due"),
        ("odd", ""),
    ]
    assert {one.schedule for one in found} == {"container 0123456789ab"}
    assert {one.paths for one in found} == {(b"/srv/t/acme.json",)}
    assert found[0].last_success_ms == NOW_MS - 30 * DAY_MS
    assert [one.text for one in problems_in(tmp_path, "traefik")] == ["no JSON"]


def test_traefik_as_a_unit_of_podman(tmp_path: Path) -> None:
    write(tmp_path, {"/letsencrypt/acme.json": '{"r":{"Certificates":[{"domain":{"main":"a"}}]}}'})
    unit = "[Container]\nImage=docker.io/library/traefik\n"
    write(tmp_path, {"/etc/containers/systemd/proxy.container": unit})
    assert only(tmp_path, "traefik").schedule == ""
    write(
        tmp_path,
        {"/etc/containers/systemd/proxy.container": unit + "[Install]\nWantedBy=default.target\n"},
    )
    assert only(tmp_path, "traefik").schedule == "proxy.service"


def test_traefik_names_its_store_on_the_command_line(tmp_path: Path) -> None:
    command = "ExecStart=/usr/bin/traefik --certificatesresolvers.le.acme.storage=/srv/s.json"
    write(tmp_path, {"/lib/systemd/system/traefik.service": f"[Service]\n{command}\n"})
    write(tmp_path, {"/srv/s.json": '{"r":{"Certificates":[{"domain":{"main":"a"}}]}}'})
    assert only(tmp_path, "traefik").configuration == b"/srv/s.json"


def test_mod_md(tmp_path: Path) -> None:
    main = "MDStoreDir /md\nMDomain a.test www.a.test\n<MDomainSet b.test>\nMDMember c.test\nMDRenewMode manual\n</MDomainSet>\n"
    write(tmp_path, {"/etc/apache2/apache2.conf": main})
    assert renewers_in(tmp_path, "mod_md") == []
    write(tmp_path, {"/etc/apache2/mods-enabled/md.load": "LoadModule md_module mod_md.so"})
    write(tmp_path, {"/lib/systemd/system/apache2.service": "[Service]\n"})
    write(
        tmp_path,
        {"/md/domains/a.test/pubcert.secp256r1.pem": GOOD, "/md/domains/b.test/pubcert.pem": GOOD},
    )
    enable(tmp_path, "apache2.service")
    found = renewers_in(tmp_path, "mod_md")
    assert [(one.name, one.reason, one.schedule) for one in found] == [
        ("a.test", "", "apache2.service"),
        ("b.test", "switched-off", "apache2.service"),
    ]
    assert found[0].paths[1] == b"/md/domains/a.test/privkey.secp256r1.pem"


def test_cert_manager(tmp_path: Path) -> None:
    encoded = base64.b64encode(LATE.encode()).decode()
    text = f"""kind: ConfigMap
---
apiVersion: v1
kind: Secret
metadata:
  annotations:
    cert-manager.io/certificate-name: "web"
data:
  tls.crt: {encoded}
---
kind: Secret
metadata: {{annotations: {{"cert-manager.io/certificate-name": other}}}}
data:
  tls.crt: AAAA=
"""
    write(
        tmp_path,
        {"/etc/kubernetes/addons/web.yaml": text, "/etc/kubernetes/no.yaml": "kind: Secret"},
    )
    found = renewers_in(tmp_path, "cert-manager")
    assert [(one.name, one.reason, one.paths) for one in found] == [
        ("web", "past-due", (b"/etc/kubernetes/addons/web.yaml",)),
        ("other", "", (b"/etc/kubernetes/addons/web.yaml",)),
    ]
