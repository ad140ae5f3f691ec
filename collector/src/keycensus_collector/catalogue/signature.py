"""Whether one certificate's key signed another certificate. Runs in the limited catalogue child."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

_SIGNING = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    dsa.DSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)


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


def are_signed(revocation_list: bytes, signers: Sequence[bytes]) -> list[bool | None]:
    """Return for each certificate (DER) whether its key signed the list (DER) and may sign lists.

    None if that can't be told. Names are not compared. Who is no authority must be allowed by its key
    usage, and an authority not be kept from it (RFC 5280, section 6.3.3 f).
    """
    try:
        signed = x509.load_der_x509_crl(revocation_list)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises what it likes on odd ones
        return [None] * len(signers)
    return [_signs(signed, _load(signer)) for signer in signers]


def _signs(signed: x509.CertificateRevocationList, signer: x509.Certificate | None) -> bool | None:
    if signer is None:
        return None
    try:
        key = signer.public_key()
        if not isinstance(key, _SIGNING):
            return None
        return _may_sign_lists(signer) and signed.is_signature_valid(key)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the library raises what it likes on odd ones: no verdict
        return None


def _may_sign_lists(signer: x509.Certificate) -> bool:
    try:
        return signer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        pass
    try:
        return signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
