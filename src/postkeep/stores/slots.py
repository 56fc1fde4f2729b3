"""Erasable slots: a file of small fixed-size records that can be destroyed one by one.

A database keeps old row versions, write-ahead logs and backups of what was deleted. What must really go is
therefore kept here and only referred to by slot number: erasing overwrites the record where it lies and syncs
it. kms keeps the destructible half of each key here, the vault the wrapped keys of each message.

The file: a header of 64 bytes (magic, record size; at 32 a number of 8 bytes that the owner may keep there),
then records back to back. Slot numbers count up and are never used twice; a record of zeros is an erased one.

What a crash leaves: `write_many` returns after the records are durable, so a caller that stores
slot numbers afterwards never refers to missing bytes. Records written but never referred to (a torn tail
included) stay as unreferenced slots: opening rounds the file's length up, so they are not handed out again.
A record lost before it was durable reads as erased. `erase_many` returns after the zeros are durable; a crash
in the middle leaves some erased and some not, and erasing again finishes it.

What overwriting reaches: the blocks of the file on a file system that writes in place (ext4, xfs). A copying
file system (btrfs, ZFS), snapshots and the spare cells of a flash drive are beyond it; there the disk
itself must be encrypted.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from postkeep.base.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from postkeep.base.files import sync_directory
from postkeep.stores.holes import punch_zeros

MAGIC: Final = b"pk-slots\x01"
HEADER_BYTES: Final = 64
STATE_OFFSET: Final = 32
STATE_BYTES: Final = 8
RECORD_BYTES_MAX: Final = 4096
"""Larger things do not belong in slots: they are sealed, and their key is put in one."""
READ_GAP_BYTES: Final = 16 * 1024
"""Records closer than this are fetched by one read: cheaper than a second system call."""
READ_BYTES_MAX: Final = 1024 * 1024
"""The largest single read, so that a walk over a large file stays small in memory."""


class ErasableSlots:
    """An open file of slots, held exclusively by this process.

    All methods block on the disk, writing ones for one fdatasync (a fraction of a millisecond on a
    solid-state disk); they may be called from several threads.
    """

    def __init__(self, path: Path, record_bytes: int) -> None:
        """Open the file, making it if it is not there (mode 0600).

        ConflictError if another process has it; IntegrityError if it is not a file of such records.
        """
        if not 0 < record_bytes <= RECORD_BYTES_MAX:
            raise InvalidInputError(f"a record has 1 to {RECORD_BYTES_MAX} bytes")
        self.path = path
        self.record_bytes = record_bytes
        self._zeros = bytes(record_bytes)
        self._allocation = threading.Lock()
        self.on_erase: Callable[[Sequence[int]], None] | None = None
        """Hears of slots that were overwritten, once that is durable; called from the thread that did it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        try:
            self._lock()
            self._check_header()
        except BaseException:
            os.close(self._fd)
            raise
        records = os.fstat(self._fd).st_size - HEADER_BYTES
        self._next = -(-records // record_bytes)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError(f"{self.path} is open in another process") from exc

    def _check_header(self) -> None:
        expected = (MAGIC + self.record_bytes.to_bytes(4, "big")).ljust(HEADER_BYTES, b"\x00")
        size = os.fstat(self._fd).st_size
        found = os.pread(self._fd, HEADER_BYTES, 0)
        kept = found[STATE_OFFSET : STATE_OFFSET + STATE_BYTES]
        if found[:STATE_OFFSET] + bytes(len(kept)) + found[STATE_OFFSET + STATE_BYTES :] == expected:
            return
        # A crash while the file was being made leaves at most a part of the header.
        if size > HEADER_BYTES or (found.strip(b"\x00") and not expected.startswith(found)):
            raise IntegrityError(f"{self.path} is not a file of {self.record_bytes}-byte slots")
        _write(self._fd, expected, 0)
        os.fsync(self._fd)
        sync_directory(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many slots were ever handed out."""
        return self._next

    @property
    def size_bytes(self) -> int:
        """How many bytes the file takes."""
        return HEADER_BYTES + self._next * self.record_bytes

    @property
    def state(self) -> int:
        """The number that the owner keeps with the slots; 0 at first."""
        return int.from_bytes(os.pread(self._fd, STATE_BYTES, STATE_OFFSET), "big")

    def set_state(self, state: int) -> None:
        """Keep a number, durably: eight bytes within one sector, so old or new after a crash."""
        _write(self._fd, state.to_bytes(STATE_BYTES, "big"), STATE_OFFSET)
        os.fdatasync(self._fd)

    def write_many(self, records: Sequence[bytes]) -> range:
        """Store records durably; return their slot numbers in order. One write, one sync for all."""
        slots = self.put_many(records)
        if slots:
            self.sync()
        return slots

    def put_many(self, records: Sequence[bytes]) -> range:
        """Write records as `write_many` does, but not durably: `sync` before anything refers to them."""
        if not records:
            return range(self._next, self._next)
        joined = b"".join(records)
        if len(joined) != len(records) * self.record_bytes or self._zeros in records:
            raise InvalidInputError("a record has the wrong size, or is all zeros, which means erased")
        with self._allocation:
            first = self._next
            self._next = first + len(records)
        _write(self._fd, joined, self._offset(first))
        return range(first, first + len(records))

    def sync(self) -> None:
        """Make all records durable that were put before."""
        os.fdatasync(self._fd)

    def read_many(self, slots: Sequence[int]) -> list[bytes | None]:
        """Return the records in the order asked; None where one is erased or was never written."""
        found: dict[int, bytes] = {}
        size, zeros = self.record_bytes, self._zeros
        for first, count in _runs(slots, READ_GAP_BYTES // size, max(1, READ_BYTES_MAX // size)):
            data = os.pread(self._fd, count * size, self._offset(first))
            for at in range(0, len(data) - size + 1, size):
                record = data[at : at + size]
                if record != zeros:
                    found[first + at // size] = record
        return [found.get(slot) for slot in slots]

    def read(self, slot: int) -> bytes:
        """Return one record; raise NotFoundError where it is erased or was never written."""
        record = self.read_many((slot,))[0]
        if record is None:
            raise NotFoundError(f"slot {slot} is erased")
        return record

    def erase_many(self, slots: Iterable[int]) -> None:
        """Overwrite records with zeros, durably. Erasing them again changes nothing."""
        known = [slot for slot in slots if slot < self._next]
        if not known:
            return
        for first, count in _runs(known, 0, READ_BYTES_MAX // self.record_bytes):
            _write(self._fd, bytes(count * self.record_bytes), self._offset(first))
        os.fdatasync(self._fd)
        if self.on_erase is not None:
            self.on_erase(known)

    def dump(self, offset: int, length: int) -> bytes:
        """Return octets of the file as they are, header included: a part of a copy of it."""
        end = self.size_bytes
        data = os.pread(self._fd, max(0, min(length, end - offset)), offset)
        return data.ljust(max(0, min(length, end - offset)), b"\x00")  # handed out, but not written yet

    def erased(self, begin: int, end: int) -> list[int]:
        """Return which slots from `begin` to below `end` are erased, as first, count, first, count ..."""
        end = min(end, self._next)
        slots = range(begin, end)
        runs: list[int] = []
        for slot, record in zip(slots, self.read_many(slots), strict=True):
            if record is not None:
                continue
            if runs and runs[-2] + runs[-1] == slot:
                runs[-1] += 1
            else:
                runs += (slot, 1)
        return runs

    def erase_part(self, slots: Iterable[int], offset: int, length: int) -> None:
        """Overwrite `length` bytes at `offset` of each record with zeros, durably; the rest of it stays."""
        if not 0 <= offset < offset + length <= self.record_bytes:
            raise InvalidInputError("a part of a record lies within it")
        for slot in slots:
            if slot < self._next:
                _write(self._fd, bytes(length), self._offset(slot) + offset)
        os.fdatasync(self._fd)

    def punch(self, begin: int, end: int) -> int:
        """Give back the blocks in which every slot from `begin` to below `end` is erased; return the octets.

        Every write to these slots must have ended. Reading them goes on as before.
        """
        return punch_zeros(self._fd, self._offset(begin), self._offset(min(end, self._next)))

    def close(self) -> None:
        """Close the file and let another process have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _offset(self, slot: int) -> int:
        return HEADER_BYTES + slot * self.record_bytes


def _runs(slots: Iterable[int], gap: int, length_max: int) -> Iterator[tuple[int, int]]:
    """Gather slots into runs (first, count), bridging at most `gap` slots that were not asked for."""
    first = end = -1
    for slot in sorted(set(slots)):
        if slot < 0:
            raise InvalidInputError("slot numbers are not negative")
        if end >= 0 and slot - end <= gap and slot - first < length_max:
            end = slot + 1
            continue
        if end >= 0:
            yield first, end - first
        first, end = slot, slot + 1
    if end >= 0:
        yield first, end - first


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data`: a short write is not an error to the system, but it is to us."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
