"""Whether one certificate's key signed another certificate. Runs in the limited catalogue child."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature


def is_issued_by(child: bytes, parent: bytes) -> bool | None:
    """Return whether `parent` (DER) signed `child` (DER) under the name that `child` calls its issuer.

    None if that can't be told: a certificate that the library refuses, a key or signature algorithm
    that it does not know.
    """
    return are_issued([child, parent], [(0, 1)])[0]


def are_issued(
    certificates: Sequence[bytes], pairs: Sequence[tuple[int, int]]
) -> list[bool | None]:
    """Return the verdict of `is_issued_by` for each (child, parent), given as places in the list."""
    loaded = [_load(der) for der in certificates]
    return [_verify(loaded[child], loaded[parent]) for child, parent in pairs]


def _load(der: bytes) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises what it likes on odd ones
        return None


def _verify(issued: x509.Certificate | None, issuer: x509.Certificate | None) -> bool | None:
    if issued is None or issuer is None:
        return None
    try:
        issued.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises what it likes on odd ones: no verdict
        return None
    return True
