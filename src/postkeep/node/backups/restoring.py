"""`postkeep backup restore`: a node from a target, onto a machine that has nothing but the root key's
holders.

Nothing is served before it is done: what has been destroyed since the backup is destroyed again first, in
files that only this command has open.
"""

import contextlib
import datetime as dt
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from postkeep.base.clock import SystemClock
from postkeep.base.errors import ConflictError, IntegrityError
from postkeep.base.ids import new_id
from postkeep.crypto.backup import open_object
from postkeep.crypto.backup_keys import slots_parent, wraps_parent
from postkeep.crypto.message import WRAPS_BYTES
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.backup import Manifest, Tombstone, kms_path, piece_path, wraps_path
from postkeep.node import config as configuration
from postkeep.node.backups.opening import AskRoot, Opened, lay_out_root, open_backups
from postkeep.node.backups.recovery import Recovery
from postkeep.node.config import Config
from postkeep.node.postgres.cluster import PORT, Cluster
from postkeep.node.postgres.logins import connect_as_administrator
from postkeep.node.postgres.settings import ADMINISTRATOR
from postkeep.node.restored import RESTORED_NAME, Restored, leave_restored
from postkeep.node.supervisor.layout import Layout, open_layout, prepare
from postkeep.node.supervisor.plan import MODULES, Module
from postkeep.services.backup.catalogue import read_tombstones
from postkeep.services.backup.choosing import Choice, choose, joined_packs
from postkeep.services.backup.fetching import Fetcher
from postkeep.services.backup.logs import fetch_log
from postkeep.services.backup.replaying import (
    STATE_LEAP,
    missing_after,
    owners_of,
    replay_authority,
    replay_kms,
    replay_vault,
    slots_erased,
)
from postkeep.services.kms.restoration import FILE_NAME as HELD_NAME
from postkeep.services.kms.restoration import leave_held
from postkeep.services.kms.restored_api import RestoredBy, RestoredStore
from postkeep.services.kms.succession import take_over
from postkeep.stores.backup_target import BackupTarget, sync_file_system
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import ErasableSlots

STEPS: Final = ("keys", "database", "packs", "ledger", "log", "replay", "done")
_MODULES: Final = {module.name: module for module in MODULES}


@dataclass(frozen=True)
class Wish:
    """What the operator wants."""

    data: Path
    target: BackupTarget
    ask: AskRoot
    root_key: Path | None = None
    config_file: Path | None = None
    backup: str = ""
    to_ms: int = 0
    accept_missing: bool = False
    tell: Callable[[str], None] = lambda _step: None


@dataclass(frozen=True)
class Outcome:
    """What has been restored."""

    manifest: Manifest
    keys_from: str
    wraps_from: str
    rows_of_ms: int
    """The moment of the rows."""
    destroyed_until_ms: int
    """Up to when what has been destroyed is known."""
    messages: int
    owners: int
    missing: str
    rotated: bool
    """Whether the root key had been rotated since the backup: its keys are under today's now."""
    seconds: float
    bytes_fetched: int


async def restore(wish: Wish) -> Outcome:
    """Restore; whatever goes wrong leaves the directory empty again."""
    if wish.data.exists() and any(wish.data.iterdir()):
        raise ConflictError(
            code="not_empty",
            public_text=f"{wish.data} is not empty: a backup is restored into a new directory.",
        )
    wish.data.mkdir(mode=0o711, parents=True, exist_ok=True)
    try:
        return await _Restoring(wish).run()
    except BaseException:
        for path in list(wish.data.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


class _Restoring:
    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._started = time.monotonic()

    async def run(self) -> Outcome:
        wish = self._wish
        wish.tell("keys")
        state = wish.data / "state" / "kms"
        await lay_out_root(wish.target, state, wish.root_key)
        first = configuration.load(wish.config_file) if wish.config_file else Config()
        opened = await open_backups(wish.target, state, first, wish.ask)
        choice = choose(opened.manifests, set(opened.weeks), wish.backup, wish.to_ms)
        tombstones, missing = await self._tombstones(opened)
        config = self._write_config(choice.until)
        layout = open_layout(wish.data, config, serving=True)
        prepare(layout, config)
        fetched = await self._files(opened, choice, layout)
        wish.tell("log")
        log = layout.data / "restore-log"
        ends = (choice.rows.database.start_segment, choice.until.database.end_segment)
        data_key = opened.parents.data
        await fetch_log(
            wish.target, choice.rows.line, data_key, ends, directory=log, owner=layout.postgres_uid
        )
        cluster = Cluster(layout.postgres, layout.postgres_run, layout.postgres_uid)
        recovery = Recovery(cluster, log, choice.rows.database, choice.until.database, wish.to_ms)
        async with recovery.run():
            wish.tell("replay")
            rotated = await self._replay_keys(layout, opened, tombstones)
            messages, owners = await self._replay(layout, choice, tombstones)
        shutil.rmtree(log)
        outcome = Outcome(
            manifest=choice.until,
            keys_from=choice.slots.id,
            wraps_from=choice.wraps.id,
            rows_of_ms=wish.to_ms or choice.until.finished_ms,
            destroyed_until_ms=max((t.time_ms for t in tombstones), default=0),
            messages=messages,
            owners=owners,
            missing=missing,
            rotated=rotated,
            seconds=time.monotonic() - self._started,
            bytes_fetched=fetched,
        )
        self._finish(layout, outcome, tombstones)
        wish.tell("done")
        return outcome

    async def _tombstones(self, opened: Opened) -> tuple[list[Tombstone], str]:
        """Return what has been destroyed in any life of this installation, and what is missing of that
        list."""
        found: list[Tombstone] = []
        missing = ""
        for line in sorted({manifest.line for manifest in opened.manifests}):
            mine = [manifest for manifest in opened.manifests if manifest.line == line]
            try:
                listed = await read_tombstones(
                    opened.target, line, opened.parents.data, opened.parents.signer
                )
                gap = missing_after(listed, mine)
                found += [tombstone for tombstone, _ in listed]
            except IntegrityError as error:
                if not self._wish.accept_missing or error.code != "tombstones":
                    raise
                gap = error.detail
                found += await _readable_tombstones(opened, line)
            missing = missing or gap
        if missing and not self._wish.accept_missing:
            raise IntegrityError(
                missing,
                code="tombstones",
                public_text=f"The list of what has been destroyed is not whole: {missing}. What was "
                "destroyed would come back. To restore nevertheless: --accept-missing-tombstones.",
            )
        return found, missing

    def _write_config(self, manifest: Manifest) -> Config:
        """Write the configuration: the operator's, or that of the backup."""
        path = self._wish.data / "postkeep.toml"
        given = self._wish.config_file
        path.write_text(given.read_text("utf-8") if given else manifest.config, "utf-8")
        path.chmod(0o600)
        return configuration.load(path)

    async def _files(self, opened: Opened, choice: Choice, layout: Layout) -> int:
        data = Fetcher(opened.target, opened.parents.data, piece_path)
        week = choice.wraps.keys.week
        wraps = Fetcher(
            opened.target, wraps_parent(opened.weeks[week]), lambda piece: wraps_path(week, piece)
        )
        await write_kms_slots(opened, choice.slots, layout.state(_MODULES["kms"]) / "keys.slots")
        await wraps.write(choice.wraps.keys.wraps, layout.state(_MODULES["vault"]), None)
        self._wish.tell("database")
        await data.write(choice.rows.tree("postgres"), layout.postgres, layout.postgres_uid)
        self._wish.tell("packs")
        await data.write(joined_packs(choice), layout.state(_MODULES["vault"]) / "packs" / "content", None)
        self._wish.tell("ledger")
        await data.write(choice.until.tree("ledger"), layout.state(_MODULES["ledger"]), None)
        return data.bytes_fetched + wraps.bytes_fetched

    async def _replay_keys(self, layout: Layout, opened: Opened, tombstones: list[Tombstone]) -> bool:
        """Bring the key store under the root key of today, and shred again what was shredded; whether the
        root key had been rotated since the backup. kms holds the store at its first start."""
        clock = SystemClock()
        scratch = layout.data / "restore-keys"
        scratch.mkdir(mode=0o700)
        with ErasableSlots(layout.state(_MODULES["kms"]) / "keys.slots", KEY_BYTES) as slots:
            async with administrators_pool(layout.postgres_run, "kms") as pool:
                rotated = await take_over(opened.roots, pool, slots, scratch, clock)
                await replay_kms(KmsKeyRows(pool), slots, owners_of(tombstones), clock.now_ms())
            held = RestoredStore(new_id(), RestoredBy.BACKUP, slots.state, slots.state - STATE_LEAP)
        leave_held(layout.state(_MODULES["kms"]) / HELD_NAME, held)
        shutil.rmtree(scratch)
        return rotated

    async def _replay(self, layout: Layout, choice: Choice, tombstones: list[Tombstone]) -> tuple[int, int]:
        now_ms = SystemClock().now_ms()
        owners = owners_of(tombstones)
        socket_directory = layout.postgres_run
        with ErasableSlots(layout.state(_MODULES["vault"]) / "wraps.slots", WRAPS_BYTES) as wraps:
            async with administrator(socket_directory, "vault") as vault:
                erased = slots_erased(tombstones, choice.rows.line)
                messages = await replay_vault(vault, wraps, erased, owners, now_ms)
        async with administrator(socket_directory, "authority") as authority:
            accounts = await replay_authority(authority, owners)
        return messages, accounts

    def _finish(self, layout: Layout, outcome: Outcome, tombstones: list[Tombstone]) -> None:
        """Give everything to its owner, and leave word for the first start. The marker comes last."""
        point = dt.datetime.fromtimestamp(outcome.rows_of_ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        leave_restored(
            layout.state(_MODULES["backup"]) / RESTORED_NAME,
            Restored(
                outcome.manifest.id,
                point,
                max((tombstone.number for tombstone in tombstones), default=0),
                outcome.messages + outcome.owners,
                not outcome.missing,
                outcome.rotated,
            ),
        )
        for name in ("kms", "vault", "ledger", "backup"):
            _give(layout, _MODULES[name])
        sync_file_system(layout.data)
        (layout.data / "initialised").touch(mode=0o600)
        sync_file_system(layout.data)


async def write_kms_slots(opened: Opened, manifest: Manifest, path: Path) -> None:
    """Write the slots of kms of one backup."""
    parent = slots_parent(opened.weeks[manifest.keys.week])
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        for part in range(manifest.keys.kms_parts):
            sealed = await opened.target.get(kms_path(manifest.keys.week, manifest.id, part))
            file.write(open_object(parent, "kms slots", f"{manifest.id}.{part}", sealed))


async def _readable_tombstones(opened: Opened, line: str) -> list[Tombstone]:
    """Return the tombstones that are there, whatever is missing between them."""
    from postkeep.model.backup import SignedTombstone, decode
    from postkeep.services.backup.catalogue import open_tombstone

    found = []
    async for name, _ in opened.target.list(f"tombstones/{line}"):
        signed = decode(await opened.target.get(name), SignedTombstone)
        number = int(name.rpartition("/")[2])
        with contextlib.suppress(IntegrityError):
            found.append(open_tombstone(signed, line, number, opened.parents.data, opened.parents.signer)[0])
    return found


@contextlib.asynccontextmanager
async def administrator(socket_directory: Path, database: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect to one database of a restored cluster."""
    connection = await connect_as_administrator(socket_directory, database)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def administrators_pool(socket_directory: Path, database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connect as keepers do."""
    pool = await asyncpg.create_pool(
        host=str(socket_directory), port=PORT, user=ADMINISTRATOR, database=database, min_size=1, max_size=2
    )
    try:
        yield pool
    finally:
        await pool.close()


def _give(layout: Layout, module: Module) -> None:
    owner = layout.uid(module)
    if owner is None:
        return
    for parent, _, files in os.walk(layout.state(module)):
        os.chown(parent, owner, owner)
        for name in files:
            os.chown(Path(parent) / name, owner, owner)
