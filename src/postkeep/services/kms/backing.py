"""Keys of backups: one that lasts for data, and one for each week of key backups, which is destroyed.

The data key seals what opens nothing: sealed bodies, rows, wrapped keys whose slots lie elsewhere. What
does open something when it comes back, the slots, is sealed under a weekly key. That key has a slot of its
own here and one copy in the target, wrapped under the key-encryption key of backups; both are destroyed at
its end, 30 days after it was made at the latest. From then on no copy of those slots opens, wherever it
lies.

The keyring is what a fresh machine needs beside the seal of the root key: the parents of all this, wrapped
under the root key itself.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.ids import ID_BYTES
from postkeep.base.secret import Secret
from postkeep.crypto.backup import manifest_statement, seal_object, tombstone_statement
from postkeep.crypto.backup_keys import (
    ring_path,
    ring_wrapper,
    slots_parent,
    week_path,
    week_wrapper,
    wraps_parent,
)
from postkeep.crypto.wrap import KEY_BYTES
from postkeep.model.audit import EventName
from postkeep.model.backup import (
    DATA_KEY,
    KMS_PART_BYTES,
    SIGNING_KEY,
    VERSION,
    WEEK_PARENT,
    Keyring,
    Predecessor,
    RingKey,
    WeekKey,
    encode,
    predecessor_name,
)
from postkeep.services.kms import backing_api as api
from postkeep.services.kms.backup_records import BackupRecords, KeyRecord
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind
from postkeep.services.kms.signing import NamedKeys, SigningKey, SigningKeys
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import ErasableSlots
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

WEEK_SECONDS: Final = 7 * 86400
"""How long a weekly key seals new backups."""
WEEK_LIFE_SECONDS: Final = 30 * 86400
"""When it is destroyed, counted from when it was made: no key backup lives longer."""
SHREDDED_MAX: Final = 10_000
"""Names in one answer: 400 KB."""
ROOT_FILE_BYTES_MAX: Final = 64 * 1024


class Terms(NamedTuple):
    """How long weekly keys are used and kept, in seconds."""

    use: int = WEEK_SECONDS
    life: int = WEEK_LIFE_SECONDS


class BackupKeys:
    """The methods `kms.backup_*`. Weekly keys lie in a file of slots of their own."""

    def __init__(
        self,
        root: Callable[[], Secret[bytes]],
        named: NamedKeys,
        signing: SigningKeys,
        rows: KmsKeyRows,
        slots: ErasableSlots,
        *,
        directory: Path,
        state_dir: Path,
        terms: Terms,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._root = root
        self._named = named
        self._signing = signing
        self._rows = rows
        self._slots = slots
        self._state_dir = state_dir
        self._terms = Terms(min(terms.use, WEEK_SECONDS), min(terms.life, WEEK_LIFE_SECONDS))
        self._trail = trail
        self._clock = clock
        self._records = BackupRecords(directory)

    def close(self) -> None:
        """Let go of the file."""
        self._records.close()

    def handlers(self) -> dict[str, tuple[type, Handler]]:
        """Return the methods for the channel's server."""
        return {
            "kms.backup_open": (api.BackupOpen, self.open),
            "kms.backup_slots": (api.BackupSlots, self.slots),
            "kms.backup_sign": (api.BackupSign, self.sign),
            "kms.backup_shredded": (api.BackupShredded, self.shredded),
            "kms.backup_expire": (api.BackupExpire, self.expire),
        }

    async def open(self, grant: Grant, request: api.BackupOpen) -> api.BackupOpened:
        """Answer `kms.backup_open`. The release stands in the ledger before the answer is given."""
        parents = await self._parents()
        week = self._present_week(parents[WEEK_PARENT], new=request.new_week)
        weekly = _weekly_key(parents, week)
        signer = await self._signer()
        wrapper = ring_wrapper(self._root().reveal())  # as the seal keeps it now: a fresh machine has no more
        ring = [RingKey(name, wrapper.wrap(key, ring_path(name, b""))) for name, key in parents.items()]
        seal = wrapper.wrap(b"", ring_path(SIGNING_KEY, signer.public_key))
        keyring = Keyring(VERSION, self._seal_kind(), [*ring, RingKey(SIGNING_KEY, seal, signer.public_key)])
        await self._trail.record(
            EventName.KEY_RELEASE,
            module=grant.peer_module,
            instance=grant.peer_instance,
            ticket=grant.root_ticket_id or grant.ticket_id,
            method=grant.method,
            count=1,
            note=f"backup week {week.id.hex()}",
        )
        return api.BackupOpened(
            line=self._records.line(),
            data_key=parents[DATA_KEY],
            wraps_key=wraps_parent(weekly),
            week=week.id,
            week_object=encode(WeekKey(week.created_ms, self._expires_ms(week), week.wrapped)),
            week_expires_ms=self._expires_ms(week),
            keyring=encode(keyring),
            root_files=self._root_files(),
            slots_bytes=self._slots.size_bytes,
            predecessors={
                predecessor_name(former.id.hex()): encode(
                    Predecessor(former.created_ms, self._expires_ms(former), former.wrapped)
                )
                for former in self._records.predecessors()
            },
        )

    async def slots(self, _grant: Grant, request: api.BackupSlots) -> api.SealedSlots:
        """Answer `kms.backup_slots`."""
        week = next((week for week in self._live_weeks() if week.id == request.week), None)
        if week is None:
            raise NotFoundError("the weekly key of this backup is gone", code="backup_week")
        parents = await self._parents()
        weekly = _weekly_key(parents, week)
        offset = request.part * KMS_PART_BYTES
        data = self._slots.dump(offset, KMS_PART_BYTES)
        name = f"{request.backup}.{request.part}"
        sealed = seal_object(slots_parent(weekly), "kms slots", name, data, deflate=False)
        return api.SealedSlots(sealed, offset + len(data) >= self._slots.size_bytes)

    async def sign(self, _grant: Grant, request: api.BackupSign) -> api.BackupSignature:
        """Answer `kms.backup_sign`: only statements about backups are ever signed with this key."""
        if request.backup:
            statement = manifest_statement(request.backup, request.digest)
        elif len(request.line) == ID_BYTES:
            statement = tombstone_statement(request.line, request.number, request.digest)
        else:
            raise InvalidInputError("neither a manifest nor a tombstone")
        signer = await self._signer()
        return api.BackupSignature(signer.sign(statement), signer.public_key)

    async def shredded(self, _grant: Grant, request: api.BackupShredded) -> api.ShreddedKeys:
        """Answer `kms.backup_shredded`."""
        keys = await self._rows.shredded_since(request.since_ms, SHREDDED_MAX)
        return api.ShreddedKeys(keys, len(keys) == SHREDDED_MAX)

    async def expire(self, _grant: Grant, request: api.BackupExpire) -> api.BackupWeeks:
        """Answer `kms.backup_expire`: what is destroyed here stands in the ledger, before and after."""
        now = self._clock.now_ms()
        weeks = self._records.weeks()
        over = [week for week in weeks if self._expires_ms(week) <= now or week.id in request.weeks]
        for week in over:
            await self._trail.record(EventName.BACKUP_DESTROY, note=f"week {week.id.hex()}")
        self._records.destroy(over)
        left = [week for week in weeks if week not in over]
        self._records.destroy([p for p in self._records.predecessors() if self._expires_ms(p) <= now])
        return api.BackupWeeks([(week.id, week.created_ms, self._expires_ms(week)) for week in left])

    async def inherit(self, old: Secret[bytes], new: Secret[bytes]) -> None:
        """Keep a root key that is being rotated away, for the backups that were made under it.

        A `rotation_parts.RootHeir`. The last weekly key of its time ends when this does.
        """
        if self._records.used:
            await asyncio.to_thread(self._records.add_predecessor, old, new, self._clock.now_ms())

    async def _parents(self) -> dict[str, bytes]:
        """Return the data key and the parent of weekly keys, made at the first backup."""
        found = {}
        for name in (DATA_KEY, WEEK_PARENT):
            known = await self._named.get(name)
            if known is None:
                known = os.urandom(KEY_BYTES), b""
                await self._named.add(name, *known)
            found[name] = known[0]
        return found

    async def _signer(self) -> SigningKey:
        try:
            return await self._signing.by_handle(SIGNING_KEY)
        except NotFoundError:
            return await self._signing.make(SIGNING_KEY)

    def _live_weeks(self) -> list[KeyRecord]:
        now = self._clock.now_ms()
        return [week for week in self._records.weeks() if self._expires_ms(week) > now]

    def _expires_ms(self, record: KeyRecord) -> int:
        return record.created_ms + self._terms.life * 1000

    def _present_week(self, parent: bytes, *, new: bool) -> KeyRecord:
        now = self._clock.now_ms()
        newest = max(self._live_weeks(), key=lambda week: week.created_ms, default=None)
        if newest is not None and not new and now < newest.created_ms + self._terms.use * 1000:
            return newest
        return self._records.add_week(parent, now)

    def _seal_kind(self) -> str:
        """Say how the root key is sealed: what a restore needs of its holders."""
        kinds = [kind for kind, name in FILE_NAMES.items() if (self._state_dir / name).is_file()]
        return kinds[0].value if kinds else ""

    def _root_files(self) -> dict[str, bytes]:
        """Read the root key as it is sealed; never the file that is the key itself."""
        paths = [self._state_dir / name for kind, name in FILE_NAMES.items() if kind is not RootKind.FILE]
        return {path.name: path.read_bytes()[:ROOT_FILE_BYTES_MAX] for path in paths if path.is_file()}


def _weekly_key(parents: dict[str, bytes], week: KeyRecord) -> bytes:
    return week_wrapper(parents[WEEK_PARENT]).unwrap(week.wrapped, week_path(week.id, week.created_ms))
