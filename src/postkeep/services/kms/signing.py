"""Keys that sign and never leave: the directory key, the ledger key, DKIM keys by handle."""

import os
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, NotFoundError
from postkeep.crypto.context import context
from postkeep.crypto.cosignature import sign_checkpoint
from postkeep.crypto.note import Checkpoint
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.services.kms.root_generations import RootKeys
from postkeep.stores.kms_installation import KmsInstallationRows, NamedKeyRow

DIRECTORY: Final = "directory"
"""Vouches for principals' public keys."""
LEDGER: Final = "ledger"
"""Signs checkpoints of the ledger."""
LEDGER_MLDSA44: Final = "ledger-mldsa44"
"""Signs the same checkpoints with ML-DSA-44 (FIPS 204): a signature that quantum computers leave whole."""
HANDLES_CACHED_MAX: Final = 1024
"""Signing keys in memory besides the two of the installation: one per domain and selector in use."""


SEED_BYTES: Final = 32
"""Private keys of either kind are made from a seed of this length (RFC 8032, FIPS 204)."""

K = TypeVar("K", "SigningKey", "PostQuantumKey")


class SigningKey:
    """An Ed25519 key, ready to sign."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    @staticmethod
    def draw() -> tuple[bytes, bytes]:
        """Draw a key; return its seed and its public half."""
        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        return seed, SigningKey(seed).public_key

    def sign(self, message: bytes) -> bytes:
        """Return the signature (64 bytes)."""
        return self._key.sign(message)


class PostQuantumKey:
    """An ML-DSA-44 key, ready to sign. Stored as its seed of 32 bytes; signatures are randomised."""

    def __init__(self, seed: bytes) -> None:
        self._key = MLDSA44PrivateKey.from_seed_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the signature (2,420 bytes) with an empty context."""
        return self._key.sign(message)


class LedgerSigner:
    """Signs checkpoints with both keys of the ledger."""

    def __init__(self, ed25519: SigningKey, mldsa44: PostQuantumKey, clock: Clock) -> None:
        self._ed25519 = ed25519
        self._mldsa44 = mldsa44
        self._clock = clock

    @property
    def public_key(self) -> bytes:
        """The raw Ed25519 public key."""
        return self._ed25519.public_key

    @property
    def mldsa44_key(self) -> bytes:
        """The raw ML-DSA-44 public key (1,312 bytes)."""
        return self._mldsa44.public_key

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Return the checkpoint as a note with both signatures; some 2 ms."""
        return sign_checkpoint(
            checkpoint,
            (self._ed25519.public_key, self._ed25519.sign),
            (self._mldsa44.public_key, self._mldsa44.sign),
            self._clock.now_ms() // 1000,
        )


class NamedKeys:
    """Keys with names, wrapped under the root key, each bound to its name and its public part."""

    def __init__(self, roots: RootKeys, rows: KmsInstallationRows, clock: Clock) -> None:
        self._roots = roots
        self._rows = rows
        self._clock = clock

    async def get(self, name: str) -> tuple[bytes, bytes] | None:
        """Return (secret, public part) of a name."""
        row = await self._rows.named_key(name)
        if row is None:
            return None
        return self._wrapper(row.root).unwrap(row.wrapped, _path(name, row.public)), row.public

    async def names(self, prefix: str) -> list[str]:
        """List the names that begin so, in their order."""
        return await self._rows.key_names(prefix)

    async def created_ms(self, name: str) -> int:
        """Say when the key of a name was made."""
        return await self._rows.key_created_ms(name)

    async def remove(self, name: str) -> None:
        """Forget a key."""
        await self._rows.remove_named_key(name)

    async def add(self, name: str, secret: bytes, public: bytes) -> None:
        """Store a new key; ConflictError if the name is taken."""
        await self._rows.add_named_key(name, self._row(name, secret, public), self._clock.now_ms())

    async def replace(self, name: str, secret: bytes, public: bytes) -> None:
        """Store another key under a name that is taken."""
        await self._rows.replace_named_key(name, self._row(name, secret, public), self._clock.now_ms())

    def rewrap(self, name: str, row: NamedKeyRow) -> NamedKeyRow:
        """Return a row's key under the newest root key."""
        return self._row(
            name, self._wrapper(row.root).unwrap(row.wrapped, _path(name, row.public)), row.public
        )

    def _row(self, name: str, secret: bytes, public: bytes) -> NamedKeyRow:
        root = self._roots.current
        return NamedKeyRow(self._wrapper(root).wrap(secret, _path(name, public)), public, root)

    def _wrapper(self, root: int) -> Wrapper:
        return Wrapper(subkey(self._roots.key(root), context("named keys")))


def _path(name: str, public: bytes) -> bytes:
    return context("named key", name, public)


class SigningKeys:
    """The signing keys of the installation. Made by `open_signing_keys`."""

    def __init__(self, named: NamedKeys, directory: SigningKey, ledger: LedgerSigner) -> None:
        self._named = named
        self.directory = directory
        self.ledger = ledger
        self._handles: dict[str, SigningKey] = {}

    async def by_handle(self, handle: str) -> SigningKey:
        """Return the key of a handle such as `dkim/example.com/s1`; NotFoundError if there is none."""
        key = self._handles.get(handle)
        if key is None:
            found = await self._named.get(_name(handle))
            if found is None:
                raise NotFoundError("no signing key has this handle")
            if len(self._handles) >= HANDLES_CACHED_MAX:
                self._handles.clear()
            key = self._handles[handle] = SigningKey(found[0])
        return key

    async def make(self, handle: str) -> SigningKey:
        """Make the key of a new handle; ConflictError if there is one."""
        return await _make(self._named, handle, SigningKey)


async def open_signing_keys(named: NamedKeys, clock: Clock) -> SigningKeys:
    """Load the installation's signing keys, making them at the first start."""
    directory = await ensure_key(named, DIRECTORY, SigningKey)
    ledger = await ensure_key(named, LEDGER, SigningKey)
    post_quantum = await ensure_key(named, LEDGER_MLDSA44, PostQuantumKey)
    return SigningKeys(named, directory, LedgerSigner(ledger, post_quantum, clock))


async def ensure_key(named: NamedKeys, handle: str, kind: type[K]) -> K:
    """Load the key of a handle, making it the first time."""
    found = await named.get(_name(handle))
    if found is not None:
        return kind(found[0])
    try:
        return await _make(named, handle, kind)
    except ConflictError:
        return await ensure_key(named, handle, kind)


async def _make(named: NamedKeys, handle: str, kind: type[K]) -> K:
    seed = os.urandom(SEED_BYTES)
    key = kind(seed)
    await named.add(_name(handle), seed, key.public_key)
    return key


def _name(handle: str) -> str:
    return f"sign/{handle}"
