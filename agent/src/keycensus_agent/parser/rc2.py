"""RC2 in CBC mode, decryption only: what protects certificates in most PKCS#12 files before 2020.

Parser side: pure computing. cryptography has RC2 with an effective key of 128 bits only; files of
that time use 40. The blocks of CBC are deciphered side by side: one long integer holds the same word of
thousands of blocks, so that a step costs one operation of CPython for all of them. Source: RFC 2268.
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
# So many blocks at once that an integer (16 KiB) stays in a processor's caches.
_BLOCKS_AT_ONCE = 4096
# A word has a lane of 32 bits, which leaves room for rotations and a borrow.
_LANE = 4
_MASK = 0xFFFF
_BORROW = 0x20000
# Rounds backwards: five mixing, one mashing, six, one, five (RFC 2268, 4).
_MASH_BEFORE = {10, 4}
# By how far each of the four words is rotated.
_ROTATIONS = (1, 2, 3, 5)


def decrypt_cbc(key: bytes, effective_bits: int, iv: bytes, ciphertext: bytes) -> bytes:
    """Return the plain text with its padding; ValueError if the lengths are impossible."""
    if len(iv) != _BLOCK or len(ciphertext) % _BLOCK:
        raise ValueError("not whole blocks")
    words = _expand(key, effective_bits)
    size = _BLOCK * _BLOCKS_AT_ONCE
    lanes = _Lanes(words, min(len(ciphertext), size) // _BLOCK)
    plain = bytearray()
    previous = iv
    for offset in range(0, len(ciphertext), size):
        blocks = ciphertext[offset : offset + size]
        if len(blocks) != lanes.blocks * _BLOCK:
            lanes = _Lanes(words, len(blocks) // _BLOCK)
        before = int.from_bytes(previous + blocks[:-_BLOCK], "big")
        clear = int.from_bytes(lanes.decrypt(blocks), "big") ^ before
        plain += clear.to_bytes(len(blocks), "big")
        previous = blocks[-_BLOCK:]
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


class _Lanes:
    """An expanded key, laid out for `blocks` blocks at once."""

    def __init__(self, words: list[int], blocks: int) -> None:
        self.blocks = blocks
        ones = int.from_bytes(b"\1\0\0\0" * blocks, "little")
        self._mask = ones * _MASK
        self._borrow = ones * _BORROW
        # A word to subtract is added as what is missing to a borrow.
        self._less = [ones * (_BORROW - word) for word in words]
        # What mashing subtracts, by a word's low octet: its low and its high octet.
        self._mash_low = bytes(words[octet & 63] & 0xFF for octet in range(256))
        self._mash_high = bytes(words[octet & 63] >> 8 for octet in range(256))

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the blocks deciphered, each by itself."""
        mask = self._mask
        lanes = [self._word(ciphertext, at) for at in range(0, _BLOCK, 2)]
        for index in range(15, -1, -1):
            if index in _MASH_BEFORE:
                for at in (3, 2, 1, 0):
                    lanes[at] = lanes[at] + self._borrow - self._mash(lanes[at - 1]) & mask
            for at in (3, 2, 1, 0):
                rotation = _ROTATIONS[at]
                word = (lanes[at] >> rotation | lanes[at] << 16 - rotation) & mask
                # (a & b) + (~a & c), which have no bit in common.
                first, second, third = lanes[at - 1], lanes[at - 2], lanes[at - 3]
                chosen = third ^ first & (second ^ third)
                lanes[at] = word + self._less[4 * index + at] - chosen & mask
        return self._joined(lanes)

    def _word(self, ciphertext: bytes, at: int) -> int:
        """Return the little-endian word that stands at `at` of each block."""
        room = bytearray(_LANE * self.blocks)
        room[::_LANE] = ciphertext[at::_BLOCK]
        room[1::_LANE] = ciphertext[at + 1 :: _BLOCK]
        return int.from_bytes(room, "little")

    def _mash(self, lanes: int) -> int:
        octets = lanes.to_bytes(_LANE * self.blocks, "little")[::_LANE]
        room = bytearray(_LANE * self.blocks)
        room[::_LANE] = octets.translate(self._mash_low)
        room[1::_LANE] = octets.translate(self._mash_high)
        return int.from_bytes(room, "little")

    def _joined(self, lanes: list[int]) -> bytes:
        plain = bytearray(_BLOCK * self.blocks)
        for number, word in enumerate(lanes):
            octets = word.to_bytes(_LANE * self.blocks, "little")
            plain[2 * number :: _BLOCK] = octets[::_LANE]
            plain[2 * number + 1 :: _BLOCK] = octets[1::_LANE]
        return bytes(plain)
