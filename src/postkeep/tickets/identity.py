"""Who a module instance is, and which public keys it believes."""

import copy
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postkeep.model.ticket import TicketKind


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

    def acting_as(self, module: str, instance: str, ticket: bytes) -> "ModuleIdentity":
        """Return the same key under the name of another module, whose ticket it has been given too."""
        other = copy.copy(self)
        other.module, other.instance, other.ticket = module, instance, ticket
        return other

    def sign(self, message: bytes) -> bytes:
        """Sign with the instance's key (Ed25519)."""
        return self._key.sign(message)


class Anchors:
    """The public keys that this process believes; the supervisor's link keeps them current."""

    def __init__(self) -> None:
        self.authority: dict[str, bytes] = {}
        """Raw Ed25519 keys that may sign any ticket, by thumbprint: the present one, which kms keeps, and
        the one before it until its tickets have expired."""
        self.start: dict[str, bytes] = {}
        """Keys that may sign module tickets and nothing else: the one that the authority makes at its start,
        so that kms can be reached for the others, and those of former starts until theirs have expired."""
        self.directory: bytes = b""
        """The key with which kms vouches for principals' public keys."""
        self.ledger: bytes = b""
        """The key that signs the ledger's checkpoints."""
        self.ledger_mldsa44: bytes = b""
        """The second such key (ML-DSA-44)."""

    def trust(self, name: str, public_key: bytes) -> None:
        """Learn an anchor: `authority`, `start`, `directory`, `ledger` or `ledger-mldsa44`."""
        if name == "authority":
            self.authority[thumbprint(public_key)] = public_key
        elif name == "start":
            self.start[thumbprint(public_key)] = public_key
        elif name == "directory":
            self.directory = public_key
        elif name == "ledger":
            self.ledger = public_key
        elif name == "ledger-mldsa44":
            self.ledger_mldsa44 = public_key
        else:
            raise ValueError(f"no anchor is called {name!r}")

    def distrust(self, public_key: bytes) -> None:
        """Forget a key of the authority."""
        self.authority.pop(thumbprint(public_key), None)
        self.start.pop(thumbprint(public_key), None)

    def keys_for(self, kind: TicketKind) -> list[tuple[str, bytes]]:
        """List the keys, with their thumbprints, that may have signed a ticket of this kind."""
        starts = self.start.items() if kind is TicketKind.MODULE else ()
        return [*self.authority.items(), *starts]

    def believes(self, name: str, kind: TicketKind) -> bool:
        """Whether the key with this thumbprint may sign tickets of this kind now."""
        return name in self.authority or (kind is TicketKind.MODULE and name in self.start)
