"""A witness's seeds at rest: as they are, or sealed with a passphrase (Argon2id)."""

import os

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.passphrase import Cost, seal, unseal
from postkeep.services.witness.cosigner import SEED_BYTES, Cosigner, CosignerSeeds
from postkeep.stores.witness_logs import KeptWitness


def draw(name: str, passphrase: Secret[bytes] | None, cost: Cost | None = None) -> KeptWitness:
    """Draw the seeds of a new witness, and seal them where there is a passphrase."""
    both = os.urandom(2 * SEED_BYTES)
    if passphrase is None:
        return KeptWitness(name, both[:SEED_BYTES].hex(), both[SEED_BYTES:].hex())
    sealed = seal(passphrase.reveal(), both, _path(name), cost)
    return KeptWitness(name, sealed=sealed, keys=_cosigner(name, both).verifier_keys())


def open_cosigner(kept: KeptWitness, passphrase: Secret[bytes] | None) -> Cosigner:
    """Return the witness's keys; RefusedError for a wrong passphrase, IntegrityError for altered keys."""
    if not kept.sealed:
        return _cosigner(kept.name, bytes.fromhex(kept.ed25519_seed + kept.mldsa44_seed))
    if passphrase is None:
        raise InvalidInputError("the seeds are sealed with a passphrase")
    cosigner = _cosigner(kept.name, unseal(passphrase.reveal(), kept.sealed, _path(kept.name)))
    if cosigner.verifier_keys() != kept.keys:
        raise IntegrityError(
            "the public keys are not those of the sealed seeds",
            public_text="witness.json was altered: its public keys are not those of its sealed seeds.",
        )
    return cosigner


def _cosigner(name: str, both: bytes) -> Cosigner:
    return Cosigner(CosignerSeeds(name, Secret(both[:SEED_BYTES]), Secret(both[SEED_BYTES:])))


def _path(name: str) -> bytes:
    return context("witness seeds", name)
