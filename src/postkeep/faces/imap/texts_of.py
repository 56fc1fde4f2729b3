"""Which messages hold a text in their bodies, or anywhere: substring search over sealed mail.

Blocks of UIDs that have a segment are searched in it, everything else text by text. The answer is the same
either way: segments are a copy that is believed only as far as it agrees with the messages themselves.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, Literal
from weakref import WeakKeyDictionary

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.loading import load
from postkeep.faces.imap.segment_making import make_segments
from postkeep.faces.imap.segment_reading import Block, SegmentCache, SegmentReader, holds
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.text_reading import read_texts
from postkeep.faces.imap.view import batches
from postkeep.protocols.imap.sequence import spans_of
from postkeep.services.vault.search_api import BLOCK_SHIFT

Field = Literal["body", "text"]
"""The bodies' texts alone, or the header as well (BODY and TEXT of RFC 9051 section 6.4.4)."""

SEARCHED_AT_ONCE: Final = 32_768
"""Messages whose segments are looked at together: the rows of their blocks come with one call."""
TEXTS_PER_CALL: Final = 4096
"""Messages whose texts are asked of the vault at once: below ten megabytes, mostly."""
WORTH_A_SEGMENT: Final = 16
"""Messages of a block from which on its segment costs less than their texts."""

_caches: Final = WeakKeyDictionary[Selected, SegmentCache]()


async def find_text(
    account: Account, selected: Selected, needle: str, runs: Sequence[range], *, field: Field
) -> set[int]:
    """Return the positions, out of these runs, of the messages that hold a needle (folded by `fold`).

    Messages that have been expunged are left out. Raises IntegrityError where a text can't be opened.
    """
    in_header = field == "text"
    wanted = needle.encode("utf-8", "replace")
    cache = _caches.setdefault(selected, SegmentCache())
    reader = SegmentReader(account, selected.place, cache)
    found: set[int] = set()
    for batch in batches(runs, SEARCHED_AT_ONCE):
        blocks, others = await _blocks(account, selected, cache, batch)
        holding, left = await reader.find(blocks, needle, in_header=in_header)
        found |= holding
        for block in left:
            others += [uid for number, uid in enumerate(block.uids) if block.wanted >> number & 1]
        for start in range(0, len(others), TEXTS_PER_CALL):
            some = sorted(others[start : start + TEXTS_PER_CALL])
            async for read in read_texts(account, selected.place, spans_of(some)):
                found.update(uid for uid, _, text in read if holds(text, wanted, in_header=in_header))
        if left:
            make_segments(account, selected, cache)
    positions = (selected.view.position(uid) for uid in found)
    return {at for at in positions if at is not None}


async def _blocks(
    account: Account, selected: Selected, cache: SegmentCache, runs: list[range]
) -> tuple[list[Block], list[int]]:
    """Return the full blocks of which enough is searched, and the UIDs of everything else."""
    view = selected.view
    uids = view.uids_in(runs)
    last = view.last_uid >> BLOCK_SHIFT
    blocks: list[Block] = []
    others: list[int] = []
    unknown: list[range] = []
    at = 0
    while at < len(uids):
        number = uids[at] >> BLOCK_SHIFT
        end = bisect_left(uids, number + 1 << BLOCK_SHIFT, at)
        if number >= last or end - at < WORTH_A_SEGMENT:
            others += uids[at:end]
        else:
            whole = view.runs_within([(max(1, number << BLOCK_SHIFT), (number + 1 << BLOCK_SHIFT) - 1)])
            block = Block(number, view.uids_in(whole), b"", 0)
            blocks.append(block._replace(wanted=_bits(block.uids, uids[at:end])))
            if cache.get(block) is None:
                unknown += whole
        at = end
    if unknown:
        await load(account, selected, unknown)
    return [
        block
        if cache.get(block) is not None
        else block._replace(bodies=bytes(view.columns(_runs(selected, block)).bodies))
        for block in blocks
    ], others


def _runs(selected: Selected, block: Block) -> list[range]:
    return selected.view.runs_within([(block.uids[0], block.uids[-1])])


def _bits(uids: "array[int]", wanted: "array[int]") -> int:
    """Return which of the UIDs are wanted, as bits."""
    if len(uids) == len(wanted):
        return (1 << len(uids)) - 1
    bits = 0
    for uid in wanted:
        bits |= 1 << bisect_left(uids, uid)
    return bits
