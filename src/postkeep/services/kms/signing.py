"""Keys that sign and never leave: the directory key, the ledger key, DKIM keys by handle."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.context import context
from postkeep.crypto.wrap import Wrapper, subkey
from postkeep.stores.kms_installation import KmsInstallationRows, NamedKeyRow

DIRECTORY: Final = "directory"
"""Vouches for principals' public keys."""
LEDGER: Final = "ledger"
"""Signs checkpoints of the ledger."""
HANDLES_CACHED_MAX: Final = 1024
"""Signing keys in memory besides the two of the installation: one per domain and selector in use."""


class SigningKey:
    """An Ed25519 key, ready to sign."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the signature (64 bytes)."""
        return self._key.sign(message)


class NamedKeys:
    """Keys with names, wrapped under the root key, each bound to its name and its public part."""

    def __init__(self, root: Secret[bytes], rows: KmsInstallationRows, clock: Clock) -> None:
        self._wrapper = Wrapper(subkey(root.reveal(), context("named keys")))
        self._rows = rows
        self._clock = clock

    async def get(self, name: str) -> tuple[bytes, bytes] | None:
        """Return (secret, public part) of a name."""
        row = await self._rows.named_key(name)
        if row is None:
            return None
        return self._wrapper.unwrap(row.wrapped, _path(name, row.public)), row.public

    async def add(self, name: str, secret: bytes, public: bytes) -> None:
        """Store a new key; ConflictError if the name is taken."""
        row = NamedKeyRow(self._wrapper.wrap(secret, _path(name, public)), public)
        await self._rows.add_named_key(name, row, self._clock.now_ms())

    async def replace(self, name: str, secret: bytes, public: bytes) -> None:
        """Store another key under a name that is taken."""
        row = NamedKeyRow(self._wrapper.wrap(secret, _path(name, public)), public)
        await self._rows.replace_named_key(name, row, self._clock.now_ms())


def _path(name: str, public: bytes) -> bytes:
    return context("named key", name, public)


class SigningKeys:
    """The signing keys of the installation. Made by `open_signing_keys`."""

    def __init__(self, named: NamedKeys, directory: SigningKey, ledger: SigningKey) -> None:
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
        return await _make(self._named, handle)


async def open_signing_keys(named: NamedKeys) -> SigningKeys:
    """Load the installation's signing keys, making them at the first start."""
    return SigningKeys(named, await _ensure(named, DIRECTORY), await _ensure(named, LEDGER))


async def _ensure(named: NamedKeys, handle: str) -> SigningKey:
    found = await named.get(_name(handle))
    if found is not None:
        return SigningKey(found[0])
    try:
        return await _make(named, handle)
    except ConflictError:
        return await _ensure(named, handle)


async def _make(named: NamedKeys, handle: str) -> SigningKey:
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    key = SigningKey(seed)
    await named.add(_name(handle), seed, key.public_key)
    return key


def _name(handle: str) -> str:
    return f"sign/{handle}"
