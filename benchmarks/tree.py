"""Make a directory tree like a server's, for measurements that need one of a known size.

    python -m benchmarks.tree DIR FILES

The same number gives the same layout: names, sizes and kinds come from a fixed seed. Keys and
certificates are made anew, since nothing here can be seeded there; their number is the same.
"""

from __future__ import annotations

import io
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

SEED = 20260923
FILES_PER_DIRECTORY = 40
DIRECTORIES_PER_DIRECTORY = 12
# Counted on a Debian server with a few services: of a thousand files most are text and small.
_MIX = (("text", 560), ("binary", 340), ("empty", 60), ("script", 25), ("certificate", 6))
_RARE = (("key", 3), ("bundle", 2), ("der", 2), ("mention", 2), ("sealed", 1), ("keystore", 1))
_ARCHIVES = (("zip", 2), ("tar", 2))
# Bytes; the median is small and a few files are large, as everywhere.
_SIZE_MEDIAN, _SIZE_SPREAD, _SIZE_LIMIT = 2500, 1.4, 400_000
_WORDS = b"server listen port path log user allow deny cache timeout root include value".split()


def make_tree(root: Path, files: int) -> None:
    """Write `files` files below `root`, which must not hold any yet."""
    chance = random.Random(SEED)
    makers = _makers(chance)
    kinds, weights = zip(*(_MIX + _RARE + _ARCHIVES), strict=True)
    for number, directory in enumerate(_directories(root, files)):
        directory.mkdir(parents=True, exist_ok=True)
        left = min(FILES_PER_DIRECTORY, files - number * FILES_PER_DIRECTORY)
        for index, kind in enumerate(chance.choices(kinds, weights, k=left)):
            (directory / f"{kind}-{index}").write_bytes(makers[kind]())


def _directories(root: Path, files: int) -> Iterator[Path]:
    """Yield as many directories as the files need, some levels deep."""
    for number in range(-(-files // FILES_PER_DIRECTORY)):
        parts = []
        while number:
            number, part = divmod(number, DIRECTORIES_PER_DIRECTORY)  # noqa: PLW2901 - digits of it
            parts.append(f"d{part}")
        yield root.joinpath(*parts)


def _makers(chance: random.Random) -> dict[str, Callable[[], bytes]]:
    noise, prose = chance.randbytes(_SIZE_LIMIT), b" ".join(chance.choices(_WORDS, k=70_000))

    def size() -> int:
        return min(_SIZE_LIMIT, int(_SIZE_MEDIAN * chance.lognormvariate(0, _SIZE_SPREAD)))

    return {
        "text": lambda: prose[: size()].replace(b" port ", b"\nport = "),
        "binary": lambda: b"\x7fELF\x02\x01\x01\0" + noise[-size() :],
        "empty": lambda: b"",
        "script": lambda: b"#!/bin/sh\n" + prose[: size()],
        "certificate": lambda: _pem(chance),
        "key": _key,
        "bundle": lambda: b"".join(_pem(chance) for _ in range(5)),
        "der": lambda: _certificate(chance).public_bytes(Encoding.DER),
        "mention": lambda: prose[: size()] + b"\n-----BEGIN SOMETHING-----\n",
        "sealed": lambda: _key(BestAvailableEncryption(b"changeit")),
        "keystore": lambda: _keystore(chance),
        "zip": lambda: _zip(chance, prose[: size()]),
        "tar": lambda: _tar(chance, prose[: size()]),
    }


def _key(sealing: KeySerializationEncryption | None = None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing or NoEncryption())


def _keystore(chance: random.Random) -> bytes:
    """Return a PKCS#12 store with a key and its certificate, under a password that tools leave."""
    key = ec.generate_private_key(ec.SECP256R1())
    sealing = BestAvailableEncryption(b"changeit")
    return pkcs12.serialize_key_and_certificates(
        b"server", key, _certificate(chance, key), None, sealing
    )


def _zip(chance: random.Random, text: bytes) -> bytes:
    """Return an archive as a backup is: much text, and one certificate."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(zipfile.ZipInfo(f"etc/file{number}"), text)
        archive.writestr(zipfile.ZipInfo("etc/ssl/server.pem"), _pem(chance))
    return packed.getvalue()


def _tar(chance: random.Random, text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (
            *((f"etc/{each}", text) for each in range(8)),
            ("a.pem", _pem(chance)),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _pem(chance: random.Random) -> bytes:
    return _certificate(chance).public_bytes(Encoding.PEM)


def _certificate(
    chance: random.Random, key: ec.EllipticCurvePrivateKey | None = None
) -> x509.Certificate:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.NameAttribute(
        x509.NameOID.COMMON_NAME, f"host-{chance.getrandbits(32)}.example.com"
    )
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(300))
    builder = x509.CertificateBuilder().subject_name(x509.Name([name]))
    builder = builder.issuer_name(x509.Name([name])).public_key(key.public_key())
    builder = builder.serial_number(chance.getrandbits(100) + 1).not_valid_before(begin)
    return builder.not_valid_after(begin + timedelta(days=90)).sign(key, SHA256())


if __name__ == "__main__":
    make_tree(Path(sys.argv[1]), int(sys.argv[2]))
