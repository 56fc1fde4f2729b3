"""Takes an export out of its file: offline, and as a whole or not at all.

Everything goes to a directory beside the one that is wanted, which takes its name only when the last octet
has been read, every message has been compared with its manifest, and the counts agree.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from postkeep.base.errors import ConflictError, IntegrityError
from postkeep.services.export import contents
from postkeep.services.export.members import Member, MemberReader
from postkeep.services.export.sealed_file import SealedReader

JSON_BYTES_MAX: Final = 64 * 1024 * 1024
"""Octets of a member that is read as a whole: the list of ten thousand mailboxes has some three million."""
UNLISTED_MAX: Final = 10_000
"""Messages before their manifest: ten times what one page has."""

T = TypeVar("T")


def unpack(reader: SealedReader, directory: Path) -> tuple[contents.Head, contents.End]:
    """Write everything of an export into a new directory; return its first and last member.

    IntegrityError for whatever is altered, missing or out of place: nothing is left then. ConflictError where
    something has the directory's name.
    """
    if os.path.lexists(directory):
        raise ConflictError(
            code="conflict.directory", public_text=f"{directory} is there already: name a new directory."
        )
    part = directory.with_name(f".{directory.name}.{os.getpid()}.part")
    part.mkdir(mode=0o700)
    try:
        found = _Unpacking(part).run(reader)
        part.rename(directory)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return found


class _Unpacking:
    """The members in their order, and what they must add up to."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._unlisted: dict[str, tuple[int, str]] = {}
        """Messages that no manifest has named yet: size and SHA-256."""
        self._messages = self._unreadable = self._octets = self._manifests = 0
        self._digest = hashlib.sha256()

    def run(self, reader: SealedReader) -> tuple[contents.Head, contents.End]:
        members = MemberReader(reader.read)
        head = _decoded(self._json(members, self._named(members, contents.HEAD)), contents.Head)
        if head.format != contents.FORMAT:
            raise IntegrityError("an export of another format")
        if not (head.address + head.approved).isprintable():  # they are shown on a terminal
            raise IntegrityError("an export that would write on the terminal what it likes")
        _decoded(self._json(members, self._named(members, contents.MAILBOXES)), list[contents.Box])
        while True:
            member = _checked(members.next())
            if member.name.startswith("mail/"):
                self._message(members, member)
            elif member.name == contents.manifest_name(self._manifests + 1):
                self._manifest(self._json(members, member))
            else:
                break
        if member.name != contents.END:
            raise IntegrityError(f"{member.name} is out of place")
        end = _decoded(self._json(members, member), contents.End)
        if members.next() is not None:
            raise IntegrityError("an export goes on after its end")
        reader.finish()
        self._check(end)
        return head, end

    @staticmethod
    def _named(members: MemberReader, name: str) -> Member:
        member = _checked(members.next())
        if member.name != name:
            raise IntegrityError(f"{name} is missing")
        return member

    def _json(self, members: MemberReader, member: Member) -> bytes:
        """Read a member as a whole, and keep it as a file."""
        if member.size > JSON_BYTES_MAX:
            raise IntegrityError(f"{member.name} is too large")
        octets = bytearray()
        members.octets(member, octets.extend)
        self._create(member).write_bytes(octets)
        return bytes(octets)

    def _message(self, members: MemberReader, member: Member) -> None:
        digest = hashlib.sha256()
        path = self._create(member)
        with path.open("wb") as file:

            def take(piece: bytes) -> None:
                digest.update(piece)
                file.write(piece)

            members.octets(member, take)
        os.utime(path, (member.time_s, member.time_s))
        self._unlisted[member.name] = (member.size, digest.hexdigest())
        if len(self._unlisted) > UNLISTED_MAX:
            raise IntegrityError("messages without a manifest")

    def _create(self, member: Member) -> Path:
        """Make an empty file of a member's name; no name is taken twice."""
        path = self._place / member.name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except FileExistsError as exc:
            raise IntegrityError(f"{member.name} is there twice") from exc
        return path

    def _manifest(self, octets: bytes) -> None:
        self._manifests += 1
        self._digest.update(octets)
        for text in octets.splitlines():
            line = _decoded(text, contents.Line)
            if not line.path:
                self._unreadable += 1
            elif self._unlisted.pop(line.path, None) != (line.size, line.sha256):
                raise IntegrityError(f"{line.path} is not what its manifest says")
            elif line.damaged:
                (self._place / line.path).unlink()
                self._unreadable += 1
            else:
                self._messages += 1
                self._octets += line.size

    def _check(self, end: contents.End) -> None:
        counted = contents.End(self._messages, self._unreadable, self._octets, self._digest.hexdigest())
        if self._unlisted or end != counted:
            raise IntegrityError("the counts of an export do not agree")


def _checked(member: Member | None) -> Member:
    if member is None or not contents.NAME.fullmatch(member.name):
        raise IntegrityError("a member of an export has no name that it may have")
    return member


def _decoded(octets: bytes, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(octets, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise IntegrityError("a member of an export can't be read") from exc
