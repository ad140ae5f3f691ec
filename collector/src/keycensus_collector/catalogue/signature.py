"""Whether one certificate's key signed another certificate. Runs in the limited catalogue child."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature


def is_issued_by(child: bytes, parent: bytes) -> bool | None:
    """Return whether `parent` (DER) signed `child` (DER) under the name that `child` calls its issuer.

    None if that can't be told: a certificate that the library refuses, a key or signature algorithm
    that it does not know.
    """
    try:
        issued = x509.load_der_x509_certificate(child)
        issuer = x509.load_der_x509_certificate(parent)
        issued.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises what it likes on odd ones: no verdict
        return None
    return True
