"""Finding what matches a tree of search keys: candidates piece by piece, each key only on what is still open.

Sequence sets cut the candidates down before anything is read. Then a piece of them at a time is tried: rows,
facts, search texts and headers are read when a key needs them, for the messages that the cheaper keys have
left over. Nothing is kept from one piece to the next, so a search of any mailbox holds one piece in memory.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import accumulate, compress
from typing import Final

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.criteria import Cost, Facts, Rows, cost, ordered
from postkeep.faces.imap.facts import FactsPage
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.masks import Found, full, number, positions_in
from postkeep.faces.imap.opening import Piece, group, open_pieces
from postkeep.faces.imap.pages import read_facts
from postkeep.faces.imap.pieces import pieces
from postkeep.faces.imap.progress import Progress
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.texts_of import Field, find_text
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Header,
    ModSeq,
    Not,
    Numbers,
    Or,
    SearchKey,
    Text,
    leaves,
)
from postkeep.protocols.mime import decode_words, split_fields
from postkeep.services.delivery.searchtext import fold

PIECE_OF_ROWS: Final = 65_504
"""Messages tried at once where rows decide: as many as one answer of the vault holds."""
PIECE_OF_FACTS: Final = 16_384
"""The same where facts are needed: some ten megabytes of texts."""


class Finder:
    """One search."""

    def __init__(self, account: Account, selected: Selected, key: SearchKey, progress: Progress) -> None:
        """Resolve sequence sets; raises CommandError for a message number that is not there."""
        self._account = account
        self._selected = selected
        self._key = ordered(key)
        self._progress = progress
        self._now_ms = account.keepers.clock.now_ms()
        parts = leaves(self._key)
        self._sets = {id(leaf): _resolve(selected, leaf) for leaf in parts if isinstance(leaf, Numbers)}
        self.by_modseq = any(isinstance(leaf, ModSeq) for leaf in parts)

    async def find(self, front: int = 0, back: int = 0) -> Found:
        """Return the positions that match. With `front` or `back`: at least so many from that end, if there
        are as many; the rest may be missing."""
        found = Found(len(self._selected.view))
        costs = {cost(leaf) for leaf in leaves(self._key)}
        size = PIECE_OF_FACTS if costs & {Cost.FACTS, Cost.HEADER} else PIECE_OF_ROWS
        waiting = list(pieces(self._selected.view, self._candidates(), size))
        tried = 0
        done = 0
        while tried < len(waiting) and not (front and len(found) >= front) and (front or not back):
            done += await self._try(waiting[tried], found, done)
            tried += 1
        waiting = waiting[tried:]
        if back:
            before = len(found)
            while waiting and len(found) - before < back:
                done += await self._try(waiting.pop(), found, done)
        return found

    def _candidates(self) -> list[range]:
        """Return the positions that the sequence sets leave, where all keys have to match."""
        keys = self._key.keys if isinstance(self._key, And) else (self._key,)
        left: list[range] = [range(len(self._selected.view))]
        for key in keys:
            if isinstance(key, Numbers):
                left = _intersect(left, self._sets[id(key)])
        return left

    async def _try(self, runs: list[range], found: Found, done: int) -> int:
        piece = _Piece(self._account, self._selected, runs, self._sets, self._now_ms)
        matching = await piece.match(self._key, piece.whole)
        found.add(runs, (matching & ~piece.gone).to_bytes(piece.count, "little"))
        await self._progress.at(done + piece.count)
        return piece.count


class _Piece:
    """Some candidates, and what has been read of them."""

    def __init__(
        self,
        account: Account,
        selected: Selected,
        runs: list[range],
        sets: dict[int, list[range]],
        now_ms: int,
    ) -> None:
        self.count = sum(map(len, runs))
        self.whole = full(self.count)
        self.gone = 0
        """Those that turned out to be expunged."""
        self._account = account
        self._selected = selected
        self._runs = runs
        self._sets = sets
        self._now_ms = now_ms
        self._uids = selected.view.uids_in(runs)
        self._rows: Rows | None = None
        self._pages: list[tuple[array[int], Facts]] = []
        self._known = 0
        """Those whose facts have been read."""

    async def match(self, key: SearchKey, alive: int) -> int:
        """Return which of the messages alive match."""
        if not alive:
            return 0
        match key:
            case All():
                return alive
            case Not(inner):
                return alive ^ await self.match(inner, alive)
            case And(keys):
                for one in keys:
                    alive = await self.match(one, alive)
                return alive
            case Or(left, right):
                found = await self.match(left, alive)
                return found | await self.match(right, alive ^ found)
            case Numbers():
                return alive & self._numbered(self._sets[id(key)])
        return alive & await self._read(key, alive)

    async def _read(self, key: SearchKey, alive: int) -> int:
        match cost(key):
            case Cost.ROW:
                return number((await self._need_rows()).mask(key))
            case Cost.FACTS:
                await self._need_facts(alive)
                return self._spread((uids, facts.mask(key)) for uids, facts in self._pages)
        if isinstance(key, Header):
            return await self._by_header(key, alive)
        assert isinstance(key, Body | Text)
        return await self._by_text(key, alive)

    def _numbered(self, runs: Sequence[range]) -> int:
        mask = bytearray()
        for run in self._runs:
            part = bytearray(len(run))
            at = bisect_left(runs, run.start, key=lambda one: one.stop - 1)
            while at < len(runs) and runs[at].start < run.stop:
                low, high = max(runs[at].start, run.start), min(runs[at].stop, run.stop)
                part[low - run.start : high - run.start] = b"\1" * (high - low)
                at += 1
            mask += part
        return number(mask)

    async def _need_rows(self) -> Rows:
        if self._rows is None:
            view = self._selected.view
            await load(self._account, self._selected, self._runs)
            columns = view.columns(self._runs)
            self.gone |= self.whole ^ number(columns.there)
            self._rows = Rows(columns, view.flag_sets, self._now_ms, self._selected.recent_from)
        return self._rows

    async def _need_facts(self, alive: int) -> None:
        missing = alive & ~self._known
        if not missing:
            return
        seen = bytearray(self.count)
        async for uids, page in self._facts(missing):
            self._pages.append((uids, Facts(page)))
            self._place(seen, uids, b"\1" * len(uids))
        self._known |= missing
        self.gone |= missing & ~number(seen)

    def _facts(self, alive: int) -> AsyncIterator[tuple["array[int]", FactsPage]]:
        return read_facts(self._account, self._selected, self._positions(alive))

    def _positions(self, alive: int) -> list[range]:
        return positions_in(self._runs, alive.to_bytes(self.count, "little"))

    def _spread(self, masks: "Iterable[tuple[array[int], bytes]]") -> int:
        whole = bytearray(self.count)
        for uids, mask in masks:
            self._place(whole, uids, mask)
        return number(whole)

    def _place(self, whole: bytearray, uids: "array[int]", mask: bytes) -> None:
        """Write the mask of some UIDs where they stand in this piece; UIDs of others are left out."""
        start = bisect_left(self._uids, uids[0])
        if self._uids[start : start + len(uids)] == uids:
            whole[start : start + len(uids)] = mask
            return
        for uid, value in zip(uids, mask, strict=True):
            start = bisect_left(self._uids, uid, start)
            if start < self.count and self._uids[start] == uid:
                whole[start] = value

    async def _by_text(self, key: Body | Text, alive: int) -> int:
        wanted = fold(key.text)
        if not wanted:
            return alive
        field: Field = "body" if isinstance(key, Body) else "text"
        positions = await find_text(
            self._account, self._selected, wanted, self._positions(alive), field=field
        )
        mask = bytearray(self.count)
        starts = [run.start for run in self._runs]
        places = list(accumulate(map(len, self._runs), initial=0))
        for at in positions:
            run = bisect_right(starts, at) - 1
            mask[places[run] + at - starts[run]] = 1
        return number(mask)

    async def _by_header(self, key: Header, alive: int) -> int:
        """Read headers as they stand in the messages."""
        await self._need_facts(alive)
        alive &= ~self.gone
        lengths = array("I", bytes(4 * self.count))
        for uids, facts in self._pages:
            for uid, length in zip(uids, array("I", facts.page.header_lengths), strict=True):
                at = bisect_left(self._uids, uid)
                if at < self.count and self._uids[at] == uid:
                    lengths[at] = length
        sizes = (await self._need_rows()).columns.sizes
        places = list(compress(range(self.count), alive.to_bytes(self.count, "little")))
        pieces = [Piece(self._uids[at], sizes[at], 0, lengths[at]) for at in places]
        name, wanted = key.field.lower().encode("utf-8", "replace"), fold(key.text)
        mask = bytearray(self.count)
        headers = 0
        for batch in group(pieces):
            for header in await open_pieces(self._account, self._selected.place, batch):
                mask[places[headers]] = header is not None and has_field(header, name, wanted)
                headers += 1
        return number(mask)


def has_field(header: bytes, name: bytes, wanted: str) -> bool:
    """Whether a field of this name (lower case) holds a folded text; an empty one: whether it is there."""
    return any(
        field.name.lower() == name
        and (not wanted or wanted in fold(decode_words(header[field.value_start : field.value_end])))
        for field in split_fields(header, 0, len(header))
    )


def _resolve(selected: Selected, key: Numbers) -> list[range]:
    """Return the positions of a set; in an empty mailbox there are none, whatever the set says."""
    return selected.positions(key.sequence, uid=key.uid) if len(selected.view) else []


def _intersect(left: Sequence[range], right: Sequence[range]) -> list[range]:
    both: list[range] = []
    at = 0
    for run in left:
        while at < len(right) and right[at].stop <= run.start:
            at += 1
        following = at
        while following < len(right) and right[following].start < run.stop:
            other = right[following]
            both.append(range(max(run.start, other.start), min(run.stop, other.stop)))
            following += 1
    return both
