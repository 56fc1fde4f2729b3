"""The root key and how it is sealed while the node is down. In memory it lives in kms and nowhere else.

`RootSeal` is the border; a file, a passphrase, shares of words and a hardware token are behind it. Which of
them it is, and a change from one to another, is in `root_kinds` and `root_change`.
"""

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

import structlog

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.base.files import write_file
from postkeep.base.secret import Secret
from postkeep.crypto import passphrase
from postkeep.crypto.context import context
from postkeep.crypto.wrap import KEY_BYTES, Wrapper, subkey
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind, read_small
from postkeep.stores.kms_installation import KmsInstallationRows

_PATH: Final = context("root key")
_CHECK: Final = context("root check")
_log = structlog.get_logger(__name__)


class RootSeal(Protocol):
    """One way to keep the root key while no process runs."""

    def exists(self) -> bool:
        """Whether a root key has been sealed this way."""

    def seal(self, root: Secret[bytes]) -> None:
        """Seal a root key durably."""

    def open(self) -> Secret[bytes]:
        """Return the root key; raise RefusedError or IntegrityError with a text for the operator."""


class FileSeal:
    """The key in a file that only its owner may read: for development, and for disks that are encrypted."""

    def __init__(self, state_dir: Path, name: str = FILE_NAMES[RootKind.FILE]) -> None:
        self._path = state_dir / name

    def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    def seal(self, root: Secret[bytes]) -> None:
        """Write the key."""
        write_file(self._path, root.reveal(), 0o600)

    def open(self) -> Secret[bytes]:
        """Read the key; IntegrityError if the file is damaged or others may read it."""
        if self._path.stat().st_mode & 0o077:
            raise unreadable(f"{self._path} may be read by others than its owner; make its mode 0600")
        key = read_small(self._path)
        if len(key) != KEY_BYTES:
            raise unreadable(f"{self._path} is not a root key")
        _log.warning("root_key_in_file", path=str(self._path), advice="postkeep key reseal --to passphrase")
        return Secret(key)


class PassphraseSeal:
    """The key sealed with a passphrase (Argon2id) that the operator gives at each start."""

    def __init__(
        self,
        state_dir: Path,
        secret: Secret[bytes],
        cost: passphrase.Cost | None = None,
        name: str = FILE_NAMES[RootKind.PASSPHRASE],
    ) -> None:
        self._path = state_dir / name
        self._secret = secret
        self._cost = cost

    def exists(self) -> bool:
        """Whether the sealed file is there."""
        return self._path.exists()

    def seal(self, root: Secret[bytes]) -> None:
        """Write the key sealed."""
        write_file(self._path, passphrase.seal(self._given(), root.reveal(), _PATH, self._cost), 0o600)

    def open(self) -> Secret[bytes]:
        """Open the sealed file; RefusedError (`wrong_passphrase`) if the passphrase is another."""
        return Secret(passphrase.unseal(self._given(), read_small(self._path), _PATH))

    def _given(self) -> bytes:
        given = self._secret.reveal()
        if not given:
            raise InvalidInputError(
                "no passphrase for the root key",
                code="no_passphrase",
                public_text="The root key is sealed with a passphrase, and none was given.",
            )
        return given


async def unseal_root(seal: RootSeal, rows: KmsInstallationRows) -> Secret[bytes]:
    """Return the root key, made at the first start.

    IntegrityError if the key store was made under another root key, or its root key is missing: a new one
    is never made over keys that need the old one.
    """
    checks = await rows.root_checks()
    if not checks:
        root = await asyncio.to_thread(_open_or_make, seal)
        await rows.set_root_check(make_check(root))
        return root
    if not seal.exists():
        raise unreadable("the key store has keys, but the root key that wraps them is missing")
    root = await asyncio.to_thread(seal.open)
    if not any(fits_check(root, check.wrapped) for check in checks):
        raise unreadable("the root key is not the one that this key store was made under")
    return root


def fits_check(root: Secret[bytes], check: bytes) -> bool:
    """Say which of several root keys this one is: it opens nothing but its own check."""
    try:
        _checker(root).unwrap(check, _CHECK)
    except IntegrityError:
        return False
    return True


def make_check(root: Secret[bytes]) -> bytes:
    """Make what tells this root key from any other."""
    return _checker(root).wrap(_CHECK, _CHECK)


def _open_or_make(seal: RootSeal) -> Secret[bytes]:
    if not seal.exists():
        seal.seal(Secret(os.urandom(KEY_BYTES)))
    return seal.open()


def unreadable(text: str) -> IntegrityError:
    """Make the error for a root key that can't be had, with a text for the operator."""
    return IntegrityError(text, code="root_key", public_text=text[0].upper() + text[1:] + ".")


def _checker(root: Secret[bytes]) -> Wrapper:
    return Wrapper(subkey(root.reveal(), _CHECK))
