"""Tell whether an NSS key database opens without a password.

Parser side: computing on hostile bytes. The database keeps the words "password-check" under a key made
from its salt and its master password; nothing else is ever deciphered. Sources: lib/softoken/sftkpwd.c,
lib/softoken/lowpbe.c (nsspkcs5_PKCS12PBE and the 3DES scheme before 2018) of NSS.
"""

from __future__ import annotations

import hashlib
import hmac

from keycensus_agent.parser import ciphers, der
from keycensus_agent.parser.derivation import (
    IterationBudget,
    UnknownSchemeError,
    derivation,
)

_PBES2 = "1.2.840.113549.1.5.13"
_SHA1_TRIPLE_DES = "1.2.840.113549.1.12.5.1.3"
_CHECK = b"password-check"
_AES_KEY_BYTES = 32
# The initialisation vector stands with its tag and length, which make the 16 bytes whole.
_AES_BLOCK = 16


def opens(salt: bytes, check: bytes, password: str = "") -> bool:
    """Tell whether `password` is the master password; false too if nobody here can tell.

    `salt` and `check` are the two values of the row "password".
    """
    # The database's hash of its password, as it has always been.
    secret = hashlib.sha1(salt + password.encode(), usedforsecurity=False).digest()
    try:
        return _decipher(check, secret, IterationBudget()).startswith(_CHECK)
    except (ValueError, IndexError):
        return False


def _decipher(check: bytes, secret: bytes, budget: IterationBudget) -> bytes:
    fields = der.expect(check, der.read_whole(check), der.SEQUENCE, der.OCTET_STRING)
    scheme = der.expect(check, fields[0], der.OBJECT_IDENTIFIER, der.SEQUENCE)
    ciphertext, oid = der.content(check, fields[1]), der.dotted(check, scheme[0])
    if oid == _PBES2:
        function, encryption = der.expect(check, scheme[1], der.SEQUENCE, der.SEQUENCE)[:2]
        vector = der.expect(check, encryption, der.OBJECT_IDENTIFIER, der.OCTET_STRING)[1]
        iv = der.content(check, vector)
        if len(iv) != _AES_BLOCK:
            iv = der.encoding(check, vector)
        key = derivation(check, function, _AES_KEY_BYTES, budget)(secret)
        return ciphers.decrypt_cbc("aes", key, iv, ciphertext)
    if oid == _SHA1_TRIPLE_DES:
        salt = der.content(check, der.expect(check, scheme[1], der.OCTET_STRING)[0])
        key = _triple_des_key(secret, salt)
        return ciphers.decrypt_cbc("3des", key[:24], key[-8:], ciphertext)
    raise UnknownSchemeError(oid)


def _triple_des_key(secret: bytes, salt: bytes) -> bytes:
    """Return 24 bytes of key and, as the last 8, the initialisation vector."""
    padded = salt.ljust(20, b"\0")
    inner = hashlib.sha1(secret + salt, usedforsecurity=False).digest()
    first = hmac.digest(inner, padded + salt, "sha1")
    second = hmac.digest(inner, hmac.digest(inner, padded, "sha1") + salt, "sha1")
    return first + second
