"""Making a backup of a running node.

The order makes what is restored fit together: no pack is removed from the beginning on; the database is
copied up to a named moment; then the packs, which have every body that a row of that moment names; then the
wrapped keys of messages and the slots of kms, which have all that those rows refer to but what was
destroyed meanwhile; then the ledger, which is at least as long as the head that kms remembers. The manifest
comes last: without it nothing has been made, and the pieces that are there serve the next attempt.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, IntegrityError, PostkeepError, UnavailableError
from postkeep.base.ids import new_id
from postkeep.crypto.backup import seal_object
from postkeep.model.backup import (
    KEYRING,
    PACK_PIECE_BYTES,
    PIECE_BYTES,
    VERSION,
    Database,
    Extent,
    File,
    KeyPart,
    Manifest,
    SignedManifest,
    Tree,
    backup_name,
    encode,
    kms_path,
    piece_path,
    week_path,
    wraps_path,
)
from postkeep.services.backup.catalogue import list_backups, read_manifest
from postkeep.services.backup.keepers import LEDGER_BATCH, Keepers
from postkeep.services.backup.shipping import Shipper, TreeBuilder, digest
from postkeep.services.backup.tombstones import Tombstones
from postkeep.services.backup.wal import WalSpool
from postkeep.services.kms.backing_api import BackupOpened
from postkeep.stores import backup_stream
from postkeep.stores.backup_target import BackupTarget

HOLD_SECONDS: Final = 600
"""How long packs are held with one word; said again while a backup goes on."""
HOLD_AGAIN_SECONDS: Final = 200.0


@dataclass
class Progress:
    """How far a job has come."""

    step: str = "begin"
    backup: str = ""
    bytes_total: int = 0
    bytes_shipped: int = 0
    objects_shipped: int = 0
    incremental: bool = False
    removed: int = 0
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Place:
    """Where backups of this node are made from and go to."""

    keepers: Keepers
    target: BackupTarget
    spool: WalSpool
    tombstones: Tombstones
    ask_database: Callable[[str], Awaitable[socket.socket]]
    """Have the supervisor copy the database to a socket, up to a restore point of this name."""
    config: str
    program: str
    clock: Clock


async def check_destroys(target: BackupTarget) -> None:
    """Raise ConflictError (`backup_versions`) if what is destroyed in a target lives on as an old version."""
    if await target.keeps_versions():
        raise ConflictError(
            code="backup_versions",
            public_text="The bucket keeps versions of what is overwritten or deleted, so weekly keys can't "
            "be destroyed in it. Suspend its versioning, delete its old versions, and try again; or set "
            "another target.",
        )


async def write_parents(target: BackupTarget, opened: BackupOpened) -> None:
    """Put into the target what a fresh machine needs beside the root key, durably, before what needs it.

    In an order that leaves no moment at which nothing there opens: former root keys come before the sealed
    form of the one after them, and that before the keyring which names it. A sealed form that is out of use
    is destroyed: what opened the root key once must not go on to open it.

    ConflictError (`backup_versions`) for a target that keeps versions: nothing can be destroyed in it, so
    nothing that has to be destroyed one day is put there.
    """
    await check_destroys(target)
    sealed = {f"root/{name}": octets for name, octets in opened.root_files.items()}
    for objects in (opened.predecessors, sealed):
        for name, octets in objects.items():
            await target.put(name, octets)
        if objects:
            await target.settle()
    await target.put(KEYRING, opened.keyring)
    await target.put(week_path(opened.week.hex()), opened.week_object)
    await target.settle()
    for name in [name async for name, _ in target.list("root") if name not in sealed]:
        await target.destroy(name)


class Creation:
    """One backup."""

    def __init__(self, place: Place, progress: Progress, *, full: bool) -> None:
        self._place = place
        self._progress = progress
        self._full = full
        self._held = 0.0

    async def run(self, *, new_week: bool = False) -> Manifest:
        """Make it; raise a PostkeepError with a text for the operator where that can't be."""
        place, progress = self._place, self._progress
        started_ms = place.clock.now_ms()
        backup = progress.backup = new_id().hex()
        opened = await place.keepers.open(new_week=new_week)
        await write_parents(place.target, opened)
        parent = None if self._full else await self._parent(opened)
        progress.incremental = parent is not None
        known = set() if self._full else {n.rpartition("/")[2] async for n, _ in place.target.list("data")}
        data = Shipper(place.target, opened.data_key, piece_path, known, deflate=True)
        packs = Shipper(place.target, opened.data_key, piece_path, known, deflate=False)
        week = opened.week.hex()
        prefix = f"weeks/{week}/wraps"
        there = set() if self._full else {n.rpartition("/")[2] async for n, _ in place.target.list(prefix)}
        wraps = Shipper(
            place.target, opened.wraps_key, lambda piece: wraps_path(week, piece), there, deflate=False
        )
        shippers = (data, packs, wraps)
        try:
            await self._hold()
            database, postgres = await self._database(backup, data)
            trees = [postgres, await self._packs(packs, parent)]
            wraps_tree = await self._wraps(wraps)
            parts = await self._kms(opened, backup)
            trees.append(await self._ledger(data, parent))
            for shipper in shippers:
                await shipper.finish()
            progress.step = "log"
            await place.spool.ship_until(database.end_segment, opened.line.hex(), opened.data_key)
        except BaseException:
            for shipper in shippers:
                await shipper.abandon()
            raise
        finally:
            await self._let_go()
        await place.tombstones.tell(opened, anyway=True)
        manifest = Manifest(
            version=VERSION,
            id=backup,
            line=opened.line.hex(),
            created_ms=started_ms,
            finished_ms=place.clock.now_ms(),
            incremental=parent is not None,
            program=place.program,
            config=place.config,
            database=database,
            trees=trees,
            keys=KeyPart(week, opened.week_expires_ms, len(parts), parts, wraps_tree),
            tombstone=place.tombstones.number,
            tombstone_digest=place.tombstones.digest,
            bytes_total=sum(tree.size for tree in (*trees, wraps_tree)),
            bytes_shipped=sum(shipper.bytes_shipped for shipper in shippers),
            objects_shipped=sum(shipper.objects_shipped for shipper in shippers),
        )
        await self._seal(opened, manifest)
        progress.bytes_total = manifest.bytes_total
        progress.bytes_shipped, progress.objects_shipped = manifest.bytes_shipped, manifest.objects_shipped
        progress.step = "done"
        return manifest

    async def _parent(self, opened: BackupOpened) -> Manifest | None:
        """Return the newest backup of this line: what it has of packs and tiles need not be read again."""
        place = self._place
        signer = (await place.keepers.sign_tombstone(opened.line, 0, b"")).public_key
        for listed in reversed(await list_backups(place.target)):
            try:
                manifest = await read_manifest(place.target, listed.id, opened.data_key, signer)
            except IntegrityError:
                continue  # of another installation, or damaged: nothing is taken from it
            if manifest.line == opened.line.hex():
                return manifest
        return None

    async def _seal(self, opened: BackupOpened, manifest: Manifest) -> None:
        place = self._place
        await place.target.settle()  # all that it names is durable before it names it
        sealed = await asyncio.to_thread(
            seal_object, opened.data_key, "manifest", manifest.id, encode(manifest)
        )
        signature = (await place.keepers.sign_manifest(manifest.id, digest(sealed))).signature
        signed = SignedManifest(
            sealed, signature, manifest.finished_ms, manifest.bytes_total, manifest.keys.week
        )
        await place.target.put(backup_name(manifest.id), encode(signed))
        await place.target.settle()

    # --- the parts ---

    async def _hold(self) -> None:
        if time.monotonic() - self._held >= HOLD_AGAIN_SECONDS or not self._held:
            await self._place.keepers.hold_packs(HOLD_SECONDS)
            self._held = time.monotonic()

    async def _let_go(self) -> None:
        try:
            await self._place.keepers.hold_packs(0)
        except PostkeepError:
            return  # it ends by itself

    async def _database(self, backup: str, shipper: Shipper) -> tuple[Database, Tree]:
        self._progress.step = "database"
        link = await self._place.ask_database(backup)
        reader, writer = await asyncio.open_unix_connection(sock=link)
        builder = TreeBuilder("postgres", shipper, PIECE_BYTES)
        try:
            while True:
                frame = await backup_stream.receive(reader)
                match frame:
                    case backup_stream.Directory(path):
                        builder.directory(path)
                    case backup_stream.Begin(path):
                        builder.begin(path)
                    case backup_stream.Data(octets):
                        self._progress.bytes_total += len(octets)
                        await builder.data(octets)
                        await self._hold()
                    case backup_stream.End():
                        await builder.end()
                    case backup_stream.Failed(text):
                        raise UnavailableError(
                            text, code="backup_database", temporary=False, public_text=text
                        )
                    case backup_stream.Finished(major, label, point, start, end):
                        return Database(major, label, point, start, end), await builder.finish()
        finally:
            writer.close()

    async def _packs(self, shipper: Shipper, parent: Manifest | None) -> Tree:
        self._progress.step = "packs"
        before = {} if parent is None else {file.path: file for file in parent.tree("packs").files}
        builder = TreeBuilder("packs", shipper, PACK_PIECE_BYTES)
        for pack, size in (await self._place.keepers.packs()).packs:
            path = f"{pack:08d}.pack"
            kept = _whole_pieces(before.get(path), shipper, size)
            builder.begin(path, kept)
            offset = sum(extent.length for extent in kept)
            while offset < size:
                octets = await self._place.keepers.read_vault(
                    pack, offset, min(PACK_PIECE_BYTES, size - offset)
                )
                if not octets:
                    raise IntegrityError(f"pack {pack} ends at {offset}, before {size}")
                await builder.data(octets)
                offset += len(octets)
                self._progress.bytes_total += len(octets)
                await self._hold()
            await builder.end()
        return await builder.finish()

    async def _wraps(self, shipper: Shipper) -> Tree:
        self._progress.step = "wraps"
        size = (await self._place.keepers.packs()).wraps_bytes
        builder = TreeBuilder("wraps", shipper, PIECE_BYTES)
        builder.begin("wraps.slots")
        offset = 0
        while offset < size and (
            octets := await self._place.keepers.read_vault(0, offset, min(PIECE_BYTES, size - offset))
        ):
            await builder.data(octets)
            offset += len(octets)
            await self._hold()
        await builder.end()
        return await builder.finish()

    async def _kms(self, opened: BackupOpened, backup: str) -> list[bytes]:
        self._progress.step = "keys"
        parts: list[bytes] = []
        while True:
            number = len(parts)
            part = await self._place.keepers.kms_slots(opened.week, backup, number)
            await self._place.target.put(kms_path(opened.week.hex(), backup, number), part.sealed)
            parts.append(digest(part.sealed))
            if part.last:
                return parts

    async def _ledger(self, shipper: Shipper, parent: Manifest | None) -> Tree:
        self._progress.step = "ledger"
        before = {} if parent is None else {file.path: file for file in parent.tree("ledger").files}
        files = await self._place.keepers.ledger_files()
        builder = TreeBuilder("ledger", shipper, PIECE_BYTES)
        for path, octets in files.changing:
            await builder.whole(path, octets)
        unread = []
        for path, size in files.tiles:
            old = before.get(path)
            full = ".p/" not in path
            if (
                full
                and old is not None
                and old.size == size
                and all(shipper.has(e.piece) for e in old.extents)
            ):
                builder.reuse(old)
            else:
                unread.append(path)
        for first in range(0, len(unread), LEDGER_BATCH):
            batch = unread[first : first + LEDGER_BATCH]
            for path, octets in zip(batch, await self._place.keepers.read_ledger(batch), strict=True):
                if octets:
                    await builder.whole(path, octets)
        return await builder.finish()


def _whole_pieces(file: File | None, shipper: Shipper, size: int) -> list[Extent]:
    """Return the first parts of a pack as an earlier backup has them: packs only grow."""
    kept: list[Extent] = []
    offset = 0
    for extent in [] if file is None else file.extents:
        offset += extent.length
        if extent.length != PACK_PIECE_BYTES or offset > size or not shipper.has(extent.piece):
            break
        kept.append(extent)
    return kept
