"""The witness's keys: one Ed25519, one ML-DSA-44, under one name (C2SP tlog-cosignature)."""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from postkeep.base.secret import Secret
from postkeep.crypto.cosignature import COSIGNATURE_ED25519, MLDSA44, mldsa_line
from postkeep.crypto.note import Checkpoint, key_id, signature_line, verifier_key

SEED_BYTES: Final = 32
"""Of each of the two keys."""


@dataclass(frozen=True, slots=True)
class CosignerSeeds:
    """What the keys are made from, as it lies in the witness's directory."""

    name: str
    ed25519: Secret[bytes]
    mldsa44: Secret[bytes]


class Cosigner:
    """Signs checkpoints in the witness's name."""

    def __init__(self, seeds: CosignerSeeds) -> None:
        self.name = seeds.name
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(seeds.ed25519.reveal())
        self._mldsa44 = MLDSA44PrivateKey.from_seed_bytes(seeds.mldsa44.reveal())
        self._ed25519_public = self._ed25519.public_key().public_bytes_raw()
        self._mldsa44_public = self._mldsa44.public_key().public_bytes_raw()

    def verifier_keys(self) -> tuple[str, str]:
        """Return the keys as logs and verifiers are given them."""
        return (
            verifier_key(self.name, self._ed25519_public, COSIGNATURE_ED25519),
            verifier_key(self.name, self._mldsa44_public, MLDSA44),
        )

    def sign(self, text: bytes, checkpoint: Checkpoint, timestamp: int) -> bytes:
        """Return both signature lines over a checkpoint, given as text and as what it says."""
        message = f"cosignature/v1\ntime {timestamp}\n".encode() + text
        signature = timestamp.to_bytes(8, "big") + self._ed25519.sign(message)
        identity = key_id(self.name, self._ed25519_public, COSIGNATURE_ED25519)
        second = mldsa_line(checkpoint, self.name, self._mldsa44_public, self._mldsa44.sign, timestamp)
        return signature_line(self.name, identity, signature) + second
