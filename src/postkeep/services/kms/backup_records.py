"""What kms keeps for backups, in a file of slots of its own, so that each record can be destroyed for good.

A record is the name of this life of the node (`L`), a weekly key (`W`), or a root key that was rotated away
(`P`), which backups made before hang on.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.base.ids import ID_BYTES, new_id
from postkeep.base.secret import Secret
from postkeep.crypto.backup_keys import predecessor_path, predecessor_wrapper, week_path, week_wrapper
from postkeep.crypto.wrap import KEY_BYTES, OVERHEAD_BYTES
from postkeep.stores.slots import ErasableSlots

SLOTS_NAME: Final = "backup.slots"
RECORD_BYTES: Final = 96

_LINE: Final = b"L"
_WEEK: Final = b"W"
_PREDECESSOR: Final = b"P"
_TIME_BYTES: Final = 8
_WRAPPED_BYTES: Final = KEY_BYTES + OVERHEAD_BYTES


class KeyRecord(NamedTuple):
    """A weekly key, wrapped under their parent; or a former root key, wrapped under the one after it."""

    slot: int
    id: bytes
    created_ms: int
    """When it was made; of a former root key: when it was rotated away."""
    wrapped: bytes


class BackupRecords:
    """The file. Call it from one task at a time."""

    def __init__(self, directory: Path) -> None:
        self._slots = ErasableSlots(directory / SLOTS_NAME, RECORD_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._slots.close()

    @property
    def used(self) -> bool:
        """Whether there has been a backup, or the beginning of one, in this life of the node."""
        return len(self._slots) > 0

    def line(self) -> bytes:
        """Return the name of this life of the node: given when the file is made."""
        for record in self._records().values():
            if record[:1] == _LINE:
                return record[1 : 1 + ID_BYTES]
        line = new_id()
        self._slots.write_many([(_LINE + line).ljust(RECORD_BYTES, b"\x00")])
        return line

    def weeks(self) -> list[KeyRecord]:
        """Return the weekly keys that have not been destroyed."""
        return self._keys(_WEEK)

    def add_week(self, parent: bytes, now_ms: int) -> KeyRecord:
        """Make a weekly key."""
        week = new_id()
        return self._add(
            _WEEK, week, now_ms, week_wrapper(parent).wrap(os.urandom(KEY_BYTES), week_path(week, now_ms))
        )

    def predecessors(self) -> list[KeyRecord]:
        """Return the root keys that were rotated away and are still kept."""
        return self._keys(_PREDECESSOR)

    def add_predecessor(self, old: Secret[bytes], new: Secret[bytes], now_ms: int) -> None:
        """Keep a root key under the one that takes its place, durably; again and again does no harm."""
        wrapper = predecessor_wrapper(new.reveal())
        for record in self.predecessors():
            try:
                wrapper.unwrap(record.wrapped, predecessor_path(record.id, record.created_ms))
            except IntegrityError:
                continue  # of an earlier rotation
            return
        name = new_id()
        self._add(_PREDECESSOR, name, now_ms, wrapper.wrap(old.reveal(), predecessor_path(name, now_ms)))

    def destroy(self, records: list[KeyRecord]) -> None:
        """Overwrite records, durably."""
        self._slots.erase_many([record.slot for record in records])

    def _add(self, kind: bytes, name: bytes, now_ms: int, wrapped: bytes) -> KeyRecord:
        record = (kind + name + now_ms.to_bytes(_TIME_BYTES, "big") + wrapped).ljust(RECORD_BYTES, b"\x00")
        return KeyRecord(self._slots.write_many([record])[0], name, now_ms, wrapped)

    def _keys(self, kind: bytes) -> list[KeyRecord]:
        found = []
        for slot, record in self._records().items():
            if record[:1] != kind:
                continue
            name, rest = record[1 : 1 + ID_BYTES], record[1 + ID_BYTES :]
            created_ms = int.from_bytes(rest[:_TIME_BYTES], "big")
            found.append(KeyRecord(slot, name, created_ms, rest[_TIME_BYTES : _TIME_BYTES + _WRAPPED_BYTES]))
        return found

    def _records(self) -> dict[int, bytes]:
        numbers = range(len(self._slots))
        return {
            number: record
            for number, record in zip(numbers, self._slots.read_many(numbers), strict=True)
            if record is not None
        }
