"""PASETO v4.public: signed tokens with one algorithm, Ed25519, and nothing to negotiate.

Source: the PASETO specification, sections "PAE" and "v4.public.Sign/Verify". A token is
`v4.public.` + base64url without padding of (payload + 64 octets of signature), then, only if there is one,
`.` + base64url of the footer. The implicit assertion is signed and not carried.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature

from postkeep.base.errors import RefusedError
from postkeep.crypto import ed25519

HEADER: Final = b"v4.public."
SIGNATURE_BYTES: Final = 64  # RFC 8032 section 5.1.6
TOKEN_BYTES_MAX: Final = 8192
"""Octets of one token. Our largest, a module ticket that lists its methods, stays below 3,000."""

_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]+\Z")


class Token(NamedTuple):
    """The parts of a token whose signature has not been checked yet."""

    payload: bytes
    signature: bytes
    footer: bytes


def pae(*pieces: bytes) -> bytes:
    """Pre-authentication encoding: an injective join of octet strings, lengths as 64-bit little-endian."""
    joined = [len(pieces).to_bytes(8, "little")]
    for piece in pieces:
        joined.append(len(piece).to_bytes(8, "little"))
        joined.append(piece)
    return b"".join(joined)


def encode_base64url(data: bytes) -> bytes:
    """Encode without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def decode_base64url(text: bytes) -> bytes:
    """Decode the one canonical unpadded form; raise RefusedError for anything else."""
    if not _BASE64URL.match(text):
        raise RefusedError("base64url has other characters", code="refused.malformed")
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise RefusedError("base64url has a wrong length", code="refused.malformed") from exc
    if encode_base64url(data) != text:
        raise RefusedError("base64url is not canonical", code="refused.malformed")
    return data


def parse(token: bytes) -> Token:
    """Split a token into its parts; raise RefusedError unless it is well formed v4.public."""
    if len(token) > TOKEN_BYTES_MAX or not token.startswith(HEADER):
        raise RefusedError("not a v4.public token of a sane size", code="refused.malformed")
    body, dot, footer = token[len(HEADER) :].partition(b".")
    data = decode_base64url(body)
    if len(data) < SIGNATURE_BYTES:
        raise RefusedError("no room for a signature", code="refused.malformed")
    return Token(data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:], decode_base64url(footer) if dot else b"")


def sign(
    signer: Callable[[bytes], bytes], payload: bytes, footer: bytes = b"", implicit: bytes = b""
) -> bytes:
    """Make a token; `signer` signs octets with Ed25519 (the private key never passes through here)."""
    signature = signer(pae(HEADER, payload, footer, implicit))
    token = HEADER + encode_base64url(payload + signature)
    return token + b"." + encode_base64url(footer) if footer else token


def check(public_key: bytes, token: Token, implicit: bytes = b"") -> None:
    """Check a parsed token's signature under a raw Ed25519 public key; raise RefusedError if it is wrong."""
    try:
        key = ed25519.public_key(public_key)
        key.verify(token.signature, pae(HEADER, token.payload, token.footer, implicit))
    except (InvalidSignature, ValueError) as exc:
        raise RefusedError("the signature is wrong", code="refused.signature") from exc


def verify(public_key: bytes, token: bytes, footer: bytes = b"", implicit: bytes = b"") -> bytes:
    """Parse and check a token that must carry exactly this footer; return its payload."""
    parts = parse(token)
    if parts.footer != footer:
        raise RefusedError("the footer is another one", code="refused.malformed")
    check(public_key, parts, implicit)
    return parts.payload
