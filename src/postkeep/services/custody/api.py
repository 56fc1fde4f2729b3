"""The custody process's methods, as values on the wire. Only kms calls them."""

from typing import Final, Literal

import msgspec

SECRET_BYTES: Final = 32
"""What is wrapped: half of what protects a tenant's key."""
WRAPPED_BYTES_MAX: Final = 4096
"""A transit ciphertext is some 100 characters; other servers' are a few hundred."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a customer's key is, and what lets us use it."""

    kind: Literal["pkcs11", "transit"]
    where: str
    """The path of the PKCS#11 module, or the URL of the key server."""
    key: str
    """The key's label or name."""
    token: str = ""
    """PKCS#11: the token's label."""
    ca_pem: str = ""
    """Transit: the only certificate authority that is believed."""
    mount: str = "transit"
    """Transit: where the engine is mounted."""
    secret: str = ""
    """The PIN, or the access token."""


class Wrap(msgspec.Struct, frozen=True):
    """`custody.wrap`: wrap a secret under the customer's key, making a token's key at the first time."""

    place: Place
    path: bytes
    secret: bytes


class Unwrap(msgspec.Struct, frozen=True):
    """`custody.unwrap`: have the customer's key open what it has wrapped."""

    place: Place
    path: bytes
    wrapped: bytes


class Value(msgspec.Struct, frozen=True):
    """What came out of it."""

    value: bytes
