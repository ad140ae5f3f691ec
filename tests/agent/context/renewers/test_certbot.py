from __future__ import annotations

from pathlib import Path

import pytest
from fakes.certbot import TIMER, lineage
from fakes.configured_root import (
    DAY_MS,
    NOW_MS,
    context_of,
    enable,
    problems_in,
    renewers_in,
    write,
)


def test_a_healthy_lineage_is_renewed_by_its_timer(tmp_path: Path) -> None:
    write(tmp_path, TIMER)
    enable(tmp_path, "certbot.timer")
    lineage(tmp_path, left_days=40)
    (renewer,) = renewers_in(tmp_path, "certbot")
    assert (renewer.tool, renewer.name, renewer.schedule) == (
        "certbot",
        "example.com",
        "certbot.timer",
    )
    assert renewer.configuration == b"/etc/letsencrypt/renewal/example.com.conf"
    assert b"/etc/letsencrypt/live/example.com/privkey.pem" in renewer.paths
    assert b"/etc/letsencrypt/archive/example.com/fullchain2.pem" in renewer.paths
    written = (tmp_path / "etc/letsencrypt/archive/example.com/cert2.pem").stat().st_mtime_ns
    assert renewer.last_success_ms == written // 1_000_000
    assert (renewer.overdue, renewer.reason) == (False, "")


def test_a_disabled_or_masked_timer_makes_it_overdue(tmp_path: Path) -> None:
    write(tmp_path, TIMER)
    lineage(tmp_path, left_days=80)
    (renewer,) = renewers_in(tmp_path, "certbot")
    assert (renewer.overdue, renewer.reason, renewer.schedule) == (True, "not-scheduled", "")
    enable(tmp_path, "certbot.timer")
    write(tmp_path, {"/etc/systemd/system/certbot.timer": "-> /dev/null"})
    (renewer,) = renewers_in(tmp_path, "certbot")
    assert renewer.reason == "not-scheduled"


@pytest.mark.parametrize(
    ("left_days", "settings", "reason"),
    [
        (28, "", ""),
        (26, "", "past-due"),
        (-1, "", "past-due"),
        (26, "renew_before_expiry = 2 weeks", ""),
        (10, "renew_before_expiry = 2 weeks", "past-due"),
        (80, "autorenew = False", "switched-off"),
    ],
)
def test_it_is_past_due_some_days_after_it_should_have_been_renewed(
    tmp_path: Path, left_days: int, settings: str, reason: str
) -> None:
    write(tmp_path, TIMER)
    enable(tmp_path, "certbot.timer")
    lineage(tmp_path, left_days=left_days, settings=settings)
    (renewer,) = renewers_in(tmp_path, "certbot")
    assert renewer.reason == reason
    assert renewer.overdue == bool(reason)


@pytest.mark.parametrize(
    ("path", "text", "runs"),
    [
        ("/etc/crontab", "17 3 * * * root certbot renew --quiet", True),
        ("/etc/crontab", "# 17 3 * * * root certbot renew --quiet", False),
        ("/var/spool/cron/crontabs/root", "@daily /snap/bin/certbot -q renew", True),
        ("/etc/cron.daily/renew", "#!/bin/sh\nexec certbot \\\n renew\n", True),
        ("/etc/cron.daily/renew.bak", "#!/bin/sh\ncertbot renew\n", False),
        (
            "/etc/cron.d/certbot",
            "0 0 * * * root test -a \\! -d /run/systemd/system && certbot renew",
            True,
        ),
    ],
)
def test_cron_runs_it_too(tmp_path: Path, path: str, text: str, *, runs: bool) -> None:
    lineage(tmp_path, left_days=40)
    write(tmp_path, {path: text})
    assert renewers_in(tmp_path, "certbot")[0].schedule == ""
    write(tmp_path, {"/usr/sbin/cron": "a daemon"})
    assert renewers_in(tmp_path, "certbot")[0].schedule == (path if runs else "")


def test_what_debians_cron_leaves_to_the_timer_is_no_schedule(tmp_path: Path) -> None:
    lineage(tmp_path, left_days=40)
    line = (
        "0 */12 * * * root test -x /usr/bin/certbot -a \\! -d /run/systemd/system && certbot renew"
    )
    write(tmp_path, {"/etc/cron.d/certbot": line, "/usr/sbin/cron": "", "/lib/systemd/systemd": ""})
    assert renewers_in(tmp_path, "certbot")[0].schedule == ""


def test_a_timer_may_run_a_script(tmp_path: Path) -> None:
    lineage(tmp_path, left_days=40)
    write(
        tmp_path,
        {
            "/etc/systemd/system/weekly.timer": "[Timer]\nUnit=mine.service\n",
            "/etc/systemd/system/mine.service": "[Service]\nExecStart=/usr/local/bin/renew-all\n",
            "/usr/local/bin/renew-all": "#!/bin/sh\ncertbot renew\n",
        },
    )
    enable(tmp_path, "weekly.timer")
    assert renewers_in(tmp_path, "certbot")[0].schedule == "weekly.timer"


def test_a_record_without_files_is_noted_and_an_unreadable_certificate_is_not_past_due(
    tmp_path: Path,
) -> None:
    write(tmp_path, {**TIMER, "/etc/letsencrypt/renewal/a.conf": "\x01rubbish = 1\n"})
    write(tmp_path, {"/etc/letsencrypt/renewal/b.conf": "cert = /b.pem\n", "/b.pem": "-----BEGIN"})
    enable(tmp_path, "certbot.timer")
    (renewer,) = renewers_in(tmp_path, "certbot", NOW_MS + 9_999 * DAY_MS)
    assert (renewer.name, renewer.overdue) == ("b", False)
    assert [problem.configuration for problem in problems_in(tmp_path, "certbot")] == [
        b"/etc/letsencrypt/renewal/a.conf"
    ]


def test_of_two_that_renew_a_file_the_one_that_does_its_work_is_named(tmp_path: Path) -> None:
    write(tmp_path, TIMER)
    enable(tmp_path, "certbot.timer")
    lineage(tmp_path, left_days=1, name="z")
    write(
        tmp_path,
        {
            "/etc/letsencrypt/renewal/a.conf": "cert = /other.pem\nprivkey = /etc/letsencrypt/live/z/cert.pem\n"
        },
    )
    context = context_of(tmp_path)
    path, target = b"/etc/letsencrypt/live/z/cert.pem", b"/etc/letsencrypt/archive/z/cert2.pem"
    for found in (context.renewer_of(path), context.renewer_of(b"/link", target)):
        assert found is not None
        assert found.name == "a"
    assert context.renewer_of(b"/none") is None
