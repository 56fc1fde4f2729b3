"""Who a module instance is, and which public keys it believes."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def thumbprint(public_key: bytes) -> str:
    """Name a raw Ed25519 public key: its SHA-256, hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()


class ModuleIdentity:
    """The key of one module instance, made in its memory and never stored, with its module ticket."""

    def __init__(self, module: str, instance: str) -> None:
        self.module = module
        self.instance = instance
        self._key = Ed25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.thumbprint = thumbprint(self.public_key)
        self.ticket = b""
        """The module ticket in force; empty before enrolment."""

    def sign(self, message: bytes) -> bytes:
        """Sign with the instance's key (Ed25519)."""
        return self._key.sign(message)


class Anchors:
    """The public keys that this process believes; the supervisor's link keeps them current."""

    def __init__(self) -> None:
        self.authority: dict[str, bytes] = {}
        """Raw Ed25519 keys that may sign tickets, by thumbprint: the authority's present one and,
        after a restart, earlier ones until their tickets have expired."""
        self.directory: bytes = b""
        """The key with which kms vouches for principals' public keys."""
        self.ledger: bytes = b""
        """The key that signs the ledger's checkpoints."""

    def trust(self, name: str, public_key: bytes) -> None:
        """Learn an anchor: `authority`, `directory` or `ledger`."""
        if name == "authority":
            self.authority[thumbprint(public_key)] = public_key
        elif name == "directory":
            self.directory = public_key
        elif name == "ledger":
            self.ledger = public_key
        else:
            raise ValueError(f"no anchor is called {name!r}")

    def distrust(self, public_key: bytes) -> None:
        """Forget an authority key."""
        self.authority.pop(thumbprint(public_key), None)
