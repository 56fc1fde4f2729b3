"""Chunked encryption: sealed data of any size whose parts can be opened without the rest.

Source: C2SP chunked-encryption v1 (https://c2sp.org/chunked-encryption) with AEAD_AES_256_GCM and SHA-256:
`salt (24) || commitment (32) || chunk 0 || chunk 1 ...`. A chunk is 16,384 octets of plaintext and a tag of
16; the last one is always shorter and may be empty, which is what marks the end. The commitment ties
the ciphertext to one key: no ciphertext opens under two.
"""

# ruff: noqa: PLR0917 - a range of a sealed value is six things

import hmac
import os
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.utils import Buffer

from postkeep.base.errors import IntegrityError

KEY_BYTES: Final = 32
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
HEAD_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
"""What precedes the first chunk; every opening needs it, whatever range is read."""
CHUNK_BYTES: Final = 16_384
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
NONCE_BYTES: Final = 12
CHUNKS_MAX: Final = 2**38
"""The specification's limit on the chunk counter: 4 PiB in one message."""

_Cipher: TypeAlias = Callable[[bytes, Buffer, None], bytes]
_HASH: Final = hashes.SHA256()
_MATERIAL_BYTES: Final = KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES
_INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def seal(key: bytes, ctx: bytes, data: Buffer) -> bytes:
    """Seal `data` under a uniformly random 32-byte key, bound to `ctx`, with a fresh random salt."""
    return _seal(key, ctx, os.urandom(SALT_BYTES), data)


def open_all(key: bytes, ctx: bytes, sealed: Buffer) -> bytes:
    """Open a whole sealed value; raise IntegrityError if a bit of it, its key or its context is wrong."""
    view = memoryview(sealed)
    return open_span(key, ctx, view[:HEAD_BYTES], len(view), HEAD_BYTES, view[HEAD_BYTES:])


def sealed_length(plain: int) -> int:
    """Return how many octets `plain` octets take when sealed."""
    return HEAD_BYTES + plain + (plain // CHUNK_BYTES + 1) * TAG_BYTES


def plain_length(sealed_total: int) -> int:
    """Return how many octets are sealed in `sealed_total`; raise IntegrityError for an impossible length."""
    chunks, last = divmod(sealed_total - HEAD_BYTES, SEALED_CHUNK_BYTES)
    if chunks < 0 or chunks >= CHUNKS_MAX or last < TAG_BYTES:
        raise IntegrityError("sealed length is impossible: truncated")
    return chunks * CHUNK_BYTES + last - TAG_BYTES


def span(offset: int, length: int, sealed_total: int) -> tuple[int, int]:
    """Return (offset, length) in the ciphertext of the whole chunks that cover a range of the plaintext.

    The range is clamped to the plaintext. A range that is empty after that still names one chunk, so
    that what the caller learns of it is authenticated.
    """
    plain = plain_length(sealed_total)
    start = min(max(offset, 0), plain)
    end = min(start + max(length, 0), plain)
    first = start // CHUNK_BYTES
    last = max(first, (end - 1) // CHUNK_BYTES)
    begin = HEAD_BYTES + first * SEALED_CHUNK_BYTES
    return begin, min(HEAD_BYTES + (last + 1) * SEALED_CHUNK_BYTES, sealed_total) - begin


def span_start(sealed_offset: int) -> int:
    """Return the plaintext offset of the first octet that `open_span` yields for a span starting here."""
    return (sealed_offset - HEAD_BYTES) // SEALED_CHUNK_BYTES * CHUNK_BYTES


def open_span(
    key: bytes, ctx: bytes, head: Buffer, sealed_total: int, sealed_offset: int, data: Buffer
) -> bytes:
    """Open whole chunks that `span` named: `data` is the ciphertext from `sealed_offset` on.

    `sealed_total` is trusted for the position only: a wrong one fails wherever the last chunk is among
    those read, because a chunk opens at its own number and the last one is shorter than the others.
    """
    plain_length(sealed_total)
    number, misplaced = divmod(sealed_offset - HEAD_BYTES, SEALED_CHUNK_BYTES)
    view = memoryview(data)
    end = sealed_offset + len(view)
    whole = end == sealed_total or (end < sealed_total and len(view) % SEALED_CHUNK_BYTES == 0)
    if number < 0 or misplaced or not view or not whole:
        raise IntegrityError("not a span of whole chunks")
    cipher, base = _open_head(key, ctx, head)
    plain = _open_chunks(cipher.decrypt, base, number, view)
    return plain[0] if len(plain) == 1 else b"".join(plain)


class StreamSealer:
    """Seals what comes in pieces, in memory for one chunk; the result is what `seal` would have made."""

    def __init__(self, key: bytes, ctx: bytes) -> None:
        salt = os.urandom(SALT_BYTES)
        chunk_key, self._base, commitment = _derive(key, ctx, salt)
        self.head: Final = salt + commitment
        """What stands before the first chunk."""
        self._encrypt = AESGCM(chunk_key).encrypt
        self._number = 0
        self._rest = bytearray()

    def update(self, data: Buffer) -> bytes:
        """Take a piece of any length; return the chunks that are full now."""
        self._rest += data
        full = len(self._rest) - len(self._rest) % CHUNK_BYTES
        with memoryview(self._rest) as view:
            sealed = _seal_chunks(self._encrypt, self._base, self._number, view, full)
        self._number += full // CHUNK_BYTES
        del self._rest[:full]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """Return the last chunk, the short one that marks the end. Nothing may follow."""
        rest = memoryview(bytes(self._rest))
        return b"".join(_seal_chunks(self._encrypt, self._base, self._number, rest, len(rest) + 1))


class StreamOpener:
    """Opens what comes in pieces. What `update` returns is authentic and in its place; that nothing is
    missing after it is known when `finish` has returned."""

    def __init__(self, key: bytes, ctx: bytes, head: Buffer) -> None:
        """Raise IntegrityError if the head was made with another key or for another context."""
        cipher, self._base = _open_head(key, ctx, head)
        self._decrypt = cipher.decrypt
        self._number = 0
        self._rest = bytearray()

    def update(self, sealed: Buffer) -> bytes:
        """Take a piece of any length; return what the whole chunks in it say, or raise IntegrityError."""
        self._rest += sealed
        full = len(self._rest) - len(self._rest) % SEALED_CHUNK_BYTES
        with memoryview(self._rest) as view:
            plain = _open_chunks(self._decrypt, self._base, self._number, view[:full])
        self._number += full // SEALED_CHUNK_BYTES
        del self._rest[:full]
        return b"".join(plain)

    def finish(self) -> bytes:
        """Return the end; raise IntegrityError unless the stream ends with the chunk that marks it."""
        if len(self._rest) < TAG_BYTES:
            raise IntegrityError("a sealed stream is cut short")
        rest = memoryview(bytes(self._rest))
        return b"".join(_open_chunks(self._decrypt, self._base, self._number, rest))


def _seal(key: bytes, ctx: bytes, salt: bytes, data: Buffer) -> bytes:
    """Seal with a given salt; the salt must never be used twice with one key."""
    chunk_key, base, commitment = _derive(key, ctx, salt)
    encrypt = AESGCM(chunk_key).encrypt
    view = memoryview(data)
    if len(view) < CHUNK_BYTES:  # most messages, and all summaries: chunk 0 is the last one
        return b"".join((salt, commitment, encrypt(base.to_bytes(NONCE_BYTES, "big"), view, None)))
    # One chunk more than the division gives: the short last one, empty where the length is a multiple.
    return b"".join([salt, commitment, *_seal_chunks(encrypt, base, 0, view, len(view) + 1)])


def _seal_chunks(encrypt: _Cipher, base: int, number: int, view: memoryview, total: int) -> list[bytes]:
    """Seal chunk after chunk, from a number on, until `total` octets are passed."""
    steps = _walk(base, number, total, CHUNK_BYTES)
    return [encrypt(nonce, view[at : at + CHUNK_BYTES], None) for nonce, at in steps]


def _open_chunks(decrypt: _Cipher, base: int, number: int, view: memoryview) -> list[bytes]:
    """Open chunk after chunk, from a number on; raise IntegrityError for one that is not authentic there."""
    try:
        return [
            decrypt(nonce, view[at : at + SEALED_CHUNK_BYTES], None)
            for nonce, at in _walk(base, number, len(view), SEALED_CHUNK_BYTES)
        ]
    except InvalidTag as exc:
        raise IntegrityError("a chunk fails its authentication") from exc


def _walk(base: int, number: int, total: int, step: int) -> Iterator[tuple[bytes, int]]:
    """Yield (nonce, offset) per chunk: the nonce is the base nonce XOR the chunk's number, big-endian."""
    for at in range(0, total, step):
        yield (base ^ number).to_bytes(NONCE_BYTES, "big"), at
        number += 1


def _open_head(key: bytes, ctx: bytes, head: Buffer) -> tuple[AESGCM, int]:
    """Derive from the salt in the head and check the commitment before any chunk is touched."""
    if len(memoryview(head)) != HEAD_BYTES:
        raise IntegrityError("the head of a sealed value is missing")
    start = bytes(head)
    chunk_key, base, commitment = _derive(key, ctx, start[:SALT_BYTES])
    if not hmac.compare_digest(commitment, start[SALT_BYTES:]):
        raise IntegrityError("the commitment does not match: other key or other context")
    return AESGCM(chunk_key), base


def _derive(key: bytes, ctx: bytes, salt: bytes) -> tuple[bytes, int, bytes]:
    """HKDF-Expand (RFC 5869 section 2.3) to 76 octets: chunk key, base nonce, commitment."""
    if len(key) != KEY_BYTES:
        raise IntegrityError("a sealing key has 32 bytes")
    material = HKDFExpand(_HASH, _MATERIAL_BYTES, b"".join((_INFO, salt, ctx))).derive(key)
    base = int.from_bytes(material[KEY_BYTES : KEY_BYTES + NONCE_BYTES], "big")
    return material[:KEY_BYTES], base, material[KEY_BYTES + NONCE_BYTES :]
