"""How the root key is sealed on this disk: the kinds, their files, and a change from one to another.

What lies in the state directory decides; `keys.root` in the configuration only says how a first key is
sealed, and afterwards must not contradict. A change leaves a marker, so that always exactly one file counts:

| marker | the file that counts | what an interrupted change becomes |
|---|---|---|
| none | the only one there | nothing was under way |
| `prepare` | the old one | undone: the new file (`.next`) is destroyed |
| `switch` | the new one | finished: the old file is destroyed, the new one takes its name |
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from postkeep.base.errors import IntegrityError, InvalidInputError
from postkeep.base.files import sync_directory
from postkeep.crypto.shares import Holder, Roster

MARKER_NAME: Final = "root.change"
NEXT_SUFFIX: Final = ".next"
FILE_BYTES_MAX: Final = 16 * 1024
"""A sealed root key is some hundred bytes; with a roster of 16 holders some thousand."""


class RootKind(StrEnum):
    """What is needed to open the root key."""

    FILE = "file"
    PASSPHRASE = "passphrase"  # noqa: S105 - the name of a kind
    SHARES = "shares"
    PKCS11 = "pkcs11"


FILE_NAMES: Final = {
    RootKind.FILE: "root.key",
    RootKind.PASSPHRASE: "root.sealed",
    RootKind.SHARES: "root.shares",
    RootKind.PKCS11: "root.pkcs11",
}
ASKED: Final = frozenset({RootKind.PASSPHRASE, RootKind.SHARES, RootKind.PKCS11})
"""Kinds that need something from people at each start."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The marker of a change under way."""

    old: RootKind
    new: RootKind
    phase: Literal["prepare", "switch"]


class HolderLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One holder in a file."""

    number: int
    name: str
    digest: bytes


class SharesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`root.shares`: the root key under a secret that lies in shares, and the roster of its ceremony."""

    version: Literal[1]
    made_ms: int
    ceremony: int
    threshold: int
    salt: bytes
    holders: tuple[HolderLine, ...]
    wrapped: bytes

    def roster(self) -> Roster:
        """Return the roster."""
        lines = tuple(Holder(line.number, line.name, line.digest) for line in self.holders)
        return Roster(self.ceremony, self.threshold, self.salt, lines)


class TokenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`root.pkcs11`: the root key under a key that lies in a token."""

    version: Literal[1]
    made_ms: int
    token: str
    serial: str
    key_label: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """How the root key is sealed now."""

    kind: RootKind
    path: Path
    """The file that counts."""
    change: Change | None


def find_sealed(state_dir: Path) -> Sealed | None:
    """Return how the root key in a state directory is sealed; None before there is one.

    InvalidInputError (`bad_configuration`) if two files claim to be it.
    """
    change = read_change(state_dir)
    if change is not None:
        path = state_dir / FILE_NAMES[change.old]
        if change.phase == "switch":
            path = next_path(state_dir, change.new)
            if not path.exists():
                path = state_dir / FILE_NAMES[change.new]
            return Sealed(change.new, path, change)
        return Sealed(change.old, path, change)
    found = [kind for kind, name in FILE_NAMES.items() if (state_dir / name).exists()]
    if len(found) > 1:
        names = " and ".join(FILE_NAMES[kind] for kind in found)
        raise InvalidInputError(
            code="bad_configuration",
            public_text=f"{state_dir} holds {names}: move away all but the one that seals the root key.",
        )
    return Sealed(found[0], state_dir / FILE_NAMES[found[0]], None) if found else None


def kind_of(configured: str, state_dir: Path) -> RootKind:
    """Return how the root key is sealed, or is to be; InvalidInputError if the disk says otherwise."""
    if configured and configured not in [*RootKind]:
        raise InvalidInputError(
            code="bad_configuration",
            public_text=f"keys.root is {configured!r}; it can be one of: {', '.join(RootKind)}.",
        )
    sealed = find_sealed(state_dir)
    if sealed is None:
        return RootKind(configured or RootKind.FILE)
    if configured and configured != sealed.kind:
        raise InvalidInputError(
            code="bad_configuration",
            public_text=(
                f"keys.root is {configured!r}, but this node's root key is sealed by {sealed.kind.value!r}. "
                "Correct the line, or take it out: the node knows how its root key is sealed."
            ),
        )
    return sealed.kind


def next_path(state_dir: Path, kind: RootKind) -> Path:
    """Return where a change puts the new file until it counts."""
    return state_dir / (FILE_NAMES[kind] + NEXT_SUFFIX)


def read_change(state_dir: Path) -> Change | None:
    """Return the marker of a change under way."""
    path = state_dir / MARKER_NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_small(path), type=Change)
    except msgspec.MsgspecError as exc:
        raise damaged(path) from exc


def read_shares(path: Path) -> SharesFile:
    """Read `root.shares`; IntegrityError if it is something else."""
    try:
        return msgspec.json.decode(read_small(path), type=SharesFile)
    except msgspec.MsgspecError as exc:
        raise damaged(path) from exc


def read_token(path: Path) -> TokenFile:
    """Read `root.pkcs11`; IntegrityError if it is something else."""
    try:
        return msgspec.json.decode(read_small(path), type=TokenFile)
    except msgspec.MsgspecError as exc:
        raise damaged(path) from exc


def read_small(path: Path) -> bytes:
    """Read a file of at most FILE_BYTES_MAX octets."""
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def damaged(path: Path) -> IntegrityError:
    """Make the error for a file that is not what its name says."""
    text = f"{path} is damaged, or of a later release"
    return IntegrityError(text, code="root_key", public_text=f"{text}.")


def destroy_file(path: Path) -> None:
    """Overwrite a file where it lies, make that durable, then remove it; harmless if it is gone.

    What this reaches is said in `stores.slots`: no snapshot, no copying file system, no spare flash cells.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        length = os.fstat(fd).st_size
        for content in (os.urandom(length), bytes(length)):
            os.pwrite(fd, content, 0)
            os.fsync(fd)
    finally:
        os.close(fd)
    path.unlink()
    sync_directory(path.parent)
