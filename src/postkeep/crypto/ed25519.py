"""Ed25519 public keys as we take them from others: without those that make every signature good.

Source: RFC 8032 leaves small-order keys to the caller, and OpenSSL accepts them: under the identity point a
signature that nobody made verifies over any message. No honest key is one of them.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PUBLIC_KEY_BYTES: Final = 32

_SIGN: Final = 0x80
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(y)
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",  # the first two again, not reduced modulo 2**255 - 19
        "ee" + "ff" * 30 + "7f",
    )
)
"""The y coordinates of the eight points whose order divides eight, in every encoding; the sign of x aside."""


def public_key(raw: bytes) -> Ed25519PublicKey:
    """Read a raw public key; raise ValueError for what is not one, or is one of small order."""
    if len(raw) != PUBLIC_KEY_BYTES or raw[:-1] + bytes([raw[-1] & ~_SIGN]) in _SMALL_ORDER:
        raise ValueError("not a public key of full order")
    return Ed25519PublicKey.from_public_bytes(raw)
