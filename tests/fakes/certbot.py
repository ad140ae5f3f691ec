"""A lineage of certbot as it lies on a disk, with the timer that renews it."""

from __future__ import annotations

from pathlib import Path

from fakes.configured_root import NOW_MS, write
from fakes.dated_certificate import dated_pem

TIMER = {
    "/lib/systemd/system/certbot.timer": "[Timer]\nOnCalendar=*-*-* 00,12:00:00\n",
    "/lib/systemd/system/certbot.service": "[Service]\nExecStart=/usr/bin/certbot -q renew\n",
}


def lineage(
    root: Path,
    *,
    left_days: int,
    settings: str = "",
    name: str = "example.com",
    now_ms: int = NOW_MS,
) -> None:
    """Lay a lineage out as certbot does, its second certificate ending in `left_days`."""
    live, archive = f"/etc/letsencrypt/live/{name}", f"/etc/letsencrypt/archive/{name}"
    files = {f"/etc/letsencrypt/renewal/{name}.conf": f"version = 2.1.0\narchive_dir = {archive}\n"}
    for kind in ("cert", "privkey", "chain", "fullchain"):
        files[f"/etc/letsencrypt/renewal/{name}.conf"] += f"{kind} = {live}/{kind}.pem\n"
        files[f"{archive}/{kind}2.pem"] = dated_pem(now_ms, left_days - 90, left_days)
        files[f"{live}/{kind}.pem"] = f"-> ../../archive/{name}/{kind}2.pem"
    files[f"/etc/letsencrypt/renewal/{name}.conf"] += f"[renewalparams]\naccount = 1\n{settings}\n"
    write(root, files)
