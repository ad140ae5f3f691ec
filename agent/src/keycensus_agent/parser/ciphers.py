"""The ciphers that password-based encryption is written with, decryption only.

Parser side: computing on hostile bytes and secrets, which never reach an error or a repr. Triple-DES
stands for DES too (one key three times). Sources: RFC 8018 B.2, RFC 3657, RFC 4010, RFC 8998.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.primitives.ciphers import (
    BlockCipherAlgorithm,
    Cipher,
    algorithms,
    modes,
)

from keycensus_agent.parser import rc2

# It moved from one to the other, which warns since.
_CAMELLIA = "Camellia"
_BLOCK_CIPHERS: dict[str, type[BlockCipherAlgorithm]] = {
    "aes": algorithms.AES,
    "camellia": getattr(decrepit if hasattr(decrepit, _CAMELLIA) else algorithms, _CAMELLIA),
    "seed": decrepit.SEED,
    "sm4": algorithms.SM4,
}


def decrypt_cbc(cipher: str, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Return the plain bytes with their padding; ValueError if lengths do not fit the cipher.

    `cipher` is "aes", "camellia", "seed", "sm4", "3des" (keys of 8, 16 or 24 bytes) or "rc2-N" with
    N effective bits. UnsupportedAlgorithm, which is no ValueError, if OpenSSL was built without it.
    """
    name, _, bits = cipher.partition("-")
    if name == "rc2":
        return rc2.decrypt_cbc(key, int(bits), iv, ciphertext)
    if name == "3des":
        # DES is Triple-DES with one key three times; two-key Triple-DES repeats the first.
        triple = {8: key * 3, 16: key + key[:8]}.get(len(key), key)
        algorithm: BlockCipherAlgorithm = decrepit.TripleDES(triple)
    else:
        algorithm = _BLOCK_CIPHERS[name](key)  # type: ignore[call-arg]
    decryptor = Cipher(algorithm, modes.CBC(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def decrypt_rc4(key: bytes, ciphertext: bytes) -> bytes:
    """Return the plain bytes of a stream under RC4."""
    decryptor = Cipher(decrepit.ARC4(key), mode=None).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()
