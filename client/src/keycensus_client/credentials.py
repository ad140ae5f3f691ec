"""Where the collector is and with which token it is asked: the environment, else what `login` stored.

The token stands in a file for its owner alone; it is in no argument, message or representation.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from keycensus_client.errors import NotLoggedInError, UsageError
from keycensus_client.text import safe_text

_FILE = "credentials.json"
_TOKEN_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Credentials:
    """A collector's address, "https://host[:port]", a token, and the file of its authority if own."""

    url: str
    token: str = field(repr=False)
    ca_file: str = ""


def checked_url(text: str) -> str:
    """Return the address as "https://host[:port]"; UsageError if it can't be one."""
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"{safe_text(text)} is no address; write https://HOST[:PORT]") from None
    if parts.scheme != "https":
        raise UsageError(
            f"{safe_text(text)}: write https://, a token is never sent without encryption"
        )
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"{safe_text(text)} is no address; write https://HOST[:PORT]")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port is None else f"https://{host}:{port}"


def configuration_directory(environment: Mapping[str, str]) -> Path:
    """Return $KEYCENSUS_CONFIG, else keycensus below the user's configuration directory."""
    if own := environment.get("KEYCENSUS_CONFIG"):
        return Path(own)
    base = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "keycensus"


def load(environment: Mapping[str, str]) -> Credentials:
    """Return the credentials to use; NotLoggedInError if there are none.

    KEYCENSUS_URL, KEYCENSUS_TOKEN_FILE and KEYCENSUS_CA_FILE each override what is stored.
    """
    stored = _stored(configuration_directory(environment) / _FILE)
    url = environment.get("KEYCENSUS_URL") or stored.get("url", "")
    token_file = environment.get("KEYCENSUS_TOKEN_FILE")
    token = read_token(Path(token_file)) if token_file else stored.get("token", "")
    ca_file = environment.get("KEYCENSUS_CA_FILE") or stored.get("ca_file", "")
    if not url or not token:
        missing = "KEYCENSUS_URL" if not url else "KEYCENSUS_TOKEN_FILE"
        raise NotLoggedInError(f"not logged in: run keycensus login URL, or set {missing}")
    if url != stored.get("url") and not token_file:
        raise NotLoggedInError(
            f"the stored token is for {stored.get('url')}, not {safe_text(url)}:"
            " set KEYCENSUS_TOKEN_FILE too"
        )
    return Credentials(checked_url(url), token, ca_file)


def _stored(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise NotLoggedInError(f"others can read {path}: run chmod 600 {path}")
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NotLoggedInError(f"{path} can't be read: {error.strerror}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise NotLoggedInError(f"{path} is damaged: run keycensus login URL again")
    return content


def read_token(path: Path) -> str:
    """Return the token in a file; UsageError if it can't be read or holds none."""
    try:
        with path.open("rb") as file:
            content = file.read(_TOKEN_BYTES + 1)
    except OSError as error:
        raise UsageError(f"token file {path}: {error.strerror}") from None
    return checked_token(content.decode("utf-8", "replace"), str(path))


def checked_token(text: str, source: str) -> str:
    """Return the one word that a token is; UsageError if it is none. It is never repeated."""
    token = text.strip()
    if not token or len(token) > _TOKEN_BYTES or not (token.isascii() and token.isprintable()):
        raise UsageError(f"{source} holds no token: a token is one line of plain characters")
    if " " in token:
        raise UsageError(f"{source} holds several words: a token is one")
    return token


def save(environment: Mapping[str, str], credentials: Credentials) -> Path:
    """Store credentials for this user alone and return the file; UsageError if that fails."""
    directory = configuration_directory(environment)
    path = directory / _FILE
    temporary = directory / f"{_FILE}.{os.getpid()}"
    content = {
        "url": credentials.url,
        "token": credentials.token,
        "ca_file": credentials.ca_file,
    }
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}; set KEYCENSUS_CONFIG to another directory"
        ) from None
    return path
