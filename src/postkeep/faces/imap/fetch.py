"""FETCH: rows from the view, summaries and content from the vault, written in batches as they come."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from postkeep.faces.imap.limits import (
    CONTENT_BYTES_PER_CALL,
    ROWS_PER_WRITE,
    SUMMARIES_PER_CALL,
)
from postkeep.faces.imap.opening import Piece, group, open_pieces, open_summaries, stream_piece
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.sections import (
    Span,
    cut,
    find_part,
    is_filtered,
    locate,
    select_header,
)
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.view import batches, runs_of
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Fetch
from postkeep.protocols.imap.dates import render_date_time
from postkeep.protocols.imap.fetch import Attribute, BinarySection, BodySection, FetchItem
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.delivery.summary import Summary
from postkeep.services.vault.api import StoreFlags

_FROM_SUMMARY = {Attribute.ENVELOPE, Attribute.BODYSTRUCTURE, Attribute.BODY}


class Plan(NamedTuple):
    """What the items need."""

    items: tuple[FetchItem, ...]
    sections: tuple[BodySection | BinarySection, ...]
    summaries: bool
    marks_seen: bool


def plan(command: Fetch, *, condstore: bool) -> Plan:
    """Decide what to ask of the vault for these items."""
    items: list[FetchItem] = list(command.items)
    if command.uid and Attribute.UID not in items:
        items.insert(0, Attribute.UID)
    if command.changed_since is not None and Attribute.MODSEQ not in items:
        items.append(Attribute.MODSEQ)
    if condstore and Attribute.FLAGS in items and Attribute.MODSEQ not in items:
        items.append(Attribute.MODSEQ)
    sections = tuple(item for item in items if isinstance(item, BodySection | BinarySection))
    return Plan(
        tuple(items),
        sections,
        summaries=any(item in _FROM_SUMMARY or _needs_offsets(item) for item in items),
        marks_seen=any(_marks_seen(item) for item in sections),
    )


async def fetch(session: Session, tag: bytes, command: Fetch) -> Completion:
    """Answer FETCH and UID FETCH."""
    del tag
    selected = session.need_selected()
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.condstore = True
    wanted = plan(command, condstore=session.condstore)
    runs = selected.positions(command.sequence, uid=command.uid)
    if command.changed_since is not None:
        modseqs = selected.view.modseqs
        since = command.changed_since
        runs = runs_of(at for run in runs for at in run if modseqs[at] > since)
    missing = 0
    for batch in batches(runs, SUMMARIES_PER_CALL if wanted.summaries or wanted.sections else ROWS_PER_WRITE):
        positions = [at for run in batch for at in run]
        seen = await _mark_seen(session, selected, positions) if wanted.marks_seen else frozenset()
        missing += await _Batch(session, selected, wanted, seen).write(positions)
        await asyncio.sleep(0)  # other clients get a turn between batches
    if missing and not command.uid:
        raise CommandError(Text.SOME_EXPUNGED, "EXPUNGEISSUED")
    return Completion(completed("FETCH"))


async def _mark_seen(session: Session, selected: Selected, positions: Sequence[int]) -> frozenset[int]:
    """Flag messages as seen where they are not yet; return those positions."""
    view = selected.view
    unseen = [at for at in positions if "\\Seen" not in view.flags(at)]
    if selected.read_only or not unseen:
        return frozenset()
    account = session.need_account()
    stored = await account.keepers.vault.store_flags(
        StoreFlags(
            account.principal,
            selected.mailbox,
            view.uid_ranges(runs_of(unseen)),
            "add",
            ("\\Seen",),
        ),
        ticket=account.ticket,
    )
    return frozenset(selected.apply_own(stored.rows))


class _Batch:
    """One batch of messages of one command."""

    def __init__(self, session: Session, selected: Selected, wanted: Plan, seen: frozenset[int]) -> None:
        self._session = session
        self._account = session.need_account()
        self._selected = selected
        self._plan = wanted
        self._seen = seen

    async def write(self, positions: Sequence[int]) -> int:
        """Write the answers; return how many messages turned out to be gone."""
        view = self._selected.view
        summaries: dict[int, Summary] = {}
        present = positions
        if self._plan.summaries:
            uids = view.uid_ranges(runs_of(positions))
            summaries = await open_summaries(self._account, self._selected.mailbox, uids)
            present = [at for at in positions if view.uids[at] in summaries]
        if not self._plan.sections:
            lines = [self._answer(at, summaries.get(view.uids[at]), {}) for at in present]
            await self._session.send(b"".join(lines))
            return len(positions) - len(present)
        gone = 0
        waiting: list[tuple[int, Summary | None, list[Piece]]] = []
        held = 0
        for at in present:
            summary = summaries.get(view.uids[at])
            pieces = self._pieces(at, summary)
            octets = sum(piece.length for piece in pieces)
            if waiting and held + octets > CONTENT_BYTES_PER_CALL:
                gone += await self._write_contents(waiting)
                waiting, held = [], 0
            waiting.append((at, summary, pieces))
            held += octets
        if waiting:
            gone += await self._write_contents(waiting)
        return len(positions) - len(present) + gone

    def _pieces(self, at: int, summary: Summary | None) -> list[Piece]:
        """Return the range to read for each section, in their order; nothing to read: of no length."""
        view = self._selected.view
        uid, size = view.uids[at], view.sizes[at]
        return [Piece(uid, size, *(_span(summary, size, item) or Span(0, 0))) for item in self._plan.sections]

    async def _write_contents(self, waiting: list[tuple[int, Summary | None, list[Piece]]]) -> int:
        first = waiting[0]
        if len(waiting) == 1 and sum(piece.length for piece in first[2]) > CONTENT_BYTES_PER_CALL:
            return await self._stream(*first)
        pieces = [piece for _, _, of_message in waiting for piece in of_message]
        opened: list[bytes | None] = []
        for part in group(pieces):
            opened += await open_pieces(self._account, self._selected.mailbox, part)
        lines = []
        gone = 0
        data = iter(zip(pieces, opened, strict=True))
        for at, summary, of_message in waiting:
            values = [next(data) for _ in of_message]
            if any(value is None and piece.length for piece, value in values):
                gone += 1
                continue
            rendered: dict[FetchItem, bytes] = {
                item: _render(item, summary, value or b"")
                for item, (_, value) in zip(self._plan.sections, values, strict=True)
            }
            lines.append(self._answer(at, summary, rendered))
        await self._session.send(b"".join(lines))
        return gone

    async def _stream(self, at: int, summary: Summary | None, pieces: list[Piece]) -> int:
        """Write one large message piece by piece: no more of it is held than one call brings."""
        send = self._session.send
        others = tuple(item for item in self._plan.items if item not in self._plan.sections)
        head = self._values(at, summary, {}, others)
        await send(b"* %d FETCH (%b" % (at + 1, b" ".join(head)))
        started = bool(head)
        for item, piece in zip(self._plan.sections, pieces, strict=True):
            await send(b" " if started else b"")
            started = True
            if isinstance(item, BinarySection) or is_filtered(item.section) or not piece.length:
                (value,) = await open_pieces(self._account, self._selected.mailbox, [piece])
                if value is None and piece.length:
                    self._session.abort()
                    return 1
                await send(_render(item, summary, value or b""))
                continue
            await send(responses.section_name(item) + b" " + responses.literal_head(piece.length))
            async for value in stream_piece(self._account, self._selected.mailbox, piece):
                if value is None:  # expunged in the middle of its literal: there is no way to say so
                    self._session.abort()
                    return 1
                await send(value)
        await send(b")\r\n")
        return 0

    def _answer(self, at: int, summary: Summary | None, rendered: dict[FetchItem, bytes]) -> bytes:
        return responses.fetch(at + 1, self._values(at, summary, rendered, self._plan.items))

    def _values(
        self,
        at: int,
        summary: Summary | None,
        rendered: dict[FetchItem, bytes],
        items: Sequence[FetchItem],
    ) -> list[bytes]:
        values = [
            rendered[item] if not isinstance(item, Attribute) else self._attribute(at, item, summary)
            for item in items
        ]
        if at in self._seen and Attribute.FLAGS not in items:
            values.append(self._attribute(at, Attribute.FLAGS, None))
            if self._session.condstore and Attribute.MODSEQ not in items:
                values.append(self._attribute(at, Attribute.MODSEQ, None))
        return values

    def _attribute(self, at: int, item: Attribute, summary: Summary | None) -> bytes:
        view = self._selected.view
        match item:
            case Attribute.UID:
                return b"UID %d" % view.uids[at]
            case Attribute.FLAGS:
                return b"FLAGS " + self._selected.render_flags(at)
            case Attribute.INTERNALDATE:
                return b"INTERNALDATE " + render_date_time(view.dates_ms[at])
            case Attribute.RFC822_SIZE:
                return b"RFC822.SIZE %d" % view.sizes[at]
            case Attribute.MODSEQ:
                return b"MODSEQ (%d)" % view.modseqs[at]
        assert summary is not None
        if item is Attribute.ENVELOPE:
            return b"ENVELOPE " + summary.envelope
        if item is Attribute.BODY:
            return b"BODY " + summary.body
        return b"BODYSTRUCTURE " + summary.bodystructure


def _marks_seen(item: BodySection | BinarySection) -> bool:
    return not item.peek and not (isinstance(item, BinarySection) and item.size)


def _needs_offsets(item: FetchItem) -> bool:
    """Whether the summary has to say where the octets lie: not for the whole message."""
    if isinstance(item, BodySection):
        return bool(item.section.part or item.section.text)
    return isinstance(item, BinarySection) and bool(item.part)


def _span(summary: Summary | None, size: int, item: BodySection | BinarySection) -> Span | None:
    """Return the octets to read for an item; None: NIL."""
    if summary is None or not _needs_offsets(item):
        partial = item.partial if isinstance(item, BodySection) else None
        return cut(Span(0, size), partial)
    if isinstance(item, BodySection):
        found = locate(summary, item.section)
        return found if found is None or is_filtered(item.section) else cut(found, item.partial)
    part = find_part(summary, item.part)
    return None if part is None else Span(part.body_offset, part.body_length)


def _render(item: BodySection | BinarySection, summary: Summary | None, octets: bytes) -> bytes:
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


def _cut_octets(octets: bytes, item: BodySection | BinarySection) -> bytes:
    start, length = cut(Span(0, len(octets)), item.partial)
    return octets[start : start + length]
