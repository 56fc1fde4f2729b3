"""Checking a backup: that every object is there and opens, and that random messages open end to end."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from postkeep.base.clock import SystemClock
from postkeep.base.errors import IntegrityError, NotFoundError, PostkeepError
from postkeep.base.secret import Secret
from postkeep.crypto.backup import open_object, open_piece
from postkeep.crypto.backup_keys import slots_parent, wraps_parent
from postkeep.crypto.epoch import EpochReader
from postkeep.crypto.message import WRAPS_BYTES, open_content, unwrap_key
from postkeep.model.backup import Manifest, kms_path, piece_path, wal_path, wraps_path
from postkeep.model.categories import Category
from postkeep.services.backup.fetching import GETS_AT_ONCE, Fetcher
from postkeep.services.backup.logs import segments
from postkeep.services.backup.shipping import digest
from postkeep.services.kms.api import SealedEpoch
from postkeep.services.kms.custodians import CustodianRegistry, Custody
from postkeep.services.kms.epochs import EpochOpener
from postkeep.services.kms.hierarchy import Hierarchy
from postkeep.services.kms.signing import NamedKeys, open_signing_keys
from postkeep.services.kms.succession import root_of_store
from postkeep.services.kms.tenants import TenantKeys
from postkeep.services.kms.witness import StoreWitness
from postkeep.stores.backup_target import BackupTarget
from postkeep.stores.kms_installation import KmsInstallationRows
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import HEADER_BYTES, ErasableSlots

PROBLEMS_MAX = 100
"""Problems named in one report: more say nothing new."""
CUSTODY_CODE = "unavailable.custody"
"""What a custodian that is away, refuses, or may not be asked is told by."""


@dataclass(frozen=True)
class Samples:
    """What became of the messages that were tried."""

    opened: int
    erased: int
    """Their wraps or their owner's keys have been destroyed since: as it should be."""
    company_holds: int
    """Their company holds the key, and its custodian does not open it here: nothing is proved of them."""
    failed: list[str]


async def check_objects(
    target: BackupTarget, manifest: Manifest, data_key: bytes, weekly: bytes | None
) -> tuple[int, list[str]]:
    """Open every object that a backup needs; return how many those were, and what is wrong.

    Without its weekly key the key stream is left out.
    """
    pieces = {extent.piece.hex() for tree in manifest.trees for f in tree.files for extent in f.extents}
    wanted = [(piece_path(piece), _opening(data_key, piece)) for piece in sorted(pieces)]
    log = segments(manifest.database.start_segment, manifest.database.end_segment)
    wanted += [
        (path, _log_opening(data_key, path)) for path in (wal_path(manifest.line, name) for name in log)
    ]
    if weekly is not None:
        week, parent = manifest.keys.week, wraps_parent(weekly)
        shipped = {extent.piece.hex() for f in manifest.keys.wraps.files for extent in f.extents}
        wanted += [(wraps_path(week, piece), _opening(parent, piece)) for piece in sorted(shipped)]
        for part, expected in enumerate(manifest.keys.kms_digests):
            name = f"{manifest.id}.{part}"
            wanted.append(
                (kms_path(week, manifest.id, part), _slots_opening(slots_parent(weekly), name, expected))
            )
    left, problems = iter(wanted), []

    async def look() -> None:
        for path, opening in left:
            try:
                await asyncio.to_thread(opening.check, await target.get(path))
            except (IntegrityError, NotFoundError) as error:
                problems.append(f"{path}: {error.detail or error.public_text}")

    await asyncio.gather(*(look() for _ in range(GETS_AT_ONCE)))
    return len(wanted), sorted(problems)[:PROBLEMS_MAX]


class SampleOpener:
    """Opens messages of a backup as a reader would: keys from the key stream, bodies from the data stream."""

    def __init__(self, target: BackupTarget, manifest: Manifest, data_key: bytes, weekly: bytes) -> None:
        self._manifest = manifest
        self._packs = {file.path: file for file in manifest.tree("packs").files}
        self._data = Fetcher(target, data_key, piece_path)
        week = manifest.keys.week
        self._wraps = Fetcher(target, wraps_parent(weekly), lambda piece: wraps_path(week, piece))

    async def open(
        self,
        rows: Iterable[asyncpg.Record],
        pool: "asyncpg.Pool[asyncpg.Record]",
        roots: Sequence[Secret[bytes]],
        slots: ErasableSlots,
        custody: Custody,
    ) -> Samples:
        """Open the content of each, and compare its length with what its row says.

        `roots`: the root key and former ones; errors as `succession.root_of_store`.
        """
        hierarchy = await open_hierarchy(pool, roots, slots, custody)
        opened, erased, held, failed = 0, 0, 0, []
        dark: set[bytes] = set()
        """Tenants whose custodians have refused: each is asked once, as one may take its time."""
        for row in rows:
            if row["tenant"] in dark:
                held += 1
                continue
            try:
                done = await self._open(row, hierarchy)
            except PostkeepError as error:
                if error.code == CUSTODY_CODE:
                    dark.add(row["tenant"])
                    held += 1
                else:
                    failed.append(f"message of body {row['body'].hex()}: {error.detail or error.code}")
                continue
            opened, erased = opened + done, erased + (not done)
        return Samples(opened, erased, held, failed[:PROBLEMS_MAX])

    async def _open(self, row: asyncpg.Record, hierarchy: Hierarchy) -> bool:
        wraps = await self._wraps.read(
            self._manifest.keys.wraps.files[0], HEADER_BYTES + row["slot"] * WRAPS_BYTES, WRAPS_BYTES
        )
        if not wraps.strip(b"\x00"):
            return False
        try:
            keys = await hierarchy.principal(row["principal"])
        except NotFoundError:
            return False
        answer = EpochOpener(keys, [Category.CONTENT]).open(SealedEpoch(row["epoch"], row["sealed"]))
        if answer.error:
            raise IntegrityError(f"its epoch does not open: {answer.error}")
        chains = {category.value: start for category, start in answer.chains.items()}
        reader = EpochReader(row["epoch"], chains)
        index = row["epoch_index"]
        place = (row["tenant"], row["body"], row["principal"], row["epoch"], index)
        key = unwrap_key("content", wraps, reader.wrap_key("content", index), *place)
        pack = self._packs.get(f"{row['pack']:08d}.pack")
        if pack is None:
            raise IntegrityError("its pack is not in the backup")
        sealed = await self._data.read(pack, row["offset"], row["length"])
        if len(open_content(key, row["tenant"], row["body"], sealed)) != row["size"]:
            raise IntegrityError("its content has another length than its row says")
        return True


async def open_hierarchy(
    pool: "asyncpg.Pool[asyncpg.Record]",
    roots: Sequence[Secret[bytes]],
    slots: ErasableSlots,
    custody: Custody,
) -> Hierarchy:
    """Open the key hierarchy of a restored copy."""
    clock = SystemClock()
    rows, installation = KmsKeyRows(pool), KmsInstallationRows(pool)
    _, generations = await root_of_store(roots, installation, slots)
    named = NamedKeys(generations, installation, clock)
    signing = await open_signing_keys(named, clock)
    tenants = TenantKeys(generations, rows, slots, CustodianRegistry(named, custody), clock)
    witness = StoreWitness(slots.path.parent, rows, slots)
    return Hierarchy(tenants, rows, slots, signing, witness=witness, clock=clock)


class _Opening(NamedTuple):
    """One way to check an object."""

    parent: bytes
    kind: str
    name: str
    digest: bytes = b""

    def check(self, sealed: bytes) -> None:
        """Raise IntegrityError unless it opens and is what it should be."""
        if self.kind == "piece":
            open_piece(self.parent, self.name, sealed)
            return
        open_object(self.parent, self.kind, self.name, sealed)
        if self.digest and digest(sealed) != self.digest:
            raise IntegrityError("it is not the object that the manifest names")


def _opening(parent: bytes, piece: str) -> _Opening:
    return _Opening(parent, "piece", piece)


def _log_opening(parent: bytes, path: str) -> _Opening:
    return _Opening(parent, "wal", path)


def _slots_opening(parent: bytes, name: str, expected: bytes) -> _Opening:
    return _Opening(parent, "kms slots", name, expected)
