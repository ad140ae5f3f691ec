"""Object identifiers of keys and signatures with the names that people and the wire use."""

from __future__ import annotations

# SubjectPublicKeyInfo: (name, bits where the algorithm fixes them). RFC 3279, 8410, 9881, 9909, 9935.
KEY_ALGORITHMS: dict[str, tuple[str, int]] = {
    "1.2.840.113549.1.1.1": ("rsa", 0),
    "1.2.840.113549.1.1.10": ("rsa", 0),
    "1.2.840.10045.2.1": ("ec", 0),
    "1.2.840.10040.4.1": ("dsa", 0),
    "1.2.840.113549.1.3.1": ("dh", 0),
    "1.2.840.10046.2.1": ("dh", 0),
    "1.3.101.110": ("x25519", 256),
    "1.3.101.111": ("x448", 448),
    "1.3.101.112": ("ed25519", 256),
    "1.3.101.113": ("ed448", 456),
    "2.16.840.1.101.3.4.3.17": ("ml-dsa-44", 0),
    "2.16.840.1.101.3.4.3.18": ("ml-dsa-65", 0),
    "2.16.840.1.101.3.4.3.19": ("ml-dsa-87", 0),
    "2.16.840.1.101.3.4.4.1": ("ml-kem-512", 0),
    "2.16.840.1.101.3.4.4.2": ("ml-kem-768", 0),
    "2.16.840.1.101.3.4.4.3": ("ml-kem-1024", 0),
} | {
    f"2.16.840.1.101.3.4.3.{20 + number}": (f"slh-dsa-{name}", 0)
    for number, name in enumerate(
        f"{digest}-{size}{speed}"
        for digest in ("sha2", "shake")
        for size in (128, 192, 256)
        for speed in ("s", "f")
    )
}

SIGNATURE_ALGORITHMS: dict[str, str] = {
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.3.14.3.2.29": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "2.16.840.1.101.3.4.3.13": "sha3-224WithRSAEncryption",
    "2.16.840.1.101.3.4.3.14": "sha3-256WithRSAEncryption",
    "2.16.840.1.101.3.4.3.15": "sha3-384WithRSAEncryption",
    "2.16.840.1.101.3.4.3.16": "sha3-512WithRSAEncryption",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "2.16.840.1.101.3.4.3.9": "ecdsa-with-SHA3-224",
    "2.16.840.1.101.3.4.3.10": "ecdsa-with-SHA3-256",
    "2.16.840.1.101.3.4.3.11": "ecdsa-with-SHA3-384",
    "2.16.840.1.101.3.4.3.12": "ecdsa-with-SHA3-512",
    "1.2.840.10040.4.3": "dsa-with-SHA1",
    "2.16.840.1.101.3.4.3.1": "dsa-with-SHA224",
    "2.16.840.1.101.3.4.3.2": "dsa-with-SHA256",
    "2.16.840.1.101.3.4.3.3": "dsa-with-SHA384",
    "2.16.840.1.101.3.4.3.4": "dsa-with-SHA512",
} | {
    oid: name
    for oid, (name, _) in KEY_ALGORITHMS.items()
    if name.startswith(("ed", "ml-dsa", "slh"))
}

# RFC 5280 section 4.2.1.12 and what else stands in certificates often.
KEY_PURPOSES: dict[str, str] = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.4.1.311.10.3.4": "encryptedFileSystem",
    "1.3.6.1.4.1.311.20.2.2": "smartcardLogon",
    "1.3.6.1.5.2.3.5": "pkinitKDC",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}

# Curves by object identifier, beside those of `key_id.CURVES`: SEC 2, X9.62, RFC 5639, GB/T 32918.
OTHER_CURVES: dict[str, tuple[str, int]] = {
    "1.2.156.10197.1.301": ("sm2", 256),
    "1.3.132.0.1": ("sect163k1", 163),
    "1.3.132.0.6": ("secp112r1", 112),
    "1.3.132.0.8": ("secp160r1", 160),
    "1.3.132.0.9": ("secp160k1", 160),
    "1.3.132.0.15": ("sect163r2", 163),
    "1.3.132.0.16": ("sect283k1", 283),
    "1.3.132.0.17": ("sect283r1", 283),
    "1.3.132.0.26": ("sect233k1", 233),
    "1.3.132.0.27": ("sect233r1", 233),
    "1.3.132.0.31": ("secp192k1", 192),
    "1.3.132.0.32": ("secp224k1", 224),
    "1.3.132.0.36": ("sect409k1", 409),
    "1.3.132.0.37": ("sect409r1", 409),
    "1.3.132.0.38": ("sect571k1", 571),
    "1.3.132.0.39": ("sect571r1", 571),
} | {
    f"1.3.36.3.3.2.8.1.1.{number}": (f"brainpoolP{bits}t1", bits)
    for number, bits in ((2, 160), (4, 192), (6, 224), (8, 256), (10, 320), (12, 384), (14, 512))
}
