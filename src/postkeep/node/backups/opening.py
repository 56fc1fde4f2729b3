"""A target, opened with the root key as its holders open it: what both verifying and restoring begin with."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from postkeep.base.errors import IntegrityError, InvalidInputError, NotFoundError
from postkeep.base.secret import Secret
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.backup import Manifest
from postkeep.node.config import Config
from postkeep.node.supervisor.credentials import read_credentials
from postkeep.services.backup.catalogue import (
    Parents,
    list_backups,
    open_keyring,
    open_predecessors,
    read_keyring,
    read_manifest,
    read_predecessors,
    read_week,
)
from postkeep.services.backup.pruning import list_weeks
from postkeep.services.kms.pkcs11 import TokenPlace
from postkeep.services.kms.root_change import RootSeals
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind
from postkeep.stores.backup_target import BackupTarget, open_target

AskRoot = Callable[[Path], bytearray | None]
"""Asks people for what opens the root key whose sealed files lie in a directory."""


@dataclass(frozen=True)
class Opened:
    """A target whose backups can be read."""

    target: BackupTarget
    roots: list[Secret[bytes]]
    """The root key of today, and former ones, the newest first."""
    parents: Parents
    manifests: list[Manifest]
    """Oldest first."""
    weeks: dict[str, bytes]
    """Weekly keys that open."""
    unreadable: list[str]
    """Backups whose manifests are damaged, or not of this installation."""


def target_of(config: Config, place: str) -> BackupTarget:
    """Open a target with what the configuration says of S3."""
    settings = config.backup
    return open_target(
        place, endpoint=settings.endpoint, region=settings.region, credentials=read_credentials(config)
    )


async def lay_out_root(target: BackupTarget, state: Path, root_key: Path | None) -> None:
    """Put the root key as it is sealed, from the target or from the operator's own file, into a directory."""
    ring = await read_keyring(target)
    make_directory(state)
    if root_key is not None:
        write_secret(state / FILE_NAMES[RootKind.FILE], _root_copy(root_key))
        return
    if ring.root == RootKind.FILE:
        raise InvalidInputError(
            code="root_key_needed",
            public_text="The root key of this node lay in a file, which is in no backup: "
            "give your copy of it with --root-key FILE.",
        )
    name = FILE_NAMES[RootKind(ring.root)]
    write_secret(state / name, await target.get(f"root/{name}"))


def _root_copy(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(KEY_BYTES + 1)
    except OSError as exc:
        text = f"{path} can't be read: {exc.strerror}."
        raise InvalidInputError(code="root_key_file", public_text=text) from exc
    if len(octets) != KEY_BYTES:
        text = f"{path} is not a copy of a root key: that has {KEY_BYTES} bytes."
        raise InvalidInputError(code="root_key_file", public_text=text)
    return octets


async def open_backups(target: BackupTarget, state: Path, config: Config, ask: AskRoot) -> Opened:
    """Open the root key whose sealed form lies in `state`, and with it everything that the target has."""
    ring = await read_keyring(target)
    token = config.keys.pkcs11
    seals = RootSeals(state, TokenPlace(token.module, token.token, token.key_label))
    root = seals.current(Secret(bytes(ask(state) or b""))).open()
    opened = open_predecessors(await read_predecessors(target), root.reveal())
    parents = open_keyring(ring, opened)
    manifests, unreadable = [], []
    for listed in await list_backups(target):
        try:
            manifests.append(await read_manifest(target, listed.id, parents.data, parents.signer))
        except IntegrityError:
            unreadable.append(listed.id)
    weeks = {}
    for week in await list_weeks(target):
        try:
            weeks[week] = await read_week(target, week, parents.weeks)
        except (IntegrityError, NotFoundError):
            continue  # destroyed: that is what was to be
    manifests.sort(key=lambda manifest: manifest.finished_ms)
    roots = [Secret(key) for key in opened]
    return Opened(target, roots, parents, manifests, weeks, unreadable)


def make_directory(path: Path) -> None:
    """Make a directory that is its owner's alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_secret(path: Path, octets: bytes) -> None:
    """Write a file that is its owner's alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)


def copy_sealed(source: Path, state: Path) -> None:
    """Copy the root key as a node here has it sealed, for a verification."""
    make_directory(state)
    found = [source / name for name in FILE_NAMES.values() if (source / name).is_file()]
    for path in found:
        shutil.copyfile(path, state / path.name)
        (state / path.name).chmod(0o600)
