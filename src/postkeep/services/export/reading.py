"""An export under way: pages of sealed mail and their keys become members, one call to vault and kms each.

What is in memory at any time is one page. What can't be opened is named in the manifest and left out.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from postkeep.base.errors import ConflictError, IntegrityError
from postkeep.crypto import chunked
from postkeep.crypto.message import open_content_span, open_name, unwrap_key
from postkeep.model.selection import Selection
from postkeep.services.export import contents
from postkeep.services.export.keys import Keepers, KeyWindow
from postkeep.services.export.members import Member, MemberWriter
from postkeep.services.vault.api import MailboxRow, SealedContent
from postkeep.services.vault.export_api import ExportBegin, ExportedMessage, ExportPage

PIECE_BYTES: Final = 480 * chunked.SEALED_CHUNK_BYTES
"""Octets of a large message in one page, whole chunks: below the 8 MiB that the vault answers with."""
USUAL_NAMES: Final = {
    "inbox": "INBOX",
    "sent": "Sent",
    "drafts": "Drafts",
    "trash": "Trash",
    "junk": "Junk",
    "archive": "Archive",
}

_json: Final = msgspec.json.Encoder()


class Subject(NamedTuple):
    """What is exported."""

    head: contents.Head
    tenant: bytes
    principal: bytes
    selection: Selection


class _Open(NamedTuple):
    """A message that is being written."""

    line: contents.Line
    left: int
    digest: "hashlib._Hash"


class Exporter:
    """Writes one export. `keepers` gives whom to ask now, as tickets end and are renewed."""

    def __init__(
        self,
        subject: Subject,
        keepers: Callable[[], Awaitable[Keepers]],
        write: Callable[[bytes], None],
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        """`write` takes the members' octets in the clear; `progress`: messages done, and of how many."""
        self._subject = subject
        self._keepers = keepers
        self._members = MemberWriter(write)
        self._progress = progress
        self._keys = KeyWindow(subject.principal)
        self._lines: list[contents.Line] = []
        self._manifests = 0
        self._manifests_digest = hashlib.sha256()
        self._messages = self._unreadable = self._octets = self._total = 0
        self._open: _Open | None = None

    async def run(self) -> contents.End:
        """Write everything; return the last member. If it raises, what was written is no export."""
        subject, keepers = self._subject, await self._keepers()
        self._members.add(contents.HEAD, _json.encode(subject.head))
        begin = ExportBegin(subject.principal, subject.selection)
        begun = await keepers.vault.export_begin(begin, ticket=keepers.ticket)
        self._total = begun.messages
        await self._keys.need(begun.epochs, keepers)
        boxes = [self._box(number, row) for number, row in enumerate(begun.mailboxes, 1)]
        self._members.add(contents.MAILBOXES, _json.encode(boxes))
        for row, box in zip(begun.mailboxes, boxes, strict=True):
            if row.messages:
                await self._mailbox(row.id, box.directory)
        end = contents.End(self._messages, self._unreadable, self._octets, self._manifests_digest.hexdigest())
        self._members.add(contents.END, _json.encode(end))
        self._members.end()
        return end

    def _box(self, number: int, row: MailboxRow) -> contents.Box:
        name = USUAL_NAMES.get(row.role, "")
        if row.name is not None:
            try:
                key = self._keys.wrap_key("metadata", row.name.epoch, row.name.index)
                path = (self._subject.tenant, self._subject.principal, row.id)
                name = open_name(key, *path, row.name.epoch, row.name.index, row.name.sealed)
            except IntegrityError:
                name = row.id.hex()
        directory = contents.directory_of(number, row.role, name)
        return contents.Box(row.id.hex(), name, row.role, row.uid_validity, directory)

    async def _mailbox(self, mailbox: bytes, directory: str) -> None:
        uid, offset = 1, 0
        while uid:
            keepers = await self._keepers()
            room = PIECE_BYTES + (0 if offset else chunked.HEAD_BYTES)
            request = ExportPage(self._subject.principal, self._subject.selection, mailbox, uid, offset, room)
            page = await keepers.vault.export_page(request, ticket=keepers.ticket)
            await self._keys.need(page.epochs, keepers)
            for message in page.messages:
                self._take(mailbox, directory, message)
            if page.next_uid and (page.next_uid, page.next_offset) <= (uid, offset):
                raise IntegrityError("the vault turns in a circle")
            uid, offset = page.next_uid, page.next_offset
            if offset and self._open is None:  # what came of it could not be opened: no more of it
                uid, offset = uid + 1, 0
            if self._open is not None and not offset:
                raise _gone()
            if self._open is None:
                self._manifest()
                self._progress(self._messages + self._unreadable, self._total)

    def _take(self, mailbox: bytes, directory: str, message: ExportedMessage) -> None:
        """Write what has come of a message."""
        part = message.content
        if self._open is None:
            line = contents.Line(mailbox.hex(), message.uid, message.flags, message.internal_date_ms)
            try:
                size = chunked.plain_length(part.total)
                plain = self._plain(part)
            except IntegrityError:
                self._unreadable += 1
                self._lines.append(line)
                return
            path = contents.message_name(directory, message.uid)
            self._members.begin(Member(path, size, message.internal_date_ms // 1000))
            line = msgspec.structs.replace(line, path=path, size=size)
            self._open = _Open(line, size, hashlib.sha256())
        elif (self._open.line.uid, self._open.line.size - self._open.left) != (
            message.uid,
            chunked.span_start(part.offset),
        ):
            raise _gone()
        else:
            try:
                plain = self._plain(part)
            except IntegrityError:
                self._spoil(self._open)
                return
        self._put(self._open, plain)

    def _put(self, opened: _Open, plain: bytes) -> None:
        if len(plain) > opened.left:
            raise IntegrityError("a message is longer than it was")
        opened.digest.update(plain)
        self._members.data(plain)
        left = opened.left - len(plain)
        if left:
            self._open = opened._replace(left=left)
            return
        self._open = None
        self._messages += 1
        self._octets += opened.line.size
        self._lines.append(msgspec.structs.replace(opened.line, sha256=opened.digest.hexdigest()))

    def _spoil(self, opened: _Open) -> None:
        """Fill up a message whose rest can't be opened, as its size has been written: nobody takes it out."""
        left = opened.left
        while left:
            filling = bytes(min(left, chunked.CHUNK_BYTES))
            opened.digest.update(filling)
            self._members.data(filling)
            left -= len(filling)
        self._open = None
        self._unreadable += 1
        digest = opened.digest.hexdigest()
        self._lines.append(msgspec.structs.replace(opened.line, sha256=digest, damaged=True))

    def _plain(self, part: SealedContent) -> bytes:
        subject = self._subject
        path = (subject.tenant, part.body, subject.principal, part.epoch, part.index)
        wrap_key = self._keys.wrap_key("content", part.epoch, part.index)
        key = unwrap_key("content", part.wraps, wrap_key, *path)
        skip = 0 if part.offset else chunked.HEAD_BYTES
        at, data = part.offset + skip, memoryview(part.data)[skip:]
        return open_content_span(key, subject.tenant, part.body, part.head, part.total, at, data)

    def _manifest(self) -> None:
        """Write the lines of the messages since the last one."""
        if not self._lines:
            return
        octets = b"".join(_json.encode(line) + b"\n" for line in self._lines)
        self._manifests += 1
        self._manifests_digest.update(octets)
        self._members.add(contents.manifest_name(self._manifests), octets)
        self._lines.clear()


def _gone() -> ConflictError:
    return ConflictError(
        "a large message has gone while it was read",
        code="conflict.export",
        public_text="The mailbox changed while a large message was read. Give the command again.",
    )
