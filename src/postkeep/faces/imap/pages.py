"""What summaries say of many messages: from pages of 128 where there are, else from the summaries themselves.

Who reads all messages of a full block one by one makes its pages, of both kinds, for the next reader.
"""

import asyncio
import contextlib
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from postkeep.base.errors import IntegrityError, PostkeepError
from postkeep.base.ids import new_id
from postkeep.crypto.message import new_message_keys, open_page, seal_page, wrap_keys
from postkeep.faces.imap import facts, fetch_page
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.facts import FactsPage
from postkeep.faces.imap.fetch_page import FetchPage
from postkeep.faces.imap.limits import SUMMARIES_PER_CALL
from postkeep.faces.imap.opening import open_summaries
from postkeep.faces.imap.pieces import pieces
from postkeep.faces.imap.selected import Selected
from postkeep.protocols.imap.sequence import Ranges, spans_of
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.delivery.summary import Summary
from postkeep.services.vault.pages_api import (
    PAGE_SHIFT,
    FetchPages,
    NewPage,
    PageKind,
    PutPages,
    SealedPage,
)

MESSAGES_PER_BATCH: Final = 4_096
"""Read at a stretch: 32 pages, some 4 MB in the clear."""
PAGE_WORTH: Final = 8
"""Messages of one block from which on its page is opened: a page costs what so many summaries do."""

T = TypeVar("T")


class Layout(NamedTuple, Generic[T]):
    """One kind of page."""

    kind: PageKind
    of: Callable[[Sequence[Summary]], T]
    encode: Callable[[T], bytes]
    decode: Callable[[bytes, int], T]


class _Bound(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed: a page with the messages that it is of."""

    uids: bytes
    data: bytes


def _decode_facts(data: bytes, count: int) -> FactsPage:
    page = facts.decode(data)
    if page.count != count:
        raise IntegrityError("a page of facts is not of the messages that it names")
    return page


FETCH: Final = Layout(PageKind.FETCH, fetch_page.page_of, fetch_page.encode, fetch_page.decode)
FACTS: Final = Layout(PageKind.FACTS, facts.facts_of, facts.encode, _decode_facts)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Bound)


class Block(NamedTuple):
    """The messages wanted of one aligned block of UIDs, ascending."""

    number: int
    uids: "array[int]"


async def read_fetch(
    account: Account, selected: Selected, runs: Sequence[range]
) -> AsyncIterator[tuple["array[int]", FetchPage]]:
    """Yield what FETCH answers, in the order of the messages and of no others; who is gone is left out."""
    async for wanted, uids, page in _read(account, selected, runs, FETCH):
        if uids == wanted:
            yield uids, page
            continue
        asked = set(wanted)
        places = [at for at, uid in enumerate(uids) if uid in asked]
        yield array("I", (uids[at] for at in places)), page.pick(places)


async def read_facts(
    account: Account, selected: Selected, runs: Sequence[range]
) -> AsyncIterator[tuple["array[int]", FactsPage]]:
    """Yield what searches compare, in the order of the messages; others of their blocks may be there too."""
    async for _, uids, page in _read(account, selected, runs, FACTS):
        yield uids, page


async def _read(
    account: Account, selected: Selected, runs: Sequence[range], layout: Layout[T]
) -> AsyncIterator[tuple["array[int]", "array[int]", T]]:
    """Yield the UIDs wanted, those that a page is of, and the page."""
    maker = _Maker(account, selected)
    try:
        for batch in pieces(selected.view, runs, MESSAGES_PER_BATCH):
            blocks = blocks_of(selected.view.uids_in(batch))
            sealed = await _sealed_pages(account, selected, blocks, layout.kind)
            waiting: list[Block] = []
            for block in blocks:
                page = sealed.get(block.number)
                if page is None:
                    waiting.append(block)
                    if sum(len(each.uids) for each in waiting) < SUMMARIES_PER_CALL:
                        continue
                async for read in _from_summaries(account, selected, waiting, layout, maker):
                    yield read
                waiting = []
                if page is not None:
                    yield (block.uids, *_open(account, selected, page, layout))
            async for read in _from_summaries(account, selected, waiting, layout, maker):
                yield read
        await maker.finish()
    finally:
        maker.cancel()


def blocks_of(uids: "array[int]") -> list[Block]:
    """Cut ascending UIDs by their blocks."""
    blocks = []
    start = 0
    while start < len(uids):
        number = uids[start] >> PAGE_SHIFT
        end = bisect_left(uids, (number + 1) << PAGE_SHIFT, start)
        blocks.append(Block(number, uids[start:end]))
        start = end
    return blocks


async def _sealed_pages(
    account: Account, selected: Selected, blocks: Sequence[Block], kind: PageKind
) -> dict[int, SealedPage]:
    """Return the pages of the blocks for which a page is worth it, and have their epochs open."""
    last = selected.view.last_uid
    worth = [
        block.number
        for block in blocks
        if len(block.uids) >= PAGE_WORTH and ((block.number + 1) << PAGE_SHIFT) - 1 <= last
    ]
    place = selected.place
    found: dict[int, SealedPage] = {}
    ranges: Ranges = _ranges_from(worth, 0)
    while ranges:
        request = FetchPages(place.principal, place.mailbox, kind, ranges)
        answer = await account.keepers.vault.pages(request, ticket=account.ticket)
        found.update((page.block, page) for page in answer.pages)
        ranges = _ranges_from(worth, answer.pages[-1].block + 1) if answer.more and answer.pages else []
    await place.keyring.need({page.epoch for page in found.values()}, account.ticket)
    return found


def _ranges_from(numbers: Sequence[int], first: int) -> Ranges:
    # Block 0 is a block like the others, but ranges of a sequence begin at 1: shifted there and back.
    return [(low - 1, high - 1) for low, high in spans_of(each + 1 for each in numbers if each >= first)]


def _open(
    account: Account, selected: Selected, sealed: SealedPage, layout: Layout[T]
) -> tuple["array[int]", T]:
    place = selected.place
    key = place.keyring.unwrap("metadata", sealed.page, sealed.wraps, sealed.epoch, sealed.index)
    data = open_page(key, account.tenant, sealed.page, layout.kind, place.mailbox, sealed.sealed)
    try:
        bound = _decoder.decode(data)
        uids = array("I", bound.uids)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as exc:
        raise IntegrityError(f"a page can't be read: {type(exc).__name__}") from exc
    if not uids or uids[0] >> PAGE_SHIFT != sealed.block or uids[-1] >> PAGE_SHIFT != sealed.block:
        raise IntegrityError("a page is of another block")
    return uids, layout.decode(bound.data, len(uids))


async def _from_summaries(
    account: Account, selected: Selected, blocks: Sequence[Block], layout: Layout[T], maker: "_Maker"
) -> AsyncIterator[tuple["array[int]", "array[int]", T]]:
    wanted = array("I")
    for block in blocks:
        wanted.extend(block.uids)
    known: dict[int, Summary] = {}
    for start in range(0, len(wanted), SUMMARIES_PER_CALL):
        part = wanted[start : start + SUMMARIES_PER_CALL]
        found = await open_summaries(account, selected.place, spans_of(part))
        uids = array("I", (uid for uid in part if uid in found))
        if uids:
            yield part, uids, layout.of([found[uid] for uid in uids])
        known |= found
    await maker.make(blocks, known)


class _Maker:
    """Makes pages of what has been read, and hands them in while the reader goes on."""

    def __init__(self, account: Account, selected: Selected) -> None:
        self._account = account
        self._selected = selected
        self._task: asyncio.Task[None] | None = None

    async def make(self, blocks: Sequence[Block], found: dict[int, Summary]) -> None:
        """Make the pages of the full blocks that have been read whole."""
        account, selected = self._account, self._selected
        if not blocks or selected.place.principal != account.principal:
            return  # only the owner's own face does
        pages: list[NewPage] = []
        epochs: dict[bytes, OpenEpoch] = {}
        for block in blocks:
            if not self._is_whole(block) or not all(uid in found for uid in block.uids):
                continue
            summaries = [found[uid] for uid in block.uids]
            pages.append(self._seal(block, FETCH, summaries, epochs))
            pages.append(self._seal(block, FACTS, summaries, epochs))
            await asyncio.sleep(0)  # other clients get a turn between two pages
        if pages:
            await self.finish()
            self._task = asyncio.create_task(self._put(pages, list(epochs.values())))

    async def finish(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await self._task
            self._task = None

    def cancel(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()

    def _is_whole(self, block: Block) -> bool:
        low, high = block.number << PAGE_SHIFT, ((block.number + 1) << PAGE_SHIFT) - 1
        view = self._selected.view
        return high <= view.last_uid and len(block.uids) == sum(map(len, view.runs_within([(low, high)])))

    def _seal(
        self, block: Block, layout: Layout[T], summaries: Sequence[Summary], epochs: dict[bytes, OpenEpoch]
    ) -> NewPage:
        account, mailbox = self._account, self._selected.mailbox
        page, keys = new_id(), new_message_keys()
        epoch, step = account.book.take(account.public_key)
        writer = epoch.writer
        epochs[writer.epoch] = epoch
        uids = block.uids.tobytes()
        data = _encoder.encode(_Bound(uids, layout.encode(layout.of(summaries))))
        return NewPage(
            layout.kind,
            block.number,
            uids,
            page,
            writer.epoch,
            step.index,
            wrap_keys(keys, step, account.tenant, page, account.principal, writer.epoch),
            seal_page(keys, account.tenant, page, layout.kind, mailbox, data),
        )

    async def _put(self, pages: list[NewPage], epochs: list[OpenEpoch]) -> None:
        account = self._account
        news = [epoch.announcement for epoch in epochs if not epoch.acknowledged]
        request = PutPages(account.principal, self._selected.mailbox, pages, news)
        with contextlib.suppress(PostkeepError):  # only the next reading costs more
            await account.keepers.vault.put_pages(request, ticket=account.ticket)
            for epoch in epochs:
                epoch.acknowledged = True
