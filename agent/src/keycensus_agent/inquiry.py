"""What the reader asks the link of this host's listeners, and what the link answers: frames of JSON.

Questions come from the reader only; nothing that a collector says can make one. Both sides check what
they are given: the link asks no address but the host's own, the reader takes an answer as a claim.

    reader → link   ASK     {"what": "listeners"}
                    ASK     {"what": "handshake", "address", "port", "server_name", "protocol", "family"}
    link → reader   ANSWER  {"listeners": [{"address", "port", "uid", "cgroup", "v6only"}, …]}
                    ANSWER  {"chain": [base64 of DER, …], "tls_version", "cipher"}, or {"error": text}

One question at a time: the answer belongs to the question before it. Pure.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

# How TLS begins: at once, or after a word in another protocol.
PROTOCOLS = (
    "tls",
    "starttls-smtp",
    "starttls-postgresql",
    "starttls-mysql",
    "starttls-imap",
    "starttls-pop3",
    "starttls-ldap",
)
# Kinds of signature that a listener may have a certificate for; empty: whichever it prefers.
FAMILIES = ("", "rsa", "ecdsa")
QUESTION_BYTES = 4096
LISTENERS = 4096
CHAIN = 16
CERTIFICATE_BYTES = 64 * 1024
_NAME_CHARACTERS = 253
_TEXT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening TCP socket. `cgroup` is the id of its control group, 0 if the kernel does not say."""

    address: str
    port: int
    uid: int
    cgroup: int
    v6only: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One handshake that is wanted of one of the host's own addresses."""

    address: str
    port: int
    server_name: str = ""
    protocol: str = "tls"
    family: str = ""

    @property
    def endpoint(self) -> str:
        """Return "address:port", IPv6 in brackets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Presented:
    """What a listener presented: DER, the leaf first; or why there was nothing."""

    chain: tuple[bytes, ...] = ()
    tls_version: str = ""
    cipher: str = ""
    error: str = ""


def encode_question(question: Question | None) -> bytes:
    """Return the payload of an ASK frame; None asks for the listeners."""
    if question is None:
        return json.dumps({"what": "listeners"}).encode()
    return json.dumps({"what": "handshake", **asdict(question)}, sort_keys=True).encode()


def decode_question(payload: bytes) -> Question | None:
    """Return what is asked, None for the listeners; ValueError if it is nothing that may be asked."""
    if len(payload) > QUESTION_BYTES:
        raise ValueError("a question that is too long")
    fields = _object(payload)
    what = fields.pop("what", None)
    if what == "listeners" and not fields:
        return None
    if what != "handshake" or fields.keys() != asdict(Question("", 0)).keys():
        raise ValueError("no question")
    question = Question(**fields)
    if not isinstance(question.port, int) or not 0 < question.port < 65536:
        raise ValueError("no port")
    if question.protocol not in PROTOCOLS or question.family not in FAMILIES:
        raise ValueError("no such protocol, or kind of signature")
    if not is_server_name(question.server_name):
        raise ValueError("no name of a server")
    ipaddress.ip_address(question.address)
    return question


def is_server_name(name: object) -> bool:
    """Whether a name may be asked for; empty: none is. RFC 6066, section 3: ASCII, and no address."""
    if name == "":
        return True
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS or not name.isascii():
        return False
    labels = name.split(".")
    if not all(label and len(label) < 64 and _is_label(label) for label in labels):
        return False
    return not labels[-1].isdigit()


def _is_label(label: str) -> bool:
    return label.replace("-", "").replace("_", "").isalnum()


def encode_listeners(listeners: Iterable[Listener]) -> bytes:
    """Return the payload of the ANSWER that lists them."""
    return json.dumps({"listeners": [asdict(each) for each in listeners]}).encode()


def decode_listeners(payload: bytes) -> list[Listener]:
    """Return listeners; ValueError if the answer is none, or has more than there can be."""
    fields = _object(payload)
    listed = fields.get("listeners")
    if not isinstance(listed, list) or len(listed) > LISTENERS:
        raise ValueError(_text(fields.get("error")) or "no list of listeners")
    found = []
    for each in listed:
        try:
            listener = Listener(**each)
        except TypeError as error:
            raise ValueError("no listener") from error
        numbers = listener.port, listener.uid, listener.cgroup
        if not all(isinstance(number, int) and 0 <= number < 1 << 64 for number in numbers):
            raise ValueError("no listener")
        ipaddress.ip_address(listener.address)
        found.append(listener)
    return found


def encode_presented(presented: Presented) -> bytes:
    """Return the payload of the ANSWER to a question."""
    if presented.error and not presented.chain:
        return json.dumps({"error": presented.error}).encode()
    chain = [base64.b64encode(der).decode() for der in presented.chain]
    return json.dumps({**asdict(presented), "chain": chain}).encode()


def decode_presented(payload: bytes) -> Presented:
    """Return what was presented; ValueError if the answer is none, or too much."""
    fields = _object(payload)
    chain = fields.get("chain", [])
    if not isinstance(chain, list) or len(chain) > CHAIN:
        raise ValueError("no chain")
    ders = tuple(base64.b64decode(_required(each), validate=True) for each in chain)
    if any(not 0 < len(der) <= CERTIFICATE_BYTES for der in ders):
        raise ValueError("a certificate that is none, or too long")
    words = (_text(fields.get(name)) for name in ("tls_version", "cipher", "error"))
    return Presented(ders, *words)


def encode_error(text: str) -> bytes:
    """Return the payload of an ANSWER that says why there is none."""
    return json.dumps({"error": text}).encode()


def _object(payload: bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(payload)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(decoded, dict):
        raise ValueError("no object")  # noqa: TRY004 - what is not fit is a ValueError here
    return decoded


def _text(value: object) -> str:
    """Return a text as protobuf takes it, cut; anything else is empty."""
    if not isinstance(value, str):
        return ""
    return value[:_TEXT_CHARACTERS].encode("utf-8", "replace").decode()


def _required(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 - as above
    return value
