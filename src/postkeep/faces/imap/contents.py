"""FETCH of parts of messages: the octets that sections name, opened range by range, large ones streamed."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from postkeep.faces.imap.fetch_page import page_of
from postkeep.faces.imap.limits import CONTENT_BYTES_PER_CALL
from postkeep.faces.imap.lines import NO_PAGE, Line, messages
from postkeep.faces.imap.opening import Piece, group, open_pieces, open_summaries, stream_piece
from postkeep.faces.imap.previews import read_previews
from postkeep.faces.imap.sections import (
    Span,
    check_encoding,
    cut,
    find_part,
    is_filtered,
    locate,
    select_header,
)
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Session
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.fetch import Attribute, BinarySection, BodySection, Preview
from postkeep.protocols.imap.sequence import spans_of
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.delivery.summary import Summary
from postkeep.services.vault.api import StoreFlags

Section = BodySection | BinarySection


class Plan(Protocol):
    """What is asked for, as far as it concerns contents."""

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Items that the head of a line holds."""

    @property
    def sections(self) -> tuple[Section, ...]:
        """What is read of each message."""

    @property
    def preview(self) -> Preview | None:
        """Whether PREVIEW is asked for."""

    @property
    def summaries(self) -> bool:
        """Whether summaries are needed."""

    @property
    def marks_seen(self) -> bool:
        """Whether reading sets the flag."""


class Message(NamedTuple):
    """One message on its way out."""

    uid: int
    head: bytes
    """Its line with all attributes, still open."""
    summary: Summary | None
    pieces: list[Piece]
    """The range to read for each section; nothing to read: of no length."""


def marks_seen(item: Section) -> bool:
    """Whether reading this marks a message as seen."""
    return not item.peek and not (isinstance(item, BinarySection) and item.size)


def needs_offsets(item: Section) -> bool:
    """Whether the summary has to say where the octets lie: not for the whole message."""
    if isinstance(item, BodySection):
        return bool(item.section.part or item.section.text)
    return bool(item.part)


class Contents:
    """The messages of one command, batch by batch; their rows are in the view."""

    def __init__(self, session: Session, selected: Selected, wanted: Plan, line: Line) -> None:
        self._session = session
        self._account = session.need_account()
        self._selected = selected
        self._plan = wanted
        self._line = line
        self._flags = Line(
            (Attribute.FLAGS, Attribute.MODSEQ) if session.condstore else (Attribute.FLAGS,), uid_only=False
        )

    async def write(self, batch: Sequence[range]) -> int:
        """Write the answers; return how many messages turned out to be gone."""
        uids = self._selected.view.uids_in(batch)
        summaries: dict[int, Summary] = {}
        present = uids
        if self._plan.summaries:
            summaries = await open_summaries(self._account, self._selected.place, spans_of(uids))
            present = array("I", (uid for uid in uids if uid in summaries))
        seen = await self._mark_seen(present) if self._plan.marks_seen else frozenset()
        page = page_of([summaries[uid] for uid in present]) if self._plan.summaries else NO_PAGE
        found = messages(self._selected, present, page, rows=True)
        heads = self._line.heads(found)
        if seen and Attribute.FLAGS not in self._plan.attributes:
            heads = self._with_flags(found.uids, heads, seen)
        if self._plan.preview is not None:
            previews = await read_previews(self._account, self._selected, found.uids, summaries)
            heads = [
                responses.joined(head, b"PREVIEW " + previews[uid])
                for uid, head in zip(found.uids, heads, strict=True)
            ]
        gone = len(uids) - len(found.uids)
        waiting: list[Message] = []
        held = 0
        for uid, size, head in zip(found.uids, found.rows.sizes, heads, strict=True):
            message = self._message(uid, size, head, summaries.get(uid))
            octets = sum(piece.length for piece in message.pieces)
            if waiting and held + octets > CONTENT_BYTES_PER_CALL:
                gone += await self._write_contents(waiting)
                waiting, held = [], 0
            waiting.append(message)
            held += octets
        if waiting:
            gone += await self._write_contents(waiting)
        return gone

    async def _mark_seen(self, uids: "array[int]") -> frozenset[int]:
        """Flag messages as seen where they are not yet; return their UIDs."""
        selected, account = self._selected, self._account
        view = selected.view
        rows = view.columns_of(uids)
        seen = {number for number, flags in enumerate(view.flag_sets) if "\\Seen" in flags}
        unseen = [
            uid
            for uid, number, there in zip(uids, rows.flags, rows.there, strict=True)
            if there and number not in seen
        ]
        if selected.read_only or not unseen:
            return frozenset()
        place = selected.place
        stored = await account.keepers.vault.store_flags(
            StoreFlags(place.principal, place.mailbox, spans_of(unseen), "add", ("\\Seen",)),
            ticket=account.ticket,
        )
        view.apply_own(stored.columns, stored.highest_modseq)
        return frozenset(array("I", stored.columns.uids))

    def _with_flags(self, uids: "array[int]", heads: Sequence[bytes], seen: frozenset[int]) -> list[bytes]:
        """Add FLAGS for the messages whose flags this command has changed (RFC 3501 section 6.4.5)."""
        changed = array("I", (uid for uid in uids if uid in seen))
        lines = self._flags.heads(messages(self._selected, changed, NO_PAGE, rows=True))
        texts = {uid: line.partition(b"(")[2] for uid, line in zip(changed, lines, strict=True)}
        return [
            responses.joined(head, texts[uid]) if uid in texts else head
            for uid, head in zip(uids, heads, strict=True)
        ]

    def _message(self, uid: int, size: int, head: bytes, summary: Summary | None) -> Message:
        pieces = []
        for item in self._plan.sections:
            if isinstance(item, BinarySection) and summary is not None:
                check_encoding(summary, item.part)
            pieces.append(Piece(uid, size, *(_span(summary, size, item) or Span(0, 0))))
        return Message(uid, head, summary, pieces)

    async def _write_contents(self, waiting: Sequence[Message]) -> int:
        first = waiting[0]
        if len(waiting) == 1 and sum(piece.length for piece in first.pieces) > CONTENT_BYTES_PER_CALL:
            return await self._stream(first)
        pieces = [piece for message in waiting for piece in message.pieces]
        opened: list[bytes | None] = []
        for part in group(pieces):
            opened += await open_pieces(self._account, self._selected.place, part)
        lines = []
        gone = 0
        data = iter(zip(pieces, opened, strict=True))
        for message in waiting:
            values = [next(data) for _ in message.pieces]
            if any(value is None and piece.length for piece, value in values):
                gone += 1
                continue
            line = message.head
            for item, (_, value) in zip(self._plan.sections, values, strict=True):
                line = responses.joined(line, _render(item, message.summary, value or b""))
            lines.append(line + b")\r\n")
        await self._session.send(b"".join(lines))
        return gone

    async def _stream(self, message: Message) -> int:
        """Write one large message piece by piece: no more of it is held than one call brings."""
        send = self._session.send
        place = self._selected.place
        line = message.head
        for item, piece in zip(self._plan.sections, message.pieces, strict=True):
            if isinstance(item, BinarySection) or is_filtered(item.section) or not piece.length:
                (value,) = await open_pieces(self._account, place, [piece])
                if value is None and piece.length:
                    self._session.abort()
                    return 1
                line = responses.joined(line, _render(item, message.summary, value or b""))
                continue
            head = responses.section_name(item) + b" " + responses.literal_head(piece.length)
            await send(responses.joined(line, head))
            line = b" "  # what follows is another item
            async for value in stream_piece(self._account, place, piece):
                if value is None:  # expunged in the middle of its literal: there is no way to say so
                    self._session.abort()
                    return 1
                await send(value)
        await send((b"" if line == b" " else line) + b")\r\n")
        return 0


def _span(summary: Summary | None, size: int, item: Section) -> Span | None:
    """Return the octets to read for an item; None: NIL."""
    if summary is None or not needs_offsets(item):
        partial = item.partial if isinstance(item, BodySection) else None
        return cut(Span(0, size), partial)
    if isinstance(item, BodySection):
        found = locate(summary, item.section)
        return found if found is None or is_filtered(item.section) else cut(found, item.partial)
    part = find_part(summary, item.part)
    return None if part is None else Span(part.body_offset, part.body_length)


def _render(item: Section, summary: Summary | None, octets: bytes) -> bytes:
    """Write a section's name and value from the octets that `_span` named."""
    name = responses.section_name(item) + b" "
    if summary is not None and _span(summary, summary.size, item) is None:
        return name + (b"0" if isinstance(item, BinarySection) and item.size else b"NIL")
    if isinstance(item, BinarySection):
        part = None if summary is None else find_part(summary, item.part)
        octets = undo_encoding(octets, part.encoding if part is not None else "")
        if item.size:
            return name + b"%d" % len(octets)
        octets = _cut_octets(octets, item)
        return name + responses.literal_head(len(octets), binary=True) + octets
    if is_filtered(item.section):
        octets = _cut_octets(select_header(octets, item.section), item)
    return name + responses.literal_head(len(octets)) + octets


def _cut_octets(octets: bytes, item: Section) -> bytes:
    start, length = cut(Span(0, len(octets)), item.partial)
    return octets[start : start + length]
