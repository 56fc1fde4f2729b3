"""Reading a target: which backups there are, and each only as kms has signed it."""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature

from postkeep.base.errors import IntegrityError, NotFoundError
from postkeep.base.ids import parse_id
from postkeep.crypto.backup import manifest_statement, open_object, tombstone_statement
from postkeep.crypto.backup_keys import (
    predecessor_path,
    predecessor_wrapper,
    ring_path,
    ring_wrapper,
    week_path,
    week_wrapper,
)
from postkeep.crypto.ed25519 import public_key
from postkeep.model.backup import (
    DATA_KEY,
    KEYRING,
    SIGNING_KEY,
    VERSION,
    WEEK_PARENT,
    Keyring,
    Manifest,
    Predecessor,
    SignedManifest,
    SignedTombstone,
    Tombstone,
    WeekKey,
    backup_name,
    decode,
    tombstone_path,
)
from postkeep.model.backup import (
    week_path as week_object_name,
)
from postkeep.stores.backup_target import BackupTarget

PREDECESSORS_MAX: Final = 100
"""Rotations of the root key within the 30 days that a weekly key lives: more are not ours."""


class Listed(NamedTuple):
    """What a target says of a backup, before anything is checked."""

    id: str
    finished_ms: int
    size: int
    week: str


class Parents(NamedTuple):
    """The keys of a keyring, opened."""

    data: bytes
    weeks: bytes
    signer: bytes
    """The public key."""


async def list_backups(target: BackupTarget) -> list[Listed]:
    """Return the backups of a target, oldest first, as it lists them."""
    found = []
    async for name, _ in target.list("backups"):
        signed = decode(await target.get(name), SignedManifest)
        found.append(Listed(name.rpartition("/")[2], signed.finished_ms, signed.size, signed.week))
    return sorted(found, key=lambda listed: (listed.finished_ms, listed.id))


async def read_keyring(target: BackupTarget) -> Keyring:
    """Return the keyring as it lies there; NotFoundError (`no_backups`) where there has been no backup."""
    try:
        ring = decode(await target.get(KEYRING), Keyring)
    except NotFoundError as exc:
        raise NotFoundError(code="no_backups", public_text="There are no backups at this place.") from exc
    if ring.version != VERSION:
        raise IntegrityError(f"a keyring of version {ring.version}", code="backup_version")
    return ring


async def read_predecessors(target: BackupTarget) -> dict[str, Predecessor]:
    """Return the root keys that were rotated away, as they lie there, by name."""
    found: dict[str, Predecessor] = {}
    async for path, _ in target.list("predecessors"):
        if len(found) >= PREDECESSORS_MAX:
            raise IntegrityError("more former root keys than there can be", code="backup_root")
        found[path.rpartition("/")[2]] = decode(await target.get(path), Predecessor)
    return found


def open_predecessors(found: dict[str, Predecessor], root: bytes) -> list[bytes]:
    """Return the root key and all those before it, the newest first; what does not open is left out."""
    opened, left = [root], dict(found)
    for newer in opened:  # it grows: each may open the one before it
        wrapper = predecessor_wrapper(newer)
        for name, former in list(left.items()):
            try:
                opened.append(
                    wrapper.unwrap(former.wrapped, predecessor_path(parse_id(name), former.ended_ms))
                )
            except (IntegrityError, ValueError):
                continue
            del left[name]
    return opened


def open_keyring(ring: Keyring, roots: Sequence[bytes]) -> Parents:
    """Open a keyring with one of these root keys; IntegrityError (`backup_root`) if it is another's.

    It is of a former one for the minutes between a rotation and the next word to the target.
    """
    for root in roots:
        try:
            return _open_ring(ring, root)
        except (KeyError, IntegrityError):
            continue
    raise IntegrityError(
        "the keyring does not open",
        code="backup_root",
        public_text="These backups are not of this root key, or their keyring has been changed.",
    )


def _open_ring(ring: Keyring, root: bytes) -> Parents:
    wrapper = ring_wrapper(root)
    keys = {key.name: key for key in ring.keys}
    data, weeks, signer = keys[DATA_KEY], keys[WEEK_PARENT], keys[SIGNING_KEY]
    wrapper.unwrap(signer.wrapped, ring_path(SIGNING_KEY, signer.public))
    return Parents(
        wrapper.unwrap(data.wrapped, ring_path(DATA_KEY, b"")),
        wrapper.unwrap(weeks.wrapped, ring_path(WEEK_PARENT, b"")),
        signer.public,
    )


def check_signed(signer: bytes, signature: bytes, statement: bytes, what: str) -> None:
    """Raise IntegrityError unless kms has signed this."""
    try:
        public_key(signer).verify(signature, statement)
    except InvalidSignature as exc:
        raise IntegrityError(
            f"{what} is not signed by this installation",
            code="backup_signature",
            public_text=f"Not signed by this installation, so it has been changed: {what}.",
        ) from exc


async def read_manifest(target: BackupTarget, backup: str, data_key: bytes, signer: bytes) -> Manifest:
    """Return a manifest that is signed, whole, and of this name."""
    signed = decode(await target.get(backup_name(backup)), SignedManifest)
    statement = manifest_statement(backup, hashlib.sha256(signed.sealed).digest())
    check_signed(signer, signed.signature, statement, f"backup {backup}")
    manifest = decode(open_object(data_key, "manifest", backup, signed.sealed), Manifest)
    if manifest.version != VERSION or manifest.id != backup:
        raise IntegrityError(f"backup {backup} is of another version or name")
    return manifest


async def read_week(target: BackupTarget, week: str, parent: bytes) -> bytes:
    """Return a weekly key; NotFoundError once it is destroyed, and IntegrityError for one overwritten."""
    found = decode(await target.get(week_object_name(week)), WeekKey)
    return week_wrapper(parent).unwrap(found.wrapped, week_path(parse_id(week), found.created_ms))


async def read_tombstones(
    target: BackupTarget, line: str, data_key: bytes, signer: bytes
) -> list[tuple[Tombstone, bytes]]:
    """Return a line's tombstones with their digests, in order.

    IntegrityError (`tombstones`) if one is missing, not signed, or not the follower of the one before.
    """
    found: list[tuple[Tombstone, bytes]] = []
    names = sorted([name async for name, _ in target.list(f"tombstones/{line}")])
    for number, name in enumerate(names, 1):
        if name != tombstone_path(line, number):
            raise _gap(f"tombstone {number} is missing")
        signed = decode(await target.get(name), SignedTombstone)
        found.append(open_tombstone(signed, line, number, data_key, signer))
        if found[-1][0].previous != (found[-2][1] if number > 1 else b""):
            raise _gap(f"tombstone {number} does not follow the one before")
    return found


def open_tombstone(
    signed: SignedTombstone, line: str, number: int, data_key: bytes, signer: bytes
) -> tuple[Tombstone, bytes]:
    """Return one tombstone with its digest, as it was signed."""
    digest = hashlib.sha256(signed.sealed).digest()
    statement = tombstone_statement(parse_id(line), number, digest)
    check_signed(signer, signed.signature, statement, f"tombstone {number}")
    name = tombstone_path(line, number)
    tombstone = decode(open_object(data_key, "tombstone", name, signed.sealed), Tombstone)
    if tombstone.line != line or tombstone.number != number:
        raise _gap(f"tombstone {number} is another one")
    return tombstone, digest


def _gap(text: str) -> IntegrityError:
    return IntegrityError(
        text,
        code="tombstones",
        public_text=f"The list of what has been destroyed is not whole: {text}.",
    )
