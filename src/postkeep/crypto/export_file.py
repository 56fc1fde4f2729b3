r"""How the key of an export file is sealed: with a passphrase, or to the public key of who is to read it.

A file begins `postkeep-export/1\n || kind (1) || length (2) || sealed file key`; after this head stands one
stream of chunked encryption (`chunked`), under the file key and bound to the whole head. A recipient's key
pair lies in two files: the public half in one line of text, the private half sealed with a passphrase.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.crypto import chunked, hpke, passphrase
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES

MAGIC: Final = b"postkeep-export/1\n"
PASSPHRASE: Final = 0x01
PUBLIC_KEY: Final = 0x02
HEAD_FIXED_BYTES: Final = len(MAGIC) + 3
SEALED_KEY_BYTES_MAX: Final = 4096
"""Octets of a sealed file key: HPKE's hybrid encapsulation makes some 1,200 of them."""
PUBLIC_PREFIX: Final = b"postkeep-export-key/1 "
PRIVATE_MAGIC: Final = b"postkeep-export-private-key/1\n"
KEY_FILE_BYTES_MAX: Final = 4096
"""Octets of a file with one half of a key pair."""

_KEY_PATH: Final = context("export file key")


class Sealed(NamedTuple):
    """A new file's beginning, and what seals the rest."""

    head: bytes
    stream: chunked.StreamSealer


def seal_with_passphrase(secret: bytes) -> Sealed:
    """Begin a file that a passphrase opens. Takes as long as Argon2id does."""
    key = os.urandom(KEY_BYTES)
    return _begin(PASSPHRASE, key, passphrase.seal(secret, key, _KEY_PATH))


def seal_to(public_key: bytes) -> Sealed:
    """Begin a file that the holder of a private key opens."""
    key = os.urandom(KEY_BYTES)
    sealed = hpke.seal(hpke.load_public_key(public_key), _info(public_key), key)
    return _begin(PUBLIC_KEY, key, sealed)


def _begin(kind: int, key: bytes, sealed: bytes) -> Sealed:
    head = MAGIC + bytes([kind]) + len(sealed).to_bytes(2, "big") + sealed
    stream = chunked.StreamSealer(key, _stream_context(head))
    return Sealed(head + stream.head, stream)


def read_fixed(fixed: bytes) -> tuple[int, int]:
    """Read the first HEAD_FIXED_BYTES of a file: its kind, and how many octets its sealed key has."""
    kind, length = fixed[len(MAGIC) : len(MAGIC) + 1], int.from_bytes(fixed[len(MAGIC) + 1 :], "big")
    known = kind in {bytes([PASSPHRASE]), bytes([PUBLIC_KEY])}
    if len(fixed) != HEAD_FIXED_BYTES or not fixed.startswith(MAGIC) or not known:
        raise IntegrityError(
            "not an export file", code="not_an_export", public_text="This is not an export of Postkeep's."
        )
    if not 0 < length <= SEALED_KEY_BYTES_MAX:
        raise IntegrityError("the sealed key of an export has an impossible size")
    return kind[0], length


def open_stream(head: bytes, stream_head: bytes, opens: Callable[[bytes], bytes]) -> chunked.StreamOpener:
    """Return what opens the rest of a file; `opens` is given the sealed file key. RefusedError for a wrong
    passphrase, IntegrityError for a wrong private key and for whatever was altered."""
    key = opens(head[HEAD_FIXED_BYTES:])
    if len(key) != KEY_BYTES:
        raise IntegrityError("a file key has 32 octets")
    return chunked.StreamOpener(key, _stream_context(head), stream_head)


def by_passphrase(secret: bytes) -> Callable[[bytes], bytes]:
    """Open a file key with a passphrase."""
    return lambda sealed: passphrase.unseal(secret, sealed, _KEY_PATH)


def by_private_key(private: bytes, secret: bytes) -> Callable[[bytes], bytes]:
    """Open a file key with a private key as its file has it, and the passphrase of that file."""
    if not private.startswith(PRIVATE_MAGIC) or len(private) > KEY_FILE_BYTES_MAX:
        raise InvalidInputError(
            code="export_private_key", public_text="This file holds no private key for exports."
        )
    seeds = passphrase.unseal(secret, private[len(PRIVATE_MAGIC) :], context("export private key"))
    key = hpke.PrivateKey(seeds)
    return lambda sealed: key.open(sealed, _info(key.public_bytes))


def new_key_pair(secret: bytes) -> tuple[bytes, bytes]:
    """Make a recipient's key pair: the text of the public half, and the private half sealed."""
    seeds = hpke.new_private_seeds()
    public = hpke.PrivateKey(seeds).public_bytes
    private = PRIVATE_MAGIC + passphrase.seal(secret, seeds, context("export private key"))
    return PUBLIC_PREFIX + base64.b64encode(public) + b"\n", private


def read_public_key(text: bytes) -> bytes:
    """Read the public half from its text; InvalidInputError for what is none."""
    try:
        raw = base64.b64decode(text.strip().removeprefix(PUBLIC_PREFIX.strip()).strip(), validate=True)
        hpke.load_public_key(raw)
    except (binascii.Error, ValueError, InvalidInputError) as exc:
        raise InvalidInputError(
            code="export_public_key", public_text="This file holds no public key for exports."
        ) from exc
    return raw


def fingerprint(public_key: bytes) -> bytes:
    """Name a recipient: the SHA-256 of the public key."""
    return hashlib.sha256(public_key).digest()


def _info(public_key: bytes) -> bytes:
    return context("export file key", fingerprint(public_key))


def _stream_context(head: bytes) -> bytes:
    return context("export file", head)
