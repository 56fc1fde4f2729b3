"""The octets of a ticket: one signed token, or a narrowed one with the chain that it hangs on.

`v4.public.A` is a ticket that the authority signed. `v4.public.B~KEY~v4.public.A` is one narrowed from it:
signed by the holder of A, whose raw public key is KEY (base64url). A chain goes from the newest ticket to
the authority's.
"""

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from postkeep.base.errors import RefusedError
from postkeep.crypto import paseto
from postkeep.model.ticket import Ticket

IMPLICIT: Final = b"postkeep ticket 1"
"""Signed into every ticket and carried by none: nothing signed elsewhere with the same key is a ticket."""

DEPTH_MAX: Final = 3
"""How many times a ticket may be narrowed: user, web, vault, and one to spare."""

CHAIN_BYTES_MAX: Final = (DEPTH_MAX + 1) * paseto.TOKEN_BYTES_MAX
"""Octets of a ticket with its whole chain."""

PUBLIC_KEY_BYTES: Final = 32  # RFC 8032 section 5.1.5

_SEPARATOR: Final = b"~"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Ticket)


class Link(NamedTuple):
    """One ticket of a chain, its signature not checked yet."""

    ticket: Ticket
    token: paseto.Token
    signer: bytes
    """The public key that is said to have signed it; empty: the authority's."""
    rest_digest: str
    """SHA-256 of the rest of the chain, hexadecimal; empty for the authority's own."""


def write(ticket: Ticket, signer: Callable[[bytes], bytes]) -> bytes:
    """Sign a ticket's claims."""
    return paseto.sign(signer, _encoder.encode(ticket), implicit=IMPLICIT)


def append(child: bytes, signer_public_key: bytes, parent: bytes) -> bytes:
    """Hang a narrowed ticket on its parent."""
    return _SEPARATOR.join((child, paseto.encode_base64url(signer_public_key), parent))


def digest(token: bytes) -> str:
    """Name a ticket by its octets: SHA-256, hexadecimal."""
    return hashlib.sha256(token).hexdigest()


def read(token: bytes) -> list[Link]:
    """Parse a ticket and its chain, newest first; raise RefusedError for anything not well formed."""
    if len(token) > CHAIN_BYTES_MAX:
        raise RefusedError("the ticket is too long", code="refused.malformed")
    links: list[Link] = []
    rest = token
    while True:
        head, separator, tail = rest.partition(_SEPARATOR)
        signer = b""
        if separator:
            key, second, tail = tail.partition(_SEPARATOR)
            signer = paseto.decode_base64url(key)
            if not second or len(signer) != PUBLIC_KEY_BYTES or len(links) >= DEPTH_MAX:
                raise RefusedError("the chain is malformed or too deep", code="refused.malformed")
        parts = paseto.parse(head)
        if parts.footer:
            raise RefusedError("a ticket has no footer", code="refused.malformed")
        links.append(Link(_claims(parts.payload), parts, signer, digest(tail) if separator else ""))
        if not separator:
            return links
        rest = tail


def _claims(payload: bytes) -> Ticket:
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError("the claims can't be read, or one is unknown", code="refused.claims") from exc
