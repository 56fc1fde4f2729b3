"""Keys wrapped under keys: the form of everything in the key hierarchy that is stored.

`version (1) || nonce (12) || AES-256-GCM ciphertext`. The path of the key (what it is, whose, which
generation: a `context`) is bound as associated data, so that a wrapped key moved to another row does
not open.
"""

import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from postkeep.base.errors import IntegrityError
from postkeep.crypto.context import context

VERSION: Final = 0x01
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 16

_PREFIX: Final = bytes([VERSION])


def subkey(parent: bytes, path: bytes, slot_secret: bytes = b"") -> bytes:
    """Derive the key for one use of a parent key.

    With a slot's secret it takes both: erasing the slot ends it. Keys of the hierarchy are never used but
    to derive from, so that each derived key has one use.
    """
    return hmac.digest(parent, context("subkey", path, slot_secret), "sha256")


class Wrapper:
    """One wrapping key, set up once for many keys. Nonces are random: at most 2**32 wraps under one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise IntegrityError("a wrapping key has 32 bytes")
        self._cipher = AESGCM(key)

    def wrap(self, secret: bytes, path: bytes) -> bytes:
        """Wrap a secret, bound to its path."""
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((_PREFIX, nonce, self._cipher.encrypt(nonce, secret, path)))

    def unwrap(self, wrapped: bytes, path: bytes) -> bytes:
        """Return the secret; raise IntegrityError unless it was wrapped under this key for this path."""
        if len(wrapped) < OVERHEAD_BYTES or wrapped[0] != VERSION:
            raise IntegrityError("not a wrapped key of this version")
        try:
            return self._cipher.decrypt(wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :], path)
        except InvalidTag as exc:
            raise IntegrityError("a wrapped key fails its authentication") from exc
