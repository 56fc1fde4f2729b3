"""Keys of backups: one that lasts for data, and one for each week of key backups, which is destroyed.

The data key seals what opens nothing: sealed bodies, rows, wrapped keys whose slots lie elsewhere. What
does open something when it comes back, the slots, is sealed under a weekly key. That key has a slot of its
own here and one copy in the target, wrapped under the key-encryption key of backups; both are destroyed at
its end, 30 days after it was made at the latest. From then on no copy of those slots opens, wherever it
lies.

The keyring is what a fresh machine needs beside the seal of the root key: the parents of all this, wrapped
under the root key itself.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.base.ids import ID_BYTES, new_id
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
from postkeep.crypto.wrap import KEY_BYTES, OVERHEAD_BYTES
from postkeep.model.audit import EventName
from postkeep.model.backup import (
    DATA_KEY,
    KMS_PART_BYTES,
    SIGNING_KEY,
    VERSION,
    WEEK_PARENT,
    Keyring,
    RingKey,
    WeekKey,
    encode,
)
from postkeep.services.kms import backing_api as api
from postkeep.services.kms.root_kinds import FILE_NAMES, RootKind
from postkeep.services.kms.signing import NamedKeys, SigningKey, SigningKeys
from postkeep.services.ledger.trail import Trail
from postkeep.stores.kms_keys import KmsKeyRows
from postkeep.stores.slots import ErasableSlots
from postkeep.tickets.channel import Handler
from postkeep.tickets.clear import Grant

SLOTS_NAME: Final = "backup.slots"
WEEK_SECONDS: Final = 7 * 86400
"""How long a weekly key seals new backups."""
WEEK_LIFE_SECONDS: Final = 30 * 86400
"""When it is destroyed, counted from when it was made: no key backup lives longer."""
RECORD_BYTES: Final = 96
SHREDDED_MAX: Final = 10_000
"""Names in one answer: 400 KB."""
ROOT_FILE_BYTES_MAX: Final = 64 * 1024

_LINE: Final = b"L"
_WEEK: Final = b"W"
_TIME_BYTES: Final = 8
_WRAPPED_BYTES: Final = KEY_BYTES + OVERHEAD_BYTES


class Terms(NamedTuple):
    """How long weekly keys are used and kept, in seconds."""

    use: int = WEEK_SECONDS
    life: int = WEEK_LIFE_SECONDS


class _Week(NamedTuple):
    slot: int
    week: bytes
    created_ms: int
    expires_ms: int
    wrapped: bytes


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
        self._weeks = ErasableSlots(directory / SLOTS_NAME, RECORD_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._weeks.close()

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
        weekly = week_wrapper(parents[WEEK_PARENT]).unwrap(
            week.wrapped, week_path(week.week, week.created_ms)
        )
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
            note=f"backup week {week.week.hex()}",
        )
        return api.BackupOpened(
            line=self._line(),
            data_key=parents[DATA_KEY],
            wraps_key=wraps_parent(weekly),
            week=week.week,
            week_object=encode(WeekKey(week.created_ms, week.expires_ms, week.wrapped)),
            week_expires_ms=week.expires_ms,
            keyring=encode(keyring),
            root_files=self._root_files(),
            slots_bytes=self._slots.size_bytes,
        )

    async def slots(self, _grant: Grant, request: api.BackupSlots) -> api.SealedSlots:
        """Answer `kms.backup_slots`."""
        week = next((week for week in self._live_weeks() if week.week == request.week), None)
        if week is None:
            raise NotFoundError("the weekly key of this backup is gone", code="backup_week")
        parents = await self._parents()
        weekly = week_wrapper(parents[WEEK_PARENT]).unwrap(
            week.wrapped, week_path(week.week, week.created_ms)
        )
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
        over = [week for week in self._all_weeks() if week.expires_ms <= now or week.week in request.weeks]
        for week in over:
            await self._trail.record(EventName.BACKUP_DESTROY, note=f"week {week.week.hex()}")
        self._weeks.erase_many([week.slot for week in over])
        return api.BackupWeeks([(week.week, week.created_ms, week.expires_ms) for week in self._all_weeks()])

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

    def _line(self) -> bytes:
        """Return the name of this life of the node: given when the file of weekly keys is made."""
        for record in self._records().values():
            if record[:1] == _LINE:
                return record[1 : 1 + ID_BYTES]
        line = new_id()
        self._weeks.write_many([(_LINE + line).ljust(RECORD_BYTES, b"\x00")])
        return line

    def _records(self) -> dict[int, bytes]:
        numbers = range(len(self._weeks))
        return {
            number: record
            for number, record in zip(numbers, self._weeks.read_many(numbers), strict=True)
            if record is not None
        }

    def _all_weeks(self) -> list[_Week]:
        weeks = []
        for slot, record in self._records().items():
            if record[:1] != _WEEK:
                continue
            week, rest = record[1 : 1 + ID_BYTES], record[1 + ID_BYTES :]
            created_ms = int.from_bytes(rest[:_TIME_BYTES], "big")
            expires_ms = created_ms + self._terms.life * 1000
            wrapped = rest[_TIME_BYTES : _TIME_BYTES + _WRAPPED_BYTES]
            weeks.append(_Week(slot, week, created_ms, expires_ms, wrapped))
        return weeks

    def _live_weeks(self) -> list[_Week]:
        now = self._clock.now_ms()
        return [week for week in self._all_weeks() if week.expires_ms > now]

    def _present_week(self, parent: bytes, *, new: bool) -> _Week:
        now = self._clock.now_ms()
        newest = max(self._live_weeks(), key=lambda week: week.created_ms, default=None)
        if newest is not None and not new and now < newest.created_ms + self._terms.use * 1000:
            return newest
        week = new_id()
        wrapped = week_wrapper(parent).wrap(os.urandom(KEY_BYTES), week_path(week, now))
        record = (_WEEK + week + now.to_bytes(_TIME_BYTES, "big") + wrapped).ljust(RECORD_BYTES, b"\x00")
        slot = self._weeks.write_many([record])[0]
        return _Week(slot, week, now, now + self._terms.life * 1000, wrapped)

    def _seal_kind(self) -> str:
        """Say how the root key is sealed: what a restore needs of its holders."""
        kinds = [kind for kind, name in FILE_NAMES.items() if (self._state_dir / name).is_file()]
        return kinds[0].value if kinds else ""

    def _root_files(self) -> dict[str, bytes]:
        """Read the root key as it is sealed; never the file that is the key itself."""
        paths = [self._state_dir / name for kind, name in FILE_NAMES.items() if kind is not RootKind.FILE]
        return {path.name: path.read_bytes()[:ROOT_FILE_BYTES_MAX] for path in paths if path.is_file()}
