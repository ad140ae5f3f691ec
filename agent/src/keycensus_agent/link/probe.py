"""One handshake with a listener of this host: which chain it presents, and how TLS came about.

Runs in the link. The other side may be anything that listens here: time and bytes are bounded, nothing
that it sends is believed, no certificate is verified or even read, and nobody ever logs in.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from typing import Protocol

from keycensus_agent.inquiry import CERTIFICATE_BYTES, CHAIN, Presented, Question
from keycensus_agent.link.starttls import PRELUDES, NoTlsError

SECONDS = 5.0
# A chain of 16 certificates of 64 KiB each is longer than any that serves.
_BYTES = 1 << 20
_READ_BYTES = 1 << 16
# One line of a protocol before TLS.
_LINE_BYTES = 1 << 13
# Whatever a listener still speaks is to be seen: it is not trusted with anything.
_CIPHERS = {"": "ALL:@SECLEVEL=0", "rsa": "aRSA:@SECLEVEL=0", "ecdsa": "aECDSA:@SECLEVEL=0"}
_DER = 2  # X509_FILETYPE_ASN1


async def probe(question: Question, *, seconds: float = SECONDS) -> Presented:
    """Shake hands once and leave; what failed is in the answer, with the chain if it came that far."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                question.address, question.port, limit=_LINE_BYTES
            )
            try:
                await PRELUDES[question.protocol](reader, writer)
                return await _shake_hands(reader, writer, question)
            finally:
                writer.close()
                with suppress(OSError, ssl.SSLError):
                    await writer.wait_closed()
    except TimeoutError:
        return Presented(error=f"no answer in {seconds:.0f} s")
    except NoTlsError as error:
        return Presented(error=str(error))
    except (asyncio.IncompleteReadError, ValueError):
        # ValueError: a line over the limit.
        return Presented(error="does not speak this protocol")
    except OSError as error:
        # asyncio's own text names the address.
        return Presented(error=os.strerror(error.errno) if error.errno else "no connection")


async def _shake_hands(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: Question
) -> Presented:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context(question.family).wrap_bio(
        incoming, outgoing, server_hostname=question.server_name or None
    )
    received, error = 0, ""
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as problem:
            error = _reason(problem)
            break
        writer.write(outgoing.read())
        await writer.drain()
        data = await reader.read(_READ_BYTES)
        received += len(data)
        if not data or received > _BYTES:
            error = "ended the handshake" if not data else "a handshake without end"
            break
        incoming.write(data)
    if not error:
        # So that the other side notes no broken connection.
        with suppress(ssl.SSLError):
            writer.write(outgoing.read())
            tls.unwrap()
        writer.write(outgoing.read())
        with suppress(OSError):
            await writer.drain()
    chain = tuple(der for der in chain_of(tls)[:CHAIN] if len(der) <= CERTIFICATE_BYTES)
    cipher = tls.cipher()
    return Presented(
        chain,
        "" if error else tls.version() or "",
        "" if error or cipher is None else cipher[0],
        error,
    )


def _context(family: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # What is presented is looked at, not trusted; nothing is sent after it.
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if family:
        # TLS 1.3 negotiates signatures apart from ciphers, where Python can't choose.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS[family])
    context.options |= ssl.OP_NO_TICKET | getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)
    return context


class _Certificate(Protocol):
    def public_bytes(self, form: int, /) -> bytes: ...


def chain_of(tls: ssl.SSLObject) -> list[bytes]:
    """Return the chain as it was presented, DER, the leaf first; the leaf alone where no more is told.

    Public from Python 3.13. Before, the object underneath has it (from 3.10), which a test pins; it
    tells what came even if the handshake failed after it.
    """
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [bytes(each) for each in public()]
    private = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    if private is not None:
        found: list[_Certificate] = private() or []
        return [each.public_bytes(_DER) for each in found]
    try:
        leaf = tls.getpeercert(binary_form=True)
    except ValueError:
        return []  # before the handshake was done
    return [leaf] if leaf else []


def _reason(problem: ssl.SSLError) -> str:
    reason = problem.reason or "no TLS"
    return reason.lower().replace("_", " ")
