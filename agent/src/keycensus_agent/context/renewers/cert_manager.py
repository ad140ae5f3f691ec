"""cert-manager: secrets that it annotated, where their manifests lie on this host.

It keeps its secrets in the cluster's API, which the agent does not ask; what lies in files are manifests that the
cluster applies, and copies. Source: cert-manager's documentation ("Certificate resource": annotations of the secret).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Renewer
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.validity import validity_in

_PATTERNS = (
    "/etc/kubernetes/*.yaml",
    "/etc/kubernetes/*/*.yaml",
    "/var/lib/rancher/k3s/server/manifests/*.yaml",
    "/var/lib/rancher/rke2/server/manifests/*.yaml",
)
_NAME = re.compile(r"""["']?cert-manager\.io/certificate-name["']?\s*:\s*["']?([\w.-]+)""")
_CERTIFICATE = re.compile(
    r"""^[ \t]*["']?tls\.crt["']?\s*:\s*["']?([A-Za-z0-9+/=]+)""", re.MULTILINE
)
_SEPARATOR = re.compile(r"^---", re.MULTILINE)


def read(asked: Asked) -> Iterator[Renewer]:
    """Yield each annotated secret in a manifest."""
    for pattern in _PATTERNS:
        for path in asked.sources.glob(pattern):
            text = asked.sources.text(path) or ""
            if "cert-manager.io/" in text:
                for document in _SEPARATOR.split(text):
                    yield from _of(asked, path, document)


def _of(asked: Asked, path: str, document: str) -> Iterator[Renewer]:
    name = _NAME.search(document)
    if name is None or "Secret" not in document:
        return
    encoded = _CERTIFICATE.search(document)
    try:
        pem = binascii.a2b_base64(encoded[1]) if encoded else b""
    except ValueError:
        pem = b""
    validity = validity_in(pem.decode("ascii", "replace"))
    yield asked.renewer(
        "cert-manager",
        name[1],
        record=path,
        paths=[path],
        schedule="cert-manager",
        last_success_ms=validity.not_before_ms if validity else 0,
        reason=asked.past_due(validity),
    )
