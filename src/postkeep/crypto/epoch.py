"""Epochs: how one writer seals many messages to one principal and forgets how, message by message.

A writer draws a seed, seals it to the principal's public key and grows one chain per category from it:
`start = HMAC(seed, category)`, `wrap key || next chain = BLAKE2b-512(key: chain)`. The seed goes as soon as
the chains exist, and each chain value as soon as it is stepped over: a writer taken over after message i
can't compute the wrap keys of messages 0..i. A reader gets chain starts from kms and can compute every step.
"""

# ruff: noqa: PLR0917 - a key's path is many identifiers in one fixed order

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, LimitError, RefusedError
from postkeep.base.ids import new_id
from postkeep.crypto import hpke
from postkeep.crypto.context import context
from postkeep.crypto.wrap import OVERHEAD_BYTES, Wrapper, subkey

EPOCH_MESSAGES_MAX: Final = 1024
"""Messages in one epoch: bounds a reader's walk along a chain to about 1 ms."""
EPOCH_SECONDS_MAX: Final = 86_400
"""Age at which a writer starts a new epoch: a day, so that idle writers hold no old chain."""
SEED_BYTES: Final = 32
CATEGORIES: Final = ("content", "metadata")
_STEP: Final = b"postkeep/epoch/1"
"""Keeps this use of BLAKE2b apart from every other (its personalisation: 16 bytes)."""

FORMAT_PUBLIC: Final = 0x01
"""First byte of an epoch sealed to a public key: version, generation (4 bytes), HPKE ciphertext."""
FORMAT_REWRAPPED: Final = 0x02
"""First byte of an epoch that kms has opened once: version, generation (4 bytes), the seed wrapped under a
key that only the principal's private key gives. It opens in microseconds."""
_GENERATION_END: Final = 5
SEALED_BYTES: Final = _GENERATION_END + hpke.ENCAPSULATION_BYTES + SEED_BYTES + hpke.TAG_BYTES
REWRAPPED_BYTES: Final = _GENERATION_END + OVERHEAD_BYTES + SEED_BYTES

_PUBLIC: Final = bytes([FORMAT_PUBLIC])
_REWRAPPED: Final = bytes([FORMAT_REWRAPPED])
_LENGTHS: Final = {_PUBLIC: SEALED_BYTES, _REWRAPPED: REWRAPPED_BYTES}


class EpochStep(NamedTuple):
    """The wrap keys of one message. Used for one message of one body, never again."""

    index: int  # type: ignore[assignment]  # tuple has a method of this name that nobody misses here
    content: bytes
    metadata: bytes


def chain_starts(seed: bytes) -> dict[str, bytes]:
    """Return the start of each category's chain."""
    return {category: hmac.digest(seed, category.encode(), "sha256") for category in CATEGORIES}


def _step(chain: bytes) -> tuple[bytes, bytes]:
    """Return a step's wrap key and the chain after it.

    Keyed BLAKE2b (RFC 7693 section 2.9) is a PRF, and gives both halves in one call of 0.7 us: a reader walks
    chains of a whole mailbox, and a writer steps twice for each message.
    """
    block = hashlib.blake2b(key=chain, digest_size=64, person=_STEP).digest()
    return block[:SEED_BYTES], block[SEED_BYTES:]


def _info(tenant: bytes, principal: bytes, generation: int, epoch: bytes) -> bytes:
    return context("epoch", tenant, principal, generation, epoch)


def seal_seed(
    public_key: bytes, tenant: bytes, principal: bytes, generation: int, epoch: bytes, seed: bytes
) -> bytes:
    """Seal an epoch's seed to a principal's public key of a generation."""
    info = _info(tenant, principal, generation, epoch)
    sealed = hpke.seal(hpke.load_public_key(public_key), info, seed)
    return b"".join((_PUBLIC, generation.to_bytes(4, "big"), sealed))


def sealed_generation(sealed: bytes) -> int:
    """Return the generation of the key that an epoch, in either form, is sealed to.

    It is not authentic before the epoch is opened. IntegrityError for what is not a sealed epoch.
    """
    if _LENGTHS.get(sealed[:1]) != len(sealed):
        raise IntegrityError("not a sealed epoch")
    return int.from_bytes(sealed[1:_GENERATION_END], "big")


def is_rewrapped(sealed: bytes) -> bool:
    """Whether a sealed epoch is in the cheap form already."""
    return sealed[:1] == _REWRAPPED


def open_seed(
    private_key: hpke.PrivateKey, tenant: bytes, principal: bytes, epoch: bytes, sealed: bytes
) -> bytes:
    """Open an epoch's seed with the principal's private key; raise IntegrityError if it is not for it."""
    info = _info(tenant, principal, sealed_generation(sealed), epoch)
    seed = private_key.open(memoryview(sealed)[_GENERATION_END:], info)
    if len(seed) != SEED_BYTES:
        raise IntegrityError("an epoch's seed has 32 bytes")
    return seed


class EpochRewrapper:
    """Makes and opens the cheap form of one principal's epochs, under a key from the private key itself.

    What destroys the private key destroys this key with it.
    """

    def __init__(self, private_seeds: bytes, tenant: bytes, principal: bytes, generation: int) -> None:
        self._path = (tenant, principal, generation)
        self._prefix = _REWRAPPED + generation.to_bytes(4, "big")
        self._wrapper = Wrapper(subkey(private_seeds, context("epoch rewrapping", *self._path)))

    def rewrap(self, epoch: bytes, seed: bytes) -> bytes:
        """Return the cheap form of an opened epoch."""
        return self._prefix + self._wrapper.wrap(seed, context("rewrapped epoch", *self._path, epoch))

    def open(self, epoch: bytes, sealed: bytes) -> bytes:
        """Return the seed in a cheap form; raise IntegrityError if it is not this principal's epoch."""
        if sealed[:_GENERATION_END] != self._prefix:
            raise IntegrityError("not an epoch rewrapped under this key")
        return self._wrapper.unwrap(sealed[_GENERATION_END:], context("rewrapped epoch", *self._path, epoch))


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
        content, self._content = _step(self._content)
        metadata, self._metadata = _step(self._metadata)
        step = EpochStep(self._index, content, metadata)
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
            key, chain = _step(chain)
            keys.append(key)
        self._chains[category] = chain
        return keys[index]
