"""The inside of an export: a sequence of named members, in the form of a tar archive with plain files only.

Source: POSIX.1-2017 pax, "ustar interchange format". Names are ours and short; nothing else of the format is
used or understood: no links, no directories, no extensions.
"""

import tarfile
from collections.abc import Callable
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError, LimitError

BLOCK_BYTES: Final = tarfile.BLOCKSIZE
MEMBER_BYTES_MAX: Final = 512 * 1024 * 1024
"""Octets of one member: more than the vault takes as a message."""
PIECE_BYTES: Final = 1024 * 1024
"""Octets read at once."""
TIME_S_MAX: Final = 2**33 - 1
"""Seconds: what eleven octal digits hold, the year 2242."""
_END: Final = bytes(2 * BLOCK_BYTES)


class Member(NamedTuple):
    """What stands before a member's octets."""

    name: str
    size: int
    time_s: int


class MemberWriter:
    """Writes members one after the other."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._left = 0
        self._padding = 0

    def begin(self, member: Member) -> None:
        """Begin a member, once the one before it is whole."""
        assert not self._left
        if member.size > MEMBER_BYTES_MAX:
            raise LimitError(f"a member of {member.size} octets")
        info = tarfile.TarInfo(member.name)
        info.size, info.mtime, info.mode = member.size, min(max(0, member.time_s), TIME_S_MAX), 0o600
        self._write(info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"))
        self._left, self._padding = member.size, -member.size % BLOCK_BYTES

    def data(self, octets: bytes) -> None:
        """Write some of the member's octets."""
        assert len(octets) <= self._left
        self._left -= len(octets)
        self._write(octets)
        if not self._left:
            self._write(bytes(self._padding))

    def add(self, name: str, octets: bytes, time_s: int = 0) -> None:
        """Write a whole member."""
        self.begin(Member(name, len(octets), time_s))
        self.data(octets)

    def end(self) -> None:
        """Write what stands after the last member."""
        assert not self._left
        self._write(_END)


class MemberReader:
    """Reads members. `read` returns exactly as many octets as asked for, or raises IntegrityError."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def next(self) -> Member | None:
        """Return the next member, whose octets follow; None after the last one."""
        block = self._read(BLOCK_BYTES)
        if not any(block):
            if any(self._read(BLOCK_BYTES)):
                raise IntegrityError("an export goes on after its end")
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as exc:
            raise IntegrityError("not a member of an export") from exc
        if info.type != tarfile.REGTYPE or not 0 <= info.size <= MEMBER_BYTES_MAX:
            raise IntegrityError("an export holds plain files only, and none so large")
        if not 0 <= info.mtime <= TIME_S_MAX:
            raise IntegrityError("a member of an export is of no possible time")
        return Member(info.name, info.size, int(info.mtime))

    def octets(self, member: Member, take: Callable[[bytes], object]) -> None:
        """Hand on a member's octets, in pieces."""
        left = member.size
        while left:
            piece = self._read(min(left, PIECE_BYTES))
            take(piece)
            left -= len(piece)
        if any(self._read(-member.size % BLOCK_BYTES)):
            raise IntegrityError("an export hides something between its members")
