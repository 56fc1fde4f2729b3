"""Stage 2: the message with its trace fields (RFC 5321 section 4.4), and what its header says of its way."""

import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from postkeep.services.delivery.envelope import Envelope

_RETURN_PATH: Final = re.compile(rb"(?:\A|(?<=\n))return-path:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.:_\[\]-]")


@dataclass(frozen=True, slots=True)
class Received:
    """A message that has arrived whole."""

    envelope: Envelope
    trace: bytes
    """Our Received field."""
    message: bytes
    """As it came, without any Return-Path that others put there."""
    header: bytes
    """The header section in lower case, each field preceded by LF: what the checks search."""
    received_ms: int

    @property
    def delivered(self) -> bytes:
        """The message as mailboxes get it: Return-Path and trace on top."""
        sender = str(self.envelope.sender or "").encode("utf-8")
        return b"".join((b"Return-Path: <", sender, b">\r\n", self.trace, self.message))

    @property
    def announced_octets(self) -> int:
        """The size by which RCPT knows the message: the declared one, unless it has less or none is."""
        octets = len(self.message)
        return min(self.envelope.parameters.size or octets, octets)

    @property
    def relayed(self) -> bytes:
        """The message as it goes on to other servers, and to the sender's own Sent mailbox."""
        return self.trace + self.message


def header_of(message: bytes) -> bytes:
    """Return the header section in lower case with an LF in front, so that LF, name, colon finds a field."""
    if message.startswith(b"\r\n"):
        return b"\n"
    end = message.find(b"\r\n\r\n")
    return b"\n" + (message if end < 0 else message[: end + 2]).lower()


def receive(envelope: Envelope, content: bytes, hostname: str, now_ms: int) -> Received:
    """Make a Received value of a message that has just come in."""
    header = header_of(content)
    if b"\nreturn-path:" in header:
        end = len(header) - 1
        content = _RETURN_PATH.sub(b"", content[:end]) + content[end:]
        header = header_of(content)
    return Received(envelope, trace_field(envelope, hostname, now_ms), content, header, now_ms)


def protocol_word(envelope: Envelope) -> str:
    """Return the word after `with` (RFC 3848, RFC 6531 section 4.3)."""
    origin = envelope.origin
    suffix = ("S" if origin.tls else "") + ("A" if origin.inside else "")
    if envelope.parameters.smtputf8:
        return "UTF8SMTP" + suffix
    return "ESMTP" + suffix if origin.extended else "SMTP"


def trace_field(envelope: Envelope, hostname: str, now_ms: int) -> bytes:
    """Write our Received field. The recipient is named only where there is no other to hide from."""
    origin = envelope.origin
    tls = f"\r\n\t({origin.tls})" if origin.tls else ""
    recipients = envelope.recipients
    addressee = f"\r\n\tfor <{recipients[0].address}>" if len(recipients) == 1 else ""
    return (
        f"Received: from {_client(origin.hello, origin.network)}\r\n"
        f"\tby {hostname} (Postkeep) with {protocol_word(envelope)} id {envelope.id}{tls}{addressee};\r\n"
        f"\t{_date(now_ms // 1000)}\r\n"
    ).encode()


@lru_cache(maxsize=1024)
def _client(hello: str, network: str) -> str:
    """Write what the client called itself, made harmless, and its address. The same clients come again."""
    name = _UNSAFE.sub("_", hello) or "unknown"
    if not network:
        return name
    return f"{name} ([IPv6:{network}])" if ":" in network else f"{name} ([{network}])"


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    """Write a date (RFC 5322 section 3.3); all messages of one second share it."""
    return formatdate(seconds)
