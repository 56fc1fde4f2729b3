"""Sealed rows and bytes from the vault, opened in memory, in batches that bound what is held at once."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from postkeep.crypto.chunked import sealed_length, span, span_start
from postkeep.crypto.message import open_content_span, open_summary
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import CONTENT_BYTES_PER_CALL, CONTENT_RANGES_PER_CALL
from postkeep.faces.imap.place import Place
from postkeep.protocols.imap.sequence import Ranges
from postkeep.services.delivery.summary import Summary, decode
from postkeep.services.vault.api import FetchContent, FetchSummaries, Range, SealedContent


class Piece(NamedTuple):
    """A range of a message in the clear; `size` is the whole message's."""

    uid: int
    size: int
    offset: int
    length: int


async def open_summaries(account: Account, place: Place, uids: Ranges) -> dict[int, Summary]:
    """Return summaries by UID, with one call to the vault; messages that are gone are left out."""
    answer = await account.keepers.vault.summaries(
        FetchSummaries(place.principal, place.mailbox, uids),
        ticket=account.ticket,
    )
    await place.keyring.need({item.epoch for item in answer.summaries}, account.ticket)
    found = {}
    for item in answer.summaries:
        key = place.keyring.message_key("metadata", item)
        found[item.uid] = decode(open_summary(key, account.tenant, item.body, item.summary))
    return found


def group(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """Put pieces together into calls that stay below the limits of one call."""
    groups: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if not groups or piece.length > room or len(groups[-1]) >= CONTENT_RANGES_PER_CALL:
            groups.append([])
            room = CONTENT_BYTES_PER_CALL
        groups[-1].append(piece)
        room -= piece.length
    return groups


async def open_pieces(account: Account, place: Place, pieces: Sequence[Piece]) -> list[bytes | None]:
    """Open pieces with as few calls as the vault's answers allow (one); None: the message is gone.

    Only the chunks that cover a piece are fetched and opened. Raises IntegrityError.
    """
    spans = [span(piece.offset, piece.length, sealed_length(piece.size)) for piece in pieces]
    opened: list[bytes | None] = [None] * len(pieces)
    waiting = [at for at, piece in enumerate(pieces) if piece.length]
    while waiting:
        ranges = [Range(pieces[at].uid, *spans[at]) for at in waiting]
        answer = await account.keepers.vault.content(
            FetchContent(place.principal, place.mailbox, ranges),
            ticket=account.ticket,
        )
        await place.keyring.need({part.epoch for part in answer.parts}, account.ticket)
        rest = iter(answer.parts)
        part = next(rest, None)
        last = -1
        for number, at in enumerate(waiting):
            if part is not None and (part.uid, part.offset) == (pieces[at].uid, spans[at][0]):
                opened[at] = _open(account, place, part, pieces[at])
                last = number
                part = next(rest, None)
        if last < 0:  # nothing of what is asked for is there any more
            break
        waiting = waiting[last + 1 :]
    return opened


async def stream_piece(account: Account, place: Place, piece: Piece) -> AsyncIterator[bytes | None]:
    """Open a large piece a part at a time; yields None, and ends, where the message has gone."""
    at, end = piece.offset, piece.offset + piece.length
    while at < end:
        length = min(CONTENT_BYTES_PER_CALL, end - at)
        (data,) = await open_pieces(account, place, [Piece(piece.uid, piece.size, at, length)])
        yield data
        if data is None:
            return
        at += length


def _open(account: Account, place: Place, part: SealedContent, piece: Piece) -> bytes:
    key = place.keyring.message_key("content", part)
    plain = open_content_span(
        key,
        account.tenant,
        part.body,
        part.head,
        part.total,
        part.offset,
        part.data,
    )
    skip = piece.offset - span_start(part.offset)
    if not skip and len(plain) == piece.length:
        return plain
    return plain[skip : skip + piece.length]
