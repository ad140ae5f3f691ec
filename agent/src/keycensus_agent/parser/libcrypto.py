"""The one function of OpenSSL that is called by itself: PKCS#12's derivation, which in Python takes five times as long.

Parser side: the library is opened when this is imported, before the filter. It is the one that Python's own hashlib
stands on, so it is there wherever that is linked as distributions do; elsewhere, and where it refuses (FIPS), the
caller computes for itself. Source: PKCS12_key_gen_uni in OpenSSL's pkcs12.h, the same since 0.9.
"""

from __future__ import annotations

import ctypes

_NAMES = ("libcrypto.so.3", "libcrypto.so.1.1")
_DIGESTS = ("sha1", "sha224", "sha256", "sha384", "sha512")


def _opened() -> ctypes.CDLL | None:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
            derive = library.PKCS12_key_gen_uni
            for digest in _DIGESTS:
                getattr(library, f"EVP_{digest}").restype = ctypes.c_void_p
        except (OSError, AttributeError):
            continue
        text, number = ctypes.c_char_p, ctypes.c_int
        derive.argtypes = [
            text,
            number,
            text,
            number,
            number,
            number,
            number,
            text,
            ctypes.c_void_p,
        ]
        derive.restype = number
        return library
    return None


_LIBRARY = _opened()


def derived(
    secret: bytes, salt: bytes, *, purpose: int, iterations: int, size: int, digest: str
) -> bytes | None:
    """Return `size` bytes as RFC 7292 appendix B.2 derives them; None if this OpenSSL does not."""
    if _LIBRARY is None or digest not in _DIGESTS or not 0 < iterations < 1 << 31:
        return None
    room = ctypes.create_string_buffer(size)
    hashed = getattr(_LIBRARY, f"EVP_{digest}")()
    arguments = (secret, len(secret), salt, len(salt), purpose, iterations, size, room, hashed)
    return room.raw if _LIBRARY.PKCS12_key_gen_uni(*arguments) == 1 else None
