"""Sealing to a public key: HPKE (RFC 9180) base mode with MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM.

The KEM is the post-quantum hybrid of draft-ietf-hpke-pq: it holds while either of its halves does.
Keys travel raw: public `ML-KEM encapsulation key (1,184) || X25519 (32)`, private as the two seeds
`ML-KEM d||z (64) || X25519 (32)`.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.utils import Buffer

from postkeep.base.errors import IntegrityError, InvalidInputError

MLKEM_PUBLIC_BYTES: Final = 1184  # FIPS 203 table 3
MLKEM_SEED_BYTES: Final = 64  # FIPS 203 section 3.3: d || z
X25519_BYTES: Final = 32  # RFC 7748 section 5
PUBLIC_KEY_BYTES: Final = MLKEM_PUBLIC_BYTES + X25519_BYTES
PRIVATE_KEY_BYTES: Final = MLKEM_SEED_BYTES + X25519_BYTES
ENCAPSULATION_BYTES: Final = 1120
TAG_BYTES: Final = 16

SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

PublicKey = MLKEM768X25519PublicKey


class PrivateKey:
    """A private key, ready to open with; its seeds are not kept beside it."""

    def __init__(self, seeds: bytes) -> None:
        if len(seeds) != PRIVATE_KEY_BYTES:
            raise IntegrityError("a private key has 96 bytes")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seeds[:MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(seeds[MLKEM_SEED_BYTES:])
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, sealed: Buffer, info: bytes) -> bytes:
        """Open what was sealed to this key with this `info`; raise IntegrityError for anything else."""
        try:
            return SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError) as exc:
            raise IntegrityError("HPKE ciphertext fails its authentication") from exc


def new_private_seeds() -> bytes:
    """Make a key pair; return its 96 bytes of seeds."""
    return MLKEM768PrivateKey.generate().private_bytes_raw() + X25519PrivateKey.generate().private_bytes_raw()


def load_public_key(raw: bytes) -> PublicKey:
    """Read a public key from its 1,216 bytes; raise InvalidInputError for what is not one."""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise InvalidInputError("a public key has 1,216 bytes")
    try:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_BYTES:]),
        )
    except ValueError as exc:
        raise InvalidInputError("a public key is malformed") from exc


def seal(public_key: PublicKey, info: bytes, plaintext: Buffer) -> bytes:
    """Seal to a public key: 1,136 bytes longer than the plaintext."""
    return SUITE.encrypt(plaintext, public_key, info)
