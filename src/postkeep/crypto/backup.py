"""What a backup looks like from outside: every object sealed under a key of its own, bound to its name.

A *data key* and, for a week, a *weekly key* are the parents; the key of an object is derived from its
parent and from kind and name of the object, which are bound as context too: an object that was moved,
swapped with another one or cut short does not open. Pieces of files are named by a keyed hash of their
content: equal pieces are shipped once, whoever holds the target learns nothing from the names, and what
opens can be compared with its name.
"""

import hmac
import zlib
from typing import Final

from cryptography.utils import Buffer

from postkeep.base.errors import IntegrityError
from postkeep.crypto import chunked
from postkeep.crypto.context import context
from postkeep.crypto.wrap import subkey

PLAIN_BYTES_MAX: Final = 256 * 1024 * 1024
"""The largest object: the manifest of some ten terabytes. A piece has four megabytes at most."""
_STORED: Final = b"\x00"
_DEFLATED: Final = b"\x01"
_DEFLATE_LEVEL: Final = 1
"""Pages of a database and log files shrink to a fifth at once; more effort costs more than it saves."""
_WORTH: Final = 0.9
"""Deflated data is kept where it is at least a tenth smaller: sealed bodies never are."""


def piece_name(parent: bytes, data: Buffer) -> str:
    """Name a piece by its content, for holders of the key only (64 hexadecimal digits)."""
    return hmac.new(subkey(parent, context("backup piece names")), data, "sha256").hexdigest()


def seal_object(parent: bytes, kind: str, name: str, data: Buffer, *, deflate: bool = True) -> bytes:
    """Seal an object under a key of its own."""
    head, body = _STORED, bytes(data)
    if deflate and len(body) > 0:
        smaller = zlib.compress(body, _DEFLATE_LEVEL)
        if len(smaller) < len(body) * _WORTH:
            head, body = _DEFLATED, smaller
    ctx = context("backup object", kind, name)
    return chunked.seal(subkey(parent, ctx), ctx, head + body)


def open_object(parent: bytes, kind: str, name: str, sealed: Buffer) -> bytes:
    """Open an object; IntegrityError unless it was sealed under this name and is whole."""
    ctx = context("backup object", kind, name)
    plain = chunked.open_all(subkey(parent, ctx), ctx, sealed)
    head, body = plain[:1], plain[1:]
    if head == _STORED:
        return body
    if head != _DEFLATED:
        raise IntegrityError("not a form of a backup object")
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, PLAIN_BYTES_MAX)
    except zlib.error as exc:
        raise IntegrityError("a backup object does not inflate") from exc
    if inflater.unconsumed_tail or not inflater.eof:
        raise IntegrityError("a backup object is larger than any that was made")
    return data


def open_piece(parent: bytes, name: str, sealed: Buffer) -> bytes:
    """Open a piece and compare it with its name."""
    data = open_object(parent, "piece", name, sealed)
    if not hmac.compare_digest(piece_name(parent, data), name):
        raise IntegrityError("a piece of a backup is not the one that its name says")
    return data


def manifest_statement(backup: str, sealed_digest: bytes) -> bytes:
    """Return what kms signs of a manifest: which backup, and the SHA-256 of the sealed manifest."""
    return context("backup manifest", backup, sealed_digest)


def tombstone_statement(line: bytes, number: int, sealed_digest: bytes) -> bytes:
    """Return what kms signs of a tombstone: which line, which number, and the SHA-256 of the sealed
    object."""
    return context("backup tombstone", line, number, sealed_digest)
