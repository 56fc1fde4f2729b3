"""Segments as a search reads them: heads and rows of the index in memory for a while, texts as needed.

Nothing that the vault says of a segment is believed. It opens only under its own name in its own mailbox; its
head must be of just the messages, with just the bodies, that the client's view of the block has; every part
is authenticated at its place. What is not so is as if it were not there, and the texts are read instead.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

import structlog

from postkeep.base.errors import IntegrityError
from postkeep.crypto.chunked import CHUNK_BYTES, HEAD_BYTES, SEALED_CHUNK_BYTES, plain_length
from postkeep.crypto.message import open_segment_span
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.place import Place
from postkeep.faces.imap.segment_layout import (
    Head,
    candidates,
    digest_of,
    read_head,
    row_in,
    row_offset,
    rows_for,
    text_spans,
)
from postkeep.services.delivery.searchtext import SearchText, decode
from postkeep.services.vault.search_api import FetchSegmentParts, FetchSegments, SealedSegment, SegmentRange

CACHE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Heads and rows kept for one selected mailbox."""
PART_BYTES_MAX: Final = 4 * 1024 * 1024
"""Octets of segments asked of the vault at once, and held."""
RUNS_MAX: Final = 100
"""Places in a segment that are read before other clients get a turn."""
_FIRST_OCTETS: Final = HEAD_BYTES + SEALED_CHUNK_BYTES
"""The head of a segment, in its first chunk."""

_log = structlog.get_logger(__name__)


class Block(NamedTuple):
    """A block as the client sees it, and what of it is searched."""

    number: int
    uids: "array[int]"
    """All of its messages, ascending."""
    bodies: bytes
    """Their bodies' names, 16 octets each."""
    wanted: int
    """The messages to look at, as bits."""


@dataclass(slots=True)
class Segment:
    """A segment that has been found right."""

    block: int
    uids: "array[int]"
    body: bytes
    key: bytes
    total: int
    sealed_head: bytes
    head: Head
    chunks: dict[int, bytes] = field(default_factory=dict)
    """Chunks of the index that have been read, by number."""

    @property
    def octets(self) -> int:
        """What it takes in memory, about."""
        return CHUNK_BYTES * (1 + len(self.chunks))


class SegmentCache:
    """The segments of one selected mailbox, the least used forgotten."""

    def __init__(self) -> None:
        self._segments: OrderedDict[int, Segment] = OrderedDict()
        self.useless: dict[int, bytes] = {}
        """Segments that are not right, by block: whoever makes a new one names what it replaces."""
        self.making = False
        """Whether missing segments are being made."""

    def get(self, block: Block) -> Segment | None:
        """Return the segment of a block if it is known."""
        found = self._segments.get(block.number)
        if found is not None and found.uids != block.uids:
            del self._segments[block.number]
            return None
        return found

    def put(self, segment: Segment) -> None:
        """Remember a segment, or that it has grown."""
        self._segments[segment.block] = segment
        self._segments.move_to_end(segment.block)

    def forget(self, block: int) -> None:
        """Forget a segment that the vault has no more."""
        self._segments.pop(block, None)

    def shrink(self) -> None:
        """Keep the newest within the limit."""
        octets = sum(segment.octets for segment in self._segments.values())
        while octets > CACHE_BYTES_MAX and len(self._segments) > 1:
            octets -= self._segments.popitem(last=False)[1].octets


class SegmentReader:
    """One search in the segments of a mailbox."""

    def __init__(self, account: Account, place: Place, cache: SegmentCache) -> None:
        self._account = account
        self._place = place
        self._cache = cache

    async def find(
        self, blocks: Sequence[Block], needle: str, *, in_header: bool
    ) -> tuple[set[int], list[Block]]:
        """Return the UIDs that hold a needle, and the blocks, or what is left of them, whose texts have to be
        read one by one."""
        segments = await self._segments(blocks)
        rows = {number: rows_for(needle, segment.head.rows) for number, segment in segments.items()}
        for number in await self._need_rows(segments, rows):
            del segments[number]
        left = [block for block in blocks if block.number not in segments]
        wanted = needle.encode("utf-8", "replace")
        found: set[int] = set()
        looks = chain.from_iterable(
            _looks(block, segments[block.number], rows[block.number])
            for block in blocks
            if block.number in segments
        )
        for batch in _batches(looks):
            parts = iter(await self._parts([part for look in batch for part in look.ranges()]))
            for look in batch:
                unread = 0
                for number, text in self._texts(look, parts):
                    if text is not None and holds(text, wanted, in_header=in_header):
                        found.add(look.block.uids[number])
                    elif text is None or text.cut:
                        unread |= 1 << number
                if unread:
                    left.append(look.block._replace(wanted=unread))
                await asyncio.sleep(0)
        self._cache.shrink()
        return found, left

    async def _segments(self, blocks: Sequence[Block]) -> dict[int, Segment]:
        """Return the segments of blocks that have a right one, from memory or from the vault."""
        known: dict[int, Segment] = {}
        missing: dict[int, Block] = {}
        for block in blocks:
            segment = self._cache.get(block)
            if segment is None:
                missing[block.number] = block
            else:
                known[block.number] = segment
        waiting = [(number, number) for number in sorted(missing)]
        while waiting:
            answer = await self._account.keepers.vault.segments(
                FetchSegments(self._place.principal, self._place.mailbox, waiting, _FIRST_OCTETS),
                ticket=self._account.ticket,
            )
            await self._place.keyring.need({item.epoch for item in answer.segments}, self._account.ticket)
            for item in answer.segments:
                if item.block not in missing:
                    continue
                segment = self._open(item, missing[item.block])
                if segment is not None:
                    known[item.block] = segment
                    self._cache.put(segment)
            last = answer.segments[-1].block if answer.more and answer.segments else None
            waiting = [] if last is None else [pair for pair in waiting if pair[0] > last]
        return known

    def _open(self, item: SealedSegment, block: Block) -> Segment | None:
        """Open the head of a segment; None: it is of no use."""
        if self._cache.useless.get(item.block) == item.body:
            return None
        try:
            key = self._place.keyring.message_key("content", item)
            total = plain_length(item.total)
            first = self._open_span(key, item.body, item.first[:HEAD_BYTES], item.total, 0, item.first)
            head = read_head(first, digest_of(self._place.mailbox, block.uids, block.bodies), total)
        except IntegrityError as exc:
            _log.warning("imap_segment_useless", block=item.block, reason=exc.detail)
            self._cache.useless[item.block] = item.body
            return None
        return Segment(item.block, block.uids, item.body, key, item.total, item.first[:HEAD_BYTES], head)

    def _open_span(  # noqa: PLR0917 - a range of a sealed value is many things
        self, key: bytes, body: bytes, sealed_head: bytes, total: int, chunk: int, data: bytes
    ) -> bytes:
        """Open whole chunks, from this one on; `data` begins with the sealed head where it is chunk 0."""
        offset = HEAD_BYTES + chunk * SEALED_CHUNK_BYTES
        return open_segment_span(
            key,
            self._account.tenant,
            body,
            self._place.mailbox,
            sealed_head,
            total,
            offset,
            memoryview(data)[0 if chunk else HEAD_BYTES :],
        )

    async def _need_rows(self, segments: dict[int, Segment], rows: dict[int, list[int]]) -> list[int]:
        """Have the chunks that rows lie in; return the blocks where they can't be had."""
        needed: list[tuple[Segment, int]] = []
        for number, segment in segments.items():
            chunks = {row_offset(row) // CHUNK_BYTES for row in rows[number]}
            needed += ((segment, chunk) for chunk in sorted(chunks - segment.chunks.keys()))
        parts = await self._parts([_range(segment, chunk, chunk) for segment, chunk in needed])
        failed = []
        for (segment, chunk), data in zip(needed, parts, strict=True):
            opened = self._open_part(segment, chunk, data)
            if opened is None:
                failed.append(segment.block)
            else:
                segment.chunks[chunk] = opened
                self._cache.put(segment)
        return list(dict.fromkeys(failed))

    def _open_part(self, segment: Segment, chunk: int, data: bytes) -> bytes | None:
        """Open chunks of a segment; None, and it is forgotten, where they are not there or not right."""
        if not data:
            self._cache.forget(segment.block)
            return None
        try:
            return self._open_span(segment.key, segment.body, segment.sealed_head, segment.total, chunk, data)
        except IntegrityError as exc:
            _log.warning("imap_segment_useless", block=segment.block, reason=exc.detail)
            self._cache.useless[segment.block] = segment.body
            self._cache.forget(segment.block)
            return None

    async def _parts(self, ranges: Sequence[SegmentRange]) -> list[bytes]:
        """Read parts of segments; what is not there is empty."""
        parts: list[bytes] = []
        while len(parts) < len(ranges):
            answer = await self._account.keepers.vault.segment_parts(
                FetchSegmentParts(self._place.principal, self._place.mailbox, list(ranges[len(parts) :])),
                ticket=self._account.ticket,
            )
            if not answer.parts:
                break
            parts += answer.parts
        return [*parts, *[b""] * (len(ranges) - len(parts))]

    def _texts(self, look: "_Look", parts: Iterator[bytes]) -> Iterator[tuple[int, SearchText | None]]:
        """Yield the texts that a look wants; None: it can't be had."""
        for run in look.runs:
            plain = self._open_part(look.segment, run.first, next(parts))
            start = run.first * CHUNK_BYTES
            for number, offset, length in run.texts:
                yield number, _decoded(plain, offset - start, length)


def holds(text: SearchText, wanted: bytes, *, in_header: bool) -> bool:
    """Whether a text holds a needle."""
    return wanted in text.body or (in_header and wanted in text.header)


def _decoded(plain: bytes | None, at: int, length: int) -> SearchText | None:
    try:
        return None if plain is None else decode(plain[at : at + length])
    except IntegrityError:  # made by another release
        return None


class _Run(NamedTuple):
    """Chunks in a row, and the texts in them: number, offset, length."""

    first: int
    last: int
    texts: list[tuple[int, int, int]]


class _Look(NamedTuple):
    """Some texts of a segment that are to be looked at."""

    block: Block
    segment: Segment
    runs: list[_Run]

    @property
    def octets(self) -> int:
        """How much is read for it."""
        return sum(run.last - run.first + 1 for run in self.runs) * CHUNK_BYTES

    def ranges(self) -> list[SegmentRange]:
        """Return what is read for it."""
        return [_range(self.segment, run.first, run.last) for run in self.runs]


def _looks(block: Block, segment: Segment, rows: Sequence[int]) -> Iterator[_Look]:
    """Yield looks at the texts that may hold what is in all of these rows, a bounded size each."""
    found = (row_in(segment.chunks[row_offset(row) // CHUNK_BYTES], row) for row in rows)
    bits = candidates(found, len(block.uids)) & block.wanted
    numbers = [number for number in range(len(block.uids)) if bits >> number & 1]
    runs: list[_Run] = []
    octets = 0
    for number, (offset, length) in zip(numbers, text_spans(segment.head, numbers), strict=True):
        first, last = offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES
        if octets > PART_BYTES_MAX // 4 or len(runs) >= RUNS_MAX:
            yield _Look(block, segment, runs)
            runs, octets = [], 0
        if runs and first <= runs[-1].last + 1:
            runs[-1] = _Run(runs[-1].first, last, runs[-1].texts)
        else:
            runs.append(_Run(first, last, []))
        runs[-1].texts.append((number, offset, length))
        octets += length
    if runs:
        yield _Look(block, segment, runs)


def _range(segment: Segment, first: int, last: int) -> SegmentRange:
    """Name whole chunks of a segment."""
    begin = HEAD_BYTES + first * SEALED_CHUNK_BYTES
    end = min(HEAD_BYTES + (last + 1) * SEALED_CHUNK_BYTES, segment.total)
    return SegmentRange(segment.block, segment.body, begin, end - begin)


def _batches(looks: Iterable[_Look]) -> Iterator[list[_Look]]:
    batch: list[_Look] = []
    octets = 0
    for look in looks:
        if batch and octets + look.octets > PART_BYTES_MAX:
            yield batch
            batch, octets = [], 0
        batch.append(look)
        octets += look.octets
    if batch:
        yield batch
