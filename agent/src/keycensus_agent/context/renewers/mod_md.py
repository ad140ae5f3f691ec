"""Apache's mod_md: a directory per managed domain in its store, renewed by the server itself.

Source: httpd's documentation of mod_md (MDomain, MDStoreDir, MDRenewMode, MDRenewWindow), md_store_fs.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_of
from keycensus_agent.context.services.apache import ManagedDomain, configurations, managed_domains

_UNITS = ("apache2.service", "httpd.service")
# Where each layout loads its modules.
_LOADED_IN = (
    *(
        "/etc/apache2/mods-enabled/md.load",
        "/etc/httpd/conf.modules.d/*.conf",
        "/etc/httpd/conf/httpd.conf",
    ),
    *("/etc/apache2/sysconfig.d/*.conf", "/etc/apache2/conf.d/*.conf", "/etc/apache2/httpd.conf"),
    *("/etc/apache2/apache2.conf", "/usr/local/apache2/conf/httpd.conf"),
)


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each domain that mod_md has certificates of."""
    # The whole configuration is read again only where the module can be there.
    files = (path for pattern in _LOADED_IN for path in asked.sources.glob(pattern))
    if not any("md_module" in (asked.sources.text(path) or "") for path in files):
        return
    for configuration in configurations(asked.sources, asked.units):
        for domain in managed_domains(configuration.tree):
            yield from _of(asked, domain)


def _of(asked: Asked, domain: ManagedDomain) -> Iterator[Renewer]:
    # A domain may have a key of each kind: pubcert.pem, pubcert.secp256r1.pem.
    for leaf in asked.sources.included(domain.at[0], f"{domain.directory}/pubcert*.pem"):
        late = asked.past_due(validity_of(asked.sources, leaf))
        yield asked.renewer(
            "mod_md",
            domain.names[0],
            record=domain.at[0],
            paths=[
                leaf,
                f"{domain.directory}/{leaf.rpartition('/')[2].replace('pubcert', 'privkey', 1)}",
            ],
            schedule=asked.schedules.daemon(*_UNITS),
            last_success_ms=asked.written_ms(leaf),
            reason=late if domain.is_renewed else "switched-off",
        )
