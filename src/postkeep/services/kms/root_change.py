"""Who seals the root key, and changing it: the new seal is durable and tried before the old one is destroyed.

The steps, each durable before the next (`root_kinds` says what an interruption leaves):

1. marker `prepare`; 2. the supervisor holds the new secret beside the old; 3. the new file, as `.next`, is
written, read back and opened; 4. marker `switch`; 5. the old file is overwritten and removed, the new one
takes its name; 6. the supervisor forgets the old secret; 7. the marker goes.
"""

import asyncio
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, PostkeepError
from postkeep.base.files import remove_file, sync_directory, write_file
from postkeep.base.secret import Secret
from postkeep.crypto.shares import Roster
from postkeep.services.kms.pkcs11 import TokenPlace
from postkeep.services.kms.root import FileSeal, PassphraseSeal, RootSeal
from postkeep.services.kms.root_kinds import (
    FILE_NAMES,
    MARKER_NAME,
    Change,
    RootKind,
    destroy_file,
    find_sealed,
    kind_of,
    next_path,
    read_change,
    read_shares,
)
from postkeep.services.kms.root_shares import SharesSeal
from postkeep.services.kms.root_token import TokenSeal

_NO_TOKEN: Final = TokenPlace("", "", "")
Hold: TypeAlias = Callable[[Literal["add", "settle", "drop"], bytes], None]
"""Tells the supervisor what opens the root key: a further secret; only the newest now; not the newest."""


class RootSeals:
    """Makes the seals of one state directory."""

    def __init__(self, state_dir: Path, place: TokenPlace = _NO_TOKEN, configured: str = "") -> None:
        """Take the token that the configuration names, and its `keys.root`."""
        self.state_dir = state_dir
        self._place = place
        self._configured = configured

    def of(
        self, kind: RootKind, secret: Secret[bytes], *, roster: Roster | None = None, name: str = ""
    ) -> RootSeal:
        """Return a seal of this kind over a file of its usual name, or of another."""
        name = name or FILE_NAMES[kind]
        match kind:
            case RootKind.FILE:
                return FileSeal(self.state_dir, name)
            case RootKind.PASSPHRASE:
                return PassphraseSeal(self.state_dir, secret, name=name)
            case RootKind.SHARES:
                return SharesSeal(self.state_dir, secret, roster, name)
            case RootKind.PKCS11:
                return TokenSeal(self.state_dir, self._place, secret, name)

    def current(self, secret: Secret[bytes]) -> RootSeal:
        """Return the seal that counts."""
        kind = kind_of(self._configured, self.state_dir)
        sealed = find_sealed(self.state_dir)
        return self.of(kind, secret, name=sealed.path.name if sealed else "")

    def secret_that_counts(self, held: tuple[Secret[bytes], ...]) -> Secret[bytes]:
        """Choose from what the supervisor holds, the newest first."""
        change = read_change(self.state_dir)
        return held[-1] if change is not None and change.phase == "prepare" else held[0]

    def check_target(self, kind: RootKind) -> None:
        """Raise InvalidInputError if the next start could not open such a seal."""
        if kind is RootKind.PKCS11 and not (self._place.module and self._place.token):
            raise InvalidInputError(
                code="bad_configuration",
                public_text="Put `module` and `token` under [keys.pkcs11] and restart the node first.",
            )
        if self._configured and self._configured != kind:
            raise InvalidInputError(
                code="bad_configuration",
                public_text=(
                    f"postkeep.toml says keys.root = {self._configured!r}, and a node sealed by "
                    f"{kind.value!r} would not start with it. Take the line out (the node knows how its root "
                    "key is sealed), restart, and run this again."
                ),
            )


def choose_seal(
    configured: str, state_dir: Path, secret: Secret[bytes], place: TokenPlace | None = None
) -> RootSeal:
    """Return the seal that counts in a state directory, opened by `secret`."""
    return RootSeals(state_dir, place or _NO_TOKEN, configured).current(secret)


class RootCustody:
    """The root key in memory with the way it is sealed; changes come one after the other."""

    def __init__(self, seals: RootSeals, root: Secret[bytes], secret: Secret[bytes], hold: Hold) -> None:
        self._seals = seals
        self._root = root
        self._secret = secret
        self._hold = hold
        self._changing = asyncio.Lock()

    @property
    def root(self) -> Secret[bytes]:
        """The root key."""
        return self._root

    def check_target(self, kind: RootKind) -> None:
        """Raise InvalidInputError if the next start could not open such a seal."""
        self._seals.check_target(kind)

    @property
    def kind(self) -> RootKind:
        """How it is sealed."""
        sealed = find_sealed(self._seals.state_dir)
        if sealed is None:
            raise IntegrityError("the root key's file is gone while the node runs", code="root_key")
        return sealed.kind

    async def reseal(self, kind: RootKind, secret: Secret[bytes], roster: Roster | None = None) -> RootKind:
        """Seal the root key in another way; return the way before. Whatever fails leaves the old seal."""
        async with self._changing:
            return await self._change(kind, self._root, secret, roster)

    async def replace(self, root: Secret[bytes]) -> None:
        """Seal another root key in the same way as the present one. For rotation: rows come first."""
        async with self._changing:
            kind = self.kind
            roster = None
            if kind is RootKind.SHARES:
                roster = read_shares(self._seals.state_dir / FILE_NAMES[kind]).roster()
            await self._change(kind, root, self._secret, roster)

    async def _change(
        self, kind: RootKind, root: Secret[bytes], secret: Secret[bytes], roster: Roster | None
    ) -> RootKind:
        directory, old = self._seals.state_dir, self.kind
        if read_change(directory) is not None:
            raise ConflictError("another change of the root key's seal is under way")
        marker = Change(old, kind, "prepare")
        await asyncio.to_thread(_write_marker, directory, marker)
        self._hold("add", secret.reveal())
        try:
            await asyncio.to_thread(self._try_new, kind, root, secret, roster)
        except PostkeepError:
            await asyncio.to_thread(settle, directory, self._hold)
            raise
        switched = msgspec.structs.replace(marker, phase="switch")
        await asyncio.to_thread(_write_marker, directory, switched)
        self._root, self._secret = root, secret
        await asyncio.to_thread(settle, directory, self._hold)
        return old

    def _try_new(
        self, kind: RootKind, root: Secret[bytes], secret: Secret[bytes], roster: Roster | None
    ) -> None:
        path = next_path(self._seals.state_dir, kind)
        seal = self._seals.of(kind, secret, roster=roster, name=path.name)
        seal.seal(root)
        if not hmac.compare_digest(seal.open().reveal(), root.reveal()):
            raise IntegrityError("a new seal of the root key opens to another key", code="root_key")


def settle(state_dir: Path, hold: Hold) -> None:
    """Finish a change that has been switched, or undo one that has not; harmless to repeat.

    At the start of kms it is called after the root key was opened by the file that counts.
    """
    change = read_change(state_dir)
    if change is None:
        return
    newer = next_path(state_dir, change.new)
    if change.phase == "prepare":
        destroy_file(newer)
        destroy_file(newer.with_name(newer.name + ".new"))
        hold("drop", b"")
    else:
        if newer.exists():
            destroy_file(state_dir / FILE_NAMES[change.old])
            newer.replace(state_dir / FILE_NAMES[change.new])
            sync_directory(state_dir)
        hold("settle", b"")
    remove_file(state_dir / MARKER_NAME)


def _write_marker(state_dir: Path, change: Change) -> None:
    write_file(state_dir / MARKER_NAME, msgspec.json.encode(change), 0o600)
