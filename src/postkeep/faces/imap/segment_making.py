"""Segments made in the background while their owner is signed in: nobody else ever could.

A search that has met blocks without a segment starts the making of them, as does a mailbox that is opened. It
takes at most half of the time that others leave, and ends with the view of the mailbox that it works for.
What is missing then is made another time; until a segment is there, searches read the texts.
"""

import asyncio
import struct
import time
import weakref
from typing import Final

import structlog

from postkeep.base.errors import PostkeepError
from postkeep.base.ids import new_id
from postkeep.crypto.message import new_message_keys, seal_segment, wrap_keys
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.segment_layout import TEXTS_BYTES_MAX, SegmentMaker, digest_of
from postkeep.faces.imap.segment_reading import SegmentCache
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.text_reading import read_texts
from postkeep.services.delivery.searchtext import SearchText
from postkeep.services.vault.search_api import BLOCK_SHIFT, FetchSegments, NewSegment

MAKERS_MAX: Final = 2
"""Mailboxes of one process that segments are made of at once: each holds the texts of one block."""
PLAIN_BYTES_MAX: Final = 48 * 1024 * 1024
"""Texts of one block that are held while its segment is made; a block with more goes without one."""
TEXTS_PER_TURN: Final = 10
"""Texts indexed before other clients get a turn: some 5 ms."""

_log = structlog.get_logger(__name__)
_making: Final = set["asyncio.Task[None]"]()


def make_segments(account: Account, selected: Selected, cache: SegmentCache) -> None:
    """Begin to make the segments that a mailbox of one's own lacks, unless enough is being made already."""
    full = selected.view.last_uid >> BLOCK_SHIFT
    if not full or selected.place.principal != account.principal or cache.making:
        return
    if len(_making) < MAKERS_MAX:
        cache.making = True
        task = asyncio.create_task(_make(account, weakref.ref(selected), cache), name="imap segments")
        _making.add(task)
        task.add_done_callback(_making.discard)


async def _make(account: Account, of: "weakref.ref[Selected]", cache: SegmentCache) -> None:
    try:
        missing = await _missing(account, of, cache)
        while missing and (selected := of()) is not None:
            began = time.monotonic()
            await _make_one(account, selected, cache, missing.pop())
            del selected
            await asyncio.sleep(time.monotonic() - began)
    except PostkeepError as error:  # the session has ended, or a keeper is away: another time
        _log.info("imap_segments_stopped", code=error.code)
    finally:
        cache.making = False


async def _missing(account: Account, of: "weakref.ref[Selected]", cache: SegmentCache) -> list[int]:
    """Return the full blocks that have messages and no segment of any use, the newest last."""
    selected = of()
    if selected is None:
        return []
    place, last = selected.place, selected.view.last_uid >> BLOCK_SHIFT
    there: set[int] = set()
    first = 0
    while first < last:
        answer = await account.keepers.vault.segments(
            FetchSegments(place.principal, place.mailbox, [(first, last - 1)], 1), ticket=account.ticket
        )
        there.update(item.block for item in answer.segments)
        first = answer.segments[-1].block + 1 if answer.more and answer.segments else last
    missing = [block for block in range(last) if block not in there or block in cache.useless]
    return [block for block in missing if selected.view.runs_within([_uids_of(block)])]


async def _make_one(account: Account, selected: Selected, cache: SegmentCache, block: int) -> None:
    """Make the segment of a block, unless the client's view of it is behind or it is too large."""
    runs = selected.view.runs_within([_uids_of(block)])
    await load(account, selected, runs)
    bodies = bytes(selected.view.columns(runs).bodies)
    place, uids = selected.place, selected.view.uids_in(runs)
    texts = await _texts(account, selected, block, dict(zip(uids, _names(bodies), strict=True)))
    if texts is None or list(texts) != list(uids):
        return
    maker = SegmentMaker()
    for number, uid in enumerate(uids):
        maker.take(texts.pop(uid))
        if number % TEXTS_PER_TURN == TEXTS_PER_TURN - 1:
            await asyncio.sleep(0)
    if maker.octets > TEXTS_BYTES_MAX:
        return
    data = maker.finish(digest_of(place.mailbox, uids, bodies))
    keys, segment = new_message_keys(), new_id()
    sealed = await asyncio.to_thread(seal_segment, keys, account.tenant, segment, place.mailbox, data)
    epoch, step = account.book.take(account.public_key)
    writer = epoch.writer
    await account.keepers.vault.put_segment(
        NewSegment(
            principal=place.principal,
            mailbox=place.mailbox,
            block=block,
            uids=struct.pack(f"<{len(uids)}I", *uids),
            segment=segment,
            epoch=writer.epoch,
            index=step.index,
            wraps=wrap_keys(keys, step, account.tenant, segment, place.principal, writer.epoch),
            sealed=sealed,
            epochs=[] if epoch.acknowledged else [epoch.announcement],
            replaces=cache.useless.pop(block, b""),
        ),
        ticket=account.ticket,
    )
    epoch.acknowledged = True


async def _texts(
    account: Account, selected: Selected, block: int, bodies: dict[int, bytes]
) -> dict[int, SearchText] | None:
    """Read the texts of a block's messages, by UID; None: they are too much. Those whose bodies are others
    than the view has it are left out."""
    texts: dict[int, SearchText] = {}
    octets = 0
    async for batch in read_texts(account, selected.place, [_uids_of(block)]):
        for uid, body, text in batch:
            if bodies.get(uid) == body:
                texts[uid] = text
                octets += len(text.header) + len(text.body)
        if octets > PLAIN_BYTES_MAX:
            return None
    return dict(sorted(texts.items()))


def _uids_of(block: int) -> tuple[int, int]:
    return max(1, block << BLOCK_SHIFT), (block + 1 << BLOCK_SHIFT) - 1


def _names(bodies: bytes) -> list[bytes]:
    return [bodies[at : at + 16] for at in range(0, len(bodies), 16)]
