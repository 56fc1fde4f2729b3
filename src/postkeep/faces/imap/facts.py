"""What SEARCH, SORT and THREAD compare, of many messages at once: columns, so that one decoding gives all.

A page of facts is made from summaries and says no more than they do. Texts of many messages stand in one
string, one NUL between two messages: a needle that holds no NUL (RFC 3501 has none in a string) is looked for
in all of them with one call.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from postkeep.base.errors import IntegrityError
from postkeep.services.delivery.summary import Person, Summary

VERSION: Final = 1
BETWEEN_MESSAGES: Final = "\0"
BETWEEN_VALUES: Final = "\1"
NO_DATE: Final = -(1 << 63)
"""A message whose Date field can't be read."""

_CONTROLS: Final = {0: " ", 1: " "}  # a header may decode to them; they are not what separates here


class FactsPage(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """The facts of some messages, in one order. Every text holds one piece for each of them."""

    version: int = VERSION
    count: int
    sent_ms: bytes
    """i64 little-endian: the Date field in milliseconds since 1970; NO_DATE: none that can be read."""
    sent_zones: bytes
    """i16 little-endian: the sender's distance from UTC in minutes."""
    header_lengths: bytes
    """u32 little-endian: octets of BODY[HEADER]."""
    subjects: str
    base_subjects: str
    """RFC 5256 section 2.1."""
    from_: str
    """Addresses as `name <local@domain>`, BETWEEN_VALUES between two of one message; so the next three."""
    to: str
    cc: str
    bcc: str
    message_ids: str
    in_reply_to: str
    """Identifiers as `<identifier>`, BETWEEN_VALUES between two."""
    references: str


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(FactsPage)


def facts_of(summaries: Sequence[Summary]) -> FactsPage:
    """Lay out the facts of these messages in columns."""
    return FactsPage(
        count=len(summaries),
        sent_ms=array("q", [NO_DATE if one.sent_ms is None else one.sent_ms for one in summaries]).tobytes(),
        sent_zones=array("h", [one.sent_zone_minutes for one in summaries]).tobytes(),
        header_lengths=array("I", [one.header_length for one in summaries]).tobytes(),
        subjects=_texts(one.subject for one in summaries),
        base_subjects=_texts(one.base_subject for one in summaries),
        from_=_people(summaries, lambda one: one.from_),
        to=_people(summaries, lambda one: one.to),
        cc=_people(summaries, lambda one: one.cc),
        bcc=_people(summaries, lambda one: one.bcc),
        message_ids=_identifiers([one.message_id] if one.message_id else [] for one in summaries),
        in_reply_to=_identifiers(one.in_reply_to for one in summaries),
        references=_identifiers(one.references for one in summaries),
    )


def encode(page: FactsPage) -> bytes:
    """Return the stored form (MessagePack)."""
    return _encoder.encode(page)


def decode(data: bytes) -> FactsPage:
    """Read the stored form; raises IntegrityError for anything else."""
    try:
        page = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IntegrityError(f"a page of facts can't be read: {type(exc).__name__}") from exc
    if page.version != VERSION:
        raise IntegrityError(f"a page of facts has the unknown version {page.version}")
    columns = (page.sent_ms, 8), (page.sent_zones, 2), (page.header_lengths, 4)
    if any(len(column) != page.count * width for column, width in columns):
        raise IntegrityError("a page of facts has columns of different lengths")
    return page


def split(texts: str, count: int) -> list[str]:
    """Return the pieces of a text column, one for each message; raises IntegrityError if they are not."""
    pieces = texts.split(BETWEEN_MESSAGES) if count else []
    if len(pieces) != count:
        raise IntegrityError("a page of facts has columns of different lengths")
    return pieces


def _texts(values: Iterable[str]) -> str:
    return BETWEEN_MESSAGES.join([_plain(value) for value in values])


def _plain(text: str) -> str:
    return text.translate(_CONTROLS) if "\0" in text or "\1" in text else text


def _people(summaries: Sequence[Summary], which: Callable[[Summary], list[Person]]) -> str:
    return BETWEEN_MESSAGES.join(
        [
            BETWEEN_VALUES.join(
                [f"{_plain(person.display)} <{_plain(person.address)}>" for person in which(one)]
            )
            for one in summaries
        ]
    )


def _identifiers(values: Iterable[list[str]]) -> str:
    return BETWEEN_MESSAGES.join(
        [BETWEEN_VALUES.join([f"<{_plain(identifier)}>" for identifier in each]) for each in values]
    )
