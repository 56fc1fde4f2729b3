"""The root key and how it is sealed while the node is down. In memory it lives in kms and nowhere else.

`RootSeal` is the border: a file and a passphrase are built; shares and hardware tokens fit behind it.
"""

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

import structlog

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.base.secret import Secret
from postkeep.crypto import passphrase
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.stores.kms_installation import KmsInstallationRows

FILE_NAME: Final = "root.key"
SEALED_NAME: Final = "root.sealed"
FILE_BYTES_MAX: Final = 4096
"""A root file is a key or a sealed key, some hundred bytes; anything longer is something else."""

_PATH: Final = context("root key")
_CHECK: Final = context("root check")
_log = structlog.get_logger(__name__)


class RootSeal(Protocol):
    """One way to keep the root key while no process runs."""

    def exists(self) -> bool:
        """Whether a root key has been sealed this way."""

    def make(self) -> Secret[bytes]:
        """Draw a root key, seal it durably, and return it."""

    def open(self) -> Secret[bytes]:
        """Return the root key; raise RefusedError or IntegrityError with a text for the operator."""


class FileSeal:
    """The key in a file that only its owner may read: for development, and for disks that are encrypted."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME

    def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    def make(self) -> Secret[bytes]:
        """Draw a root key and write it."""
        key = os.urandom(KEY_BYTES)
        write_file(self._path, key, 0o600)
        self._warn()
        return Secret(key)

    def open(self) -> Secret[bytes]:
        """Read the key; IntegrityError if the file is damaged or others may read it."""
        if self._path.stat().st_mode & 0o077:
            raise _unreadable(f"{self._path} may be read by others than its owner; make its mode 0600")
        key = _read(self._path)
        if len(key) != KEY_BYTES:
            raise _unreadable(f"{self._path} is not a root key")
        self._warn()
        return Secret(key)

    def _warn(self) -> None:
        _log.warning("root_key_in_file", path=str(self._path), advice="set keys.root to passphrase")


class PassphraseSeal:
    """The key sealed with a passphrase (Argon2id) that the operator gives at each start."""

    def __init__(self, state_dir: Path, secret: Secret[bytes], cost: passphrase.Cost | None = None) -> None:
        self._path = state_dir / SEALED_NAME
        self._secret = secret
        self._cost = cost

    def exists(self) -> bool:
        """Whether the sealed file is there."""
        return self._path.exists()

    def make(self) -> Secret[bytes]:
        """Draw a root key and write it sealed."""
        key = os.urandom(KEY_BYTES)
        write_file(self._path, passphrase.seal(self._given(), key, _PATH, self._cost), 0o600)
        return Secret(key)

    def open(self) -> Secret[bytes]:
        """Open the sealed file; RefusedError (`wrong_passphrase`) if the passphrase is another."""
        return Secret(passphrase.unseal(self._given(), _read(self._path), _PATH))

    def _given(self) -> bytes:
        given = self._secret.reveal()
        if not given:
            raise InvalidInputError(
                "no passphrase for the root key",
                code="no_passphrase",
                public_text="The root key is sealed with a passphrase, and none was given.",
            )
        return given


def choose_seal(kind: str, state_dir: Path, secret: Secret[bytes]) -> RootSeal:
    """Return the seal that the configuration names (`keys.root`)."""
    seals: dict[str, RootSeal] = {
        "file": FileSeal(state_dir),
        "passphrase": PassphraseSeal(state_dir, secret),
    }
    if kind not in seals:
        raise InvalidInputError(
            code="bad_configuration",
            public_text=f"keys.root is {kind!r}; it can be one of: {', '.join(seals)}.",
        )
    other = next((name for name, seal in seals.items() if name != kind and seal.exists()), "")
    if other and not seals[kind].exists():
        raise InvalidInputError(
            code="bad_configuration",
            public_text=f"keys.root is {kind!r}, but this node's root key is sealed by {other!r}.",
        )
    return seals[kind]


async def unseal_root(seal: RootSeal, rows: KmsInstallationRows) -> Secret[bytes]:
    """Return the root key, made at the first start.

    IntegrityError if the key store was made under another root key, or its root key is missing: a new one
    is never made over keys that need the old one.
    """
    check = await rows.root_check()
    if check is None:
        root = await asyncio.to_thread(seal.open if seal.exists() else seal.make)
        await rows.set_root_check(_checker(root).wrap(_CHECK, _CHECK))
        return root
    if not seal.exists():
        raise _unreadable("the key store has keys, but the root key that wraps them is missing")
    root = await asyncio.to_thread(seal.open)
    try:
        _checker(root).unwrap(check, _CHECK)
    except IntegrityError as exc:
        raise _unreadable("the root key is not the one that this key store was made under") from exc
    return root


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Write a whole file durably and at once: a crash leaves the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _checker(root: Secret[bytes]) -> Wrapper:
    return Wrapper(subkey(root.reveal(), _CHECK))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def _unreadable(text: str) -> IntegrityError:
    return IntegrityError(text, code="root_key", public_text=text[0].upper() + text[1:] + ".")
