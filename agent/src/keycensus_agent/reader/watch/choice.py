"""Which directories are worth a watch: pure, from what is known to a list, the most important first.

1. Directories that have findings, and those that links of findings lead to: what is here changes.
2. Their parents up to the root: a directory that is moved or replaced tells nothing itself. A link to a
   directory, such as Kubernetes' `..data`, is turned in one of these, too.
3. Places where certificates and keys are put, with what is below them.
4. Directories that appeared while we watched: what was made just now is filled soon.

The rest of the disk is swept. A watch takes about 1 KiB of the kernel's memory and as much of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# More would cost an idle agent more memory than it may have.
MOST_WATCHES = 8192
# Of the user's watches, so much is left to others (1 / 2): the limit is per user, not per process.
_SHARE = 2
# Of one known place, so many directories below it are watched, and no deeper than that: /srv may be
# a file server.
MOST_BELOW = 512
DEEPEST_BELOW = 3

# Where distributions, servers and people put certificates and keys.
KNOWN_PLACES: tuple[bytes, ...] = (
    *(b"/etc/ssl", b"/etc/pki", b"/etc/ca-certificates", b"/usr/local/share/ca-certificates"),
    *(b"/etc/letsencrypt", b"/etc/acme", b"/etc/dehydrated", b"/var/lib/dehydrated"),
    *(b"/var/lib/acme", b"/var/lib/certmonger", b"/root/.acme.sh", b"/var/lib/caddy"),
    *(b"/etc/nginx", b"/etc/apache2", b"/etc/httpd", b"/etc/haproxy", b"/etc/traefik"),
    *(b"/etc/postfix", b"/etc/dovecot", b"/etc/exim4", b"/etc/postgresql", b"/etc/mysql"),
    *(b"/etc/ldap", b"/etc/openldap", b"/etc/openvpn", b"/etc/wireguard", b"/etc/ipsec.d"),
    *(b"/etc/swanctl", b"/etc/ssh", b"/etc/kubernetes", b"/etc/docker", b"/etc/tomcat"),
    *(b"/var/lib/kubelet/pki", b"/etc/pve", b"/opt", b"/srv"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the choice is made from: canonical paths within the scanned root.

    `below` are directories in known places, `recent` those that appeared, the newest last.
    """

    findings: tuple[bytes, ...] = ()
    targets: tuple[bytes, ...] = ()
    places: tuple[bytes, ...] = ()
    below: tuple[bytes, ...] = ()
    recent: tuple[bytes, ...] = ()


def budget(user_limit: int) -> int:
    """Return how many watches may be placed, of what the kernel gives one user."""
    return max(0, min(MOST_WATCHES, user_limit // _SHARE))


def choose(known: Known, most: int) -> list[bytes]:
    """Return the directories to watch, at most `most`, the most important first."""
    chosen: dict[bytes, None] = {}
    for group in (
        known.findings,
        known.targets,
        _shallow_first(_above((*known.findings, *known.targets))),
        known.places,
        _shallow_first(known.below),
        reversed(known.recent),
    ):
        for path in group:
            if len(chosen) >= most:
                return list(chosen)
            chosen[path] = None
    return list(chosen)


def _above(paths: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in paths:
        above = path
        while above not in (b"/", b""):
            above = above[: above.rfind(b"/")] or b"/"
            if above in found:
                break
            found.add(above)
    return found


def _shallow_first(paths: Iterable[bytes]) -> list[bytes]:
    return sorted(paths, key=lambda path: (path.count(b"/"), path))
