"""What FETCH answers of many messages, laid out so that one decoding gives all of it.

A page is made from summaries and says no more than they do. It is sealed as a whole and stored beside the
messages (`vault.put_pages`), so that the next reader opens 128 messages with one key.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.faces.imap.objectids import thread_root
from postkeep.services.delivery.summary import Summary

VERSION: Final = 1


class FetchPage(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """Columns of one length, one value for each message."""

    version: int = VERSION
    envelopes: list[bytes] = []
    bodystructures: list[bytes] = []
    bodies: list[bytes] = []
    """The three as FETCH answers them."""
    threads: list[bytes] = []
    """`objectids.thread_root` of each message."""

    def pick(self, places: Sequence[int]) -> "FetchPage":
        """Return a page of some of the messages."""
        columns = (self.envelopes, self.bodystructures, self.bodies, self.threads)
        envelopes, bodystructures, bodies, threads = ([each[at] for at in places] for each in columns)
        return FetchPage(envelopes=envelopes, bodystructures=bodystructures, bodies=bodies, threads=threads)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(FetchPage)


def page_of(summaries: Sequence[Summary]) -> FetchPage:
    """Lay out what FETCH answers of these messages."""
    return FetchPage(
        envelopes=[one.envelope for one in summaries],
        bodystructures=[one.bodystructure for one in summaries],
        bodies=[one.body for one in summaries],
        threads=[thread_root(one.references, one.in_reply_to, one.message_id) for one in summaries],
    )


def encode(page: FetchPage) -> bytes:
    """Return the stored form (MessagePack)."""
    return _encoder.encode(page)


def decode(data: bytes, count: int) -> FetchPage:
    """Read the stored form of `count` messages; raises IntegrityError for anything else."""
    try:
        page = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IntegrityError(f"a page can't be read: {type(exc).__name__}") from exc
    if page.version != VERSION:
        raise IntegrityError(f"a page has the unknown version {page.version}")
    if any(len(each) != count for each in (page.envelopes, page.bodystructures, page.bodies, page.threads)):
        raise IntegrityError("a page has columns of different lengths")
    return page
