"""A certificate that has nothing but dates to look at."""

from __future__ import annotations

import datetime as dt
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dated")])


@cache
def dated_pem(now_ms: int, first_day: int, last_day: int) -> str:
    """Return a certificate in PEM that is valid between two days, counted from `now_ms`."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    key = Ed25519PrivateKey.generate()
    made = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + dt.timedelta(days=first_day))
        .not_valid_after(now + dt.timedelta(days=last_day))
        .sign(key, None)
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()
