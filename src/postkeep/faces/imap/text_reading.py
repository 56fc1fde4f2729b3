"""Search texts of messages, opened in memory: as they were made at delivery, or from the message itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple

from postkeep.crypto.message import open_text
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import SEARCH_PART_BYTES_MAX, SUMMARIES_PER_CALL
from postkeep.faces.imap.opening import Piece, group, open_pieces, open_summaries
from postkeep.faces.imap.place import Place
from postkeep.protocols.imap.sequence import Ranges, spans_of
from postkeep.services.delivery.searchtext import SearchText, decode, fold_header, fold_part, readable
from postkeep.services.delivery.summary import PartSpan, Summary
from postkeep.services.vault.search_api import FetchTexts, SealedText

TEXTS_PER_TURN: Final = 100
"""Search texts opened before other clients get a turn: some 5 ms."""


class Read(NamedTuple):
    """A message's search text."""

    uid: int
    body: bytes
    """The message's body in the vault, whose keys opened it."""
    text: SearchText


async def read_texts(account: Account, place: Place, uids: Ranges) -> AsyncIterator[list[Read]]:
    """Yield the texts of messages in batches, in no particular order; messages that are gone are left out.

    A message that was stored without a search text, and one of which it is cut, is read itself.
    """
    waiting = list(uids)
    while waiting:
        answer = await account.keepers.vault.texts(
            FetchTexts(place.principal, place.mailbox, waiting), ticket=account.ticket
        )
        await place.keyring.need({item.epoch for item in answer.texts}, account.ticket)
        without: list[SealedText] = []
        for start in range(0, len(answer.texts), TEXTS_PER_TURN):
            batch = []
            for item in answer.texts[start : start + TEXTS_PER_TURN]:
                text = _open(account, place, item) if item.text else None
                if text is None or text.cut:
                    without.append(item)
                else:
                    batch.append(Read(item.uid, item.body, text))
            yield batch
            await asyncio.sleep(0)
        async for batch in _read_messages(account, place, without):
            yield batch
        waiting = _behind(waiting, answer.texts[-1].uid) if answer.more else []


def _open(account: Account, place: Place, item: SealedText) -> SearchText:
    key = place.keyring.message_key("content", item)
    return decode(open_text(key, account.tenant, item.body, item.text))


def _behind(uids: Ranges, last: int) -> list[tuple[int, int]]:
    """Return what of the ranges lies behind a UID."""
    return [(max(low, last + 1), high) for low, high in uids if high > last]


async def _read_messages(
    account: Account, place: Place, items: Sequence[SealedText]
) -> AsyncIterator[list[Read]]:
    """Read header and texts out of the messages themselves, a bounded number of octets at a time."""
    for start in range(0, len(items), SUMMARIES_PER_CALL):
        some = {item.uid: item.body for item in items[start : start + SUMMARIES_PER_CALL]}
        summaries = await open_summaries(account, place, spans_of(sorted(some)))
        jobs = list(_jobs(summaries))
        texts = _Texts(some)
        rest = iter(jobs)
        for pieces in group(piece for _, piece in jobs):
            for octets in await open_pieces(account, place, pieces):
                part, piece = next(rest)
                texts.take(piece.uid, part, octets)
            yield texts.ready(piece.uid)
            await asyncio.sleep(0)
        yield texts.ready(0)


def _jobs(summaries: dict[int, Summary]) -> Iterator[tuple[PartSpan | None, Piece]]:
    """Yield what is read of messages: the header (None), then the parts that have text or a file's name."""
    for uid, summary in summaries.items():
        yield None, Piece(uid, summary.size, 0, summary.header_length)
        for part in summary.parts:
            offset, length = readable(part)
            if length or part.filename:
                yield part, Piece(uid, summary.size, offset, min(length, SEARCH_PART_BYTES_MAX))


class _Texts:
    """Texts that come together part by part, message by message."""

    def __init__(self, bodies: dict[int, bytes]) -> None:
        self._bodies = bodies
        self._headers: dict[int, bytes] = {}
        self._parts: dict[int, list[bytes]] = {}

    def take(self, uid: int, part: PartSpan | None, octets: bytes | None) -> None:
        """Take in one piece; None: there is nothing, or the message has gone meanwhile."""
        if part is None:
            self._headers[uid] = fold_header(octets or b"")
        else:
            self._parts.setdefault(uid, []).append(fold_part(part, octets or b""))

    def ready(self, under_way: int) -> list[Read]:
        """Return the messages that are whole, all but the one under way; they are forgotten here."""
        done = [uid for uid in self._headers if uid != under_way]
        return [
            Read(uid, self._bodies[uid], SearchText(header, b"\n".join(parts), cut=False))
            for uid, header, parts in (
                (uid, self._headers.pop(uid), self._parts.pop(uid, [])) for uid in done
            )
        ]
