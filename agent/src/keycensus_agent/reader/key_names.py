"""Names that promise a certificate, a key or a store of them: such a file is never missing in silence.

Runs in the reader.
"""

from __future__ import annotations

import re

_KEY_LIKE_NAME = re.compile(
    r"\.(?:pem|key|crt|cer|cert|der|p12|pfx|jks|jceks|bks|bcfks|keystore|truststore|p7b|p7c|p7s|p8"
    r"|pk8|csr|crl|ppk|kdb|kbx|sst|sso|keytab)\Z"
    r"|\A(?:id_(?:rsa|dsa|ecdsa|ed25519)|ssh_host_.*_key|cacerts|(?:priv|full)?chain\d*|privkey\d*"
    r"|identity|server\.key.*|key[34]\.db|cert[89]\.db)\Z",
    re.IGNORECASE,
)


def is_key_like(name: str) -> bool:
    """Tell whether a file's name promises a certificate, a key or a store of them."""
    return _KEY_LIKE_NAME.search(name) is not None
