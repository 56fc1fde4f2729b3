"""Epochs: how one writer seals many messages to one principal and forgets how, message by message.

A writer draws a seed, seals it to the principal's public key and grows one chain per category from it:
`start = HMAC(seed, category)`, `wrap key = HMAC(chain, "key")`, `next chain = HMAC(chain, "next")`. The
seed goes as soon as the chains exist, and each chain value as soon as it is stepped over: a writer taken over
after message i can't compute the wrap keys of messages 0..i. A reader gets chain starts from kms and can
compute every step.
"""

# ruff: noqa: PLR0917 - a key's path is many identifiers in one fixed order

import hmac
import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, LimitError, RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto import hpke
from postkeep.crypto.context import context

EPOCH_MESSAGES_MAX: Final = 1024
"""Messages in one epoch: bounds a reader's walk along a chain to about 2 ms."""
EPOCH_SECONDS_MAX: Final = 86_400
"""Age at which a writer starts a new epoch: a day, so that idle writers hold no old chain."""
SEED_BYTES: Final = 32
CATEGORIES: Final = ("content", "metadata")

FORMAT_PUBLIC: Final = 0x01
"""First byte of an epoch sealed to a public key: version, generation (4 bytes), HPKE ciphertext.
Epochs that kms has rewrapped start with another byte (`FORMAT_REWRAPPED`)."""
FORMAT_REWRAPPED: Final = 0x02
_GENERATION_END: Final = 5
SEALED_BYTES: Final = _GENERATION_END + hpke.ENCAPSULATION_BYTES + SEED_BYTES + hpke.TAG_BYTES


class EpochStep(NamedTuple):
    """The wrap keys of one message. Used for one message of one body, never again."""

    index: int  # type: ignore[assignment]  # tuple has a method of this name that nobody misses here
    content: bytes
    metadata: bytes


def chain_starts(seed: bytes) -> dict[str, bytes]:
    """Return the start of each category's chain."""
    return {category: hmac.digest(seed, category.encode(), "sha256") for category in CATEGORIES}


def _info(tenant: bytes, principal: bytes, generation: int, epoch: bytes) -> bytes:
    return context("epoch", tenant, principal, generation, epoch)


def seal_seed(
    public_key: bytes, tenant: bytes, principal: bytes, generation: int, epoch: bytes, seed: bytes
) -> bytes:
    """Seal an epoch's seed to a principal's public key of a generation."""
    info = _info(tenant, principal, generation, epoch)
    sealed = hpke.seal(hpke.load_public_key(public_key), info, seed)
    return b"".join((bytes([FORMAT_PUBLIC]), generation.to_bytes(4, "big"), sealed))


def sealed_generation(sealed: bytes) -> int:
    """Return the generation of the key that an epoch is sealed to (not authentic before it is opened)."""
    if len(sealed) != SEALED_BYTES or sealed[0] != FORMAT_PUBLIC:
        raise IntegrityError("not an epoch sealed to a public key")
    return int.from_bytes(sealed[1:_GENERATION_END], "big")


def open_seed(
    private_key: hpke.PrivateKey, tenant: bytes, principal: bytes, epoch: bytes, sealed: bytes
) -> bytes:
    """Open an epoch's seed with the principal's private key; raise IntegrityError if it is not for it."""
    info = _info(tenant, principal, sealed_generation(sealed), epoch)
    seed = private_key.open(memoryview(sealed)[_GENERATION_END:], info)
    if len(seed) != SEED_BYTES:
        raise IntegrityError("an epoch's seed has 32 bytes")
    return seed


class EpochWriter:
    """One writer's epoch for one principal. `sealed` is what readers need; it is safe to store."""

    def __init__(
        self, tenant: bytes, principal: bytes, generation: int, public_key: bytes, now_seconds: int
    ) -> None:
        seed = os.urandom(SEED_BYTES)
        self.tenant = tenant
        self.principal = principal
        self.epoch = new_id()
        self.sealed = seal_seed(public_key, tenant, principal, generation, self.epoch, seed)
        starts = chain_starts(seed)
        self._content = starts["content"]
        self._metadata = starts["metadata"]
        self._index = 0
        self._made_seconds = now_seconds

    def take(self) -> EpochStep:
        """Return the next message's wrap keys and forget what leads to them; LimitError when used up."""
        if self._index >= EPOCH_MESSAGES_MAX:
            raise LimitError("the epoch is used up")
        step = EpochStep(
            self._index,
            hmac.digest(self._content, b"key", "sha256"),
            hmac.digest(self._metadata, b"key", "sha256"),
        )
        self._content = hmac.digest(self._content, b"next", "sha256")
        self._metadata = hmac.digest(self._metadata, b"next", "sha256")
        self._index += 1
        return step

    def usable(self, now_seconds: int) -> bool:
        """Whether the epoch has steps left and is young enough to go on with."""
        return self._index < EPOCH_MESSAGES_MAX and now_seconds - self._made_seconds < EPOCH_SECONDS_MAX


class EpochReader:
    """Computes wrap keys of an epoch from the chain starts that kms gave; keeps those computed."""

    def __init__(self, epoch: bytes, chains: Mapping[str, bytes]) -> None:
        self.epoch = epoch
        self._chains = dict(chains)
        self._keys: dict[str, list[bytes]] = {category: [] for category in chains}

    def wrap_key(self, category: str, index: int) -> bytes:
        """Return the wrap key of message `index`.

        IntegrityError outside the epoch; RefusedError if kms gave no chain for the category.
        """
        if not 0 <= index < EPOCH_MESSAGES_MAX:
            raise IntegrityError("the index is outside the epoch")
        keys = self._keys.get(category)
        if keys is None:
            raise RefusedError(f"no chain for category {category}")
        chain = self._chains[category]
        while len(keys) <= index:
            keys.append(hmac.digest(chain, b"key", "sha256"))
            chain = hmac.digest(chain, b"next", "sha256")
        self._chains[category] = chain
        return keys[index]
