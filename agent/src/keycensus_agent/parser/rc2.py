"""RC2 in CBC mode, decryption only: what protects certificates in most PKCS#12 files before 2020.

Parser side: pure computing. cryptography has RC2 with an effective key of 128 bits only; files of
that time use 40. Source: RFC 2268.
"""

from __future__ import annotations

_PI_TABLE = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2"
    "179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82"
    "54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7"
    "08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec"
    "c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9"
    "0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad"
)
_BLOCK = 8
_MASK = 0xFFFF
# Rounds backwards: five mixing, one mashing, six, one, five (RFC 2268, 4).
_MASH_BEFORE = {10, 4}


def decrypt_cbc(key: bytes, effective_bits: int, iv: bytes, ciphertext: bytes) -> bytes:
    """Return the plain text with its padding; ValueError if the lengths are impossible."""
    if len(iv) != _BLOCK or len(ciphertext) % _BLOCK:
        raise ValueError("not whole blocks")
    words = _expand(key, effective_bits)
    plain = bytearray()
    previous = int.from_bytes(iv, "big")
    for offset in range(0, len(ciphertext), _BLOCK):
        block = ciphertext[offset : offset + _BLOCK]
        clear = int.from_bytes(_decrypt_block(words, block), "big") ^ previous
        plain += clear.to_bytes(_BLOCK, "big")
        previous = int.from_bytes(block, "big")
    return bytes(plain)


def _expand(key: bytes, effective_bits: int) -> list[int]:
    """Return the 64 words of the expanded key (RFC 2268, 2)."""
    buffer = bytearray(key)
    for index in range(len(key), 128):
        buffer.append(_PI_TABLE[(buffer[index - 1] + buffer[index - len(key)]) & 0xFF])
    size = (effective_bits + 7) // 8
    buffer[128 - size] = _PI_TABLE[buffer[128 - size] & 0xFF >> (8 * size - effective_bits)]
    for index in range(127 - size, -1, -1):
        buffer[index] = _PI_TABLE[buffer[index + 1] ^ buffer[index + size]]
    return [buffer[index] | buffer[index + 1] << 8 for index in range(0, 128, 2)]


def _decrypt_block(words: list[int], block: bytes) -> bytes:
    r0, r1, r2, r3 = (int.from_bytes(block[at : at + 2], "little") for at in (0, 2, 4, 6))
    for index in range(15, -1, -1):
        if index in _MASH_BEFORE:
            r3 = (r3 - words[r2 & 63]) & _MASK
            r2 = (r2 - words[r1 & 63]) & _MASK
            r1 = (r1 - words[r0 & 63]) & _MASK
            r0 = (r0 - words[r3 & 63]) & _MASK
        at = 4 * index
        r3 = (r3 >> 5 | r3 << 11) & _MASK
        r3 = (r3 - words[at + 3] - (r2 & r1) - (~r2 & r0)) & _MASK
        r2 = (r2 >> 3 | r2 << 13) & _MASK
        r2 = (r2 - words[at + 2] - (r1 & r0) - (~r1 & r3)) & _MASK
        r1 = (r1 >> 2 | r1 << 14) & _MASK
        r1 = (r1 - words[at + 1] - (r0 & r3) - (~r0 & r2)) & _MASK
        r0 = (r0 >> 1 | r0 << 15) & _MASK
        r0 = (r0 - words[at] - (r3 & r2) - (~r3 & r1)) & _MASK
    return b"".join(word.to_bytes(2, "little") for word in (r0, r1, r2, r3))
