"""Which messages match one key of SEARCH, many at a time, as far as rows and facts say. Pure.

A row says flags, sizes and dates; a page of facts says what a header says. What neither knows is read from
the message itself (finding.py). Keys are tried in the order of what they cost.
"""

import datetime as dt
from array import array
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from postkeep.faces.imap.facts import BETWEEN_MESSAGES, BETWEEN_VALUES, NO_DATE, FactsPage, split
from postkeep.faces.imap.objectids import THREAD_BYTES, email_id, thread_id, thread_root
from postkeep.faces.imap.row_blocks import BODY_BYTES, Columns
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    HasObjectId,
    Header,
    Larger,
    ModSeq,
    Not,
    Numbers,
    ObjectKind,
    Or,
    SearchKey,
    Smaller,
    Text,
    Within,
    children,
)
from postkeep.services.delivery.searchtext import fold

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_FLAG_SETS_PER_OCTET: Final = 256
_PEOPLE: Final = {"FROM": "from_", "TO": "to", "CC": "cc", "BCC": "bcc"}
_IDENTIFIERS: Final = {
    "MESSAGE-ID": "message_ids",
    "IN-REPLY-TO": "in_reply_to",
    "REFERENCES": "references",
}
_COLUMNS: Final = {"SUBJECT": "subjects", **_PEOPLE, **_IDENTIFIERS}


class Cost(IntEnum):
    """What has to be read of a message to try a key on it."""

    NOTHING = 0
    ROW = 1
    FACTS = 2
    TEXT = 3
    """The search text made at delivery."""
    HEADER = 4
    """The header as it stands in the message."""


def cost(key: SearchKey) -> Cost:
    """Return the most that any part of a key costs."""
    below = children(key)
    if below:
        return max(map(cost, below))
    match key:
        case All() | Numbers():
            return Cost.NOTHING
        case Header(field, text):
            return Cost.FACTS if text and field.upper() in _COLUMNS else Cost.HEADER
        case Body() | Text():
            return Cost.TEXT
        case Date(DateSource.SENT):
            return Cost.FACTS
        case HasObjectId(ObjectKind.THREADID):
            return Cost.FACTS
    return Cost.ROW


def ordered(key: SearchKey) -> SearchKey:
    """Return the same key, its parts in the order of what they cost."""
    match key:
        case Not(inner):
            return Not(ordered(inner))
        case Or(left, right):
            return Or(*sorted((ordered(left), ordered(right)), key=cost))
        case And(keys):
            return And(tuple(sorted(map(ordered, keys), key=cost)))
    return key


class Rows:
    """The rows of some messages, and what is asked of them."""

    def __init__(
        self, columns: Columns, flag_sets: Sequence[tuple[str, ...]], now_ms: int, recent_from: int
    ) -> None:
        self.columns = columns
        self._flag_sets = flag_sets
        self._now_ms = now_ms
        self._recent_from = recent_from

    def mask(self, key: SearchKey) -> bytes:
        """Return which messages match a key that costs a row."""
        columns = self.columns
        match key:
            case HasFlag(flag):
                return self._recent() if flag == "\\Recent" else self._flagged(flag)
            case Larger(size):
                return bytes(map(size.__lt__, columns.sizes))
            case Smaller(size):
                return bytes(map(size.__gt__, columns.sizes))
            case ModSeq(modseq):
                return bytes(map(modseq.__le__, columns.modseqs))
            case Within(seconds, older):
                edge = self._now_ms - seconds * 1000
                return bytes(map(edge.__ge__ if older else edge.__le__, columns.dates))
            case Date(source):
                return _of_day(key, self._saved() if source is DateSource.SAVED else columns.dates)
            case HasObjectId(_, wanted):
                return self._with_body(wanted)
        raise AssertionError(key)  # cost() sends no other key here

    def _flagged(self, flag: str) -> bytes:
        wanted = flag.lower()
        table = bytes(any(wanted == one.lower() for one in flags) for flags in self._flag_sets)
        if len(table) <= _FLAG_SETS_PER_OCTET:  # numbers of two octets whose second one is 0
            return self.columns.flags.tobytes()[::2].translate(table.ljust(_FLAG_SETS_PER_OCTET, b"\0"))
        return bytes(map(table.__getitem__, self.columns.flags))

    def _saved(self) -> Sequence[int]:
        """Return save dates, with INTERNALDATE in the place of those not known (RFC 8514 section 4.3)."""
        saved, dates = self.columns.saved, self.columns.dates
        if 0 not in saved:
            return saved
        return [moment or date for moment, date in zip(saved, dates, strict=True)]

    def _recent(self) -> bytes:
        if not self._recent_from:
            return bytes(len(self.columns.uids))
        return bytes(map(self._recent_from.__le__, self.columns.uids))

    def _with_body(self, wanted: str) -> bytes:
        body = _octets(wanted, BODY_BYTES, email_id)
        bodies = self.columns.bodies
        mask = bytearray(len(self.columns.uids))
        at = bodies.find(body) if body else -1
        while at >= 0:
            mask[at // BODY_BYTES] |= at % BODY_BYTES == 0
            at = bodies.find(body, at + 1)
        return bytes(mask)


class Facts:
    """A page of facts, and what is asked of it. Texts are folded when they are first needed."""

    def __init__(self, page: FactsPage) -> None:
        self.page = page
        self._folded: dict[str, str] = {}

    def mask(self, key: SearchKey) -> bytes:
        """Return which messages match a key that costs facts."""
        match key:
            case Header(field, text):
                return self._containing(_COLUMNS[field.upper()], fold(text))
            case Date():
                return _of_day(key, self._sent_locally())
            case HasObjectId(_, wanted):
                return self._in_thread(wanted)
        raise AssertionError(key)  # cost() sends no other key here

    def _containing(self, column: str, wanted: str) -> bytes:
        count = self.page.count
        if column not in self._folded:
            between = " " if column in _IDENTIFIERS.values() else ", "
            texts: str = getattr(self.page, column)
            self._folded[column] = fold(texts.replace(BETWEEN_VALUES, between))
        texts = self._folded[column]
        if wanted not in texts or BETWEEN_MESSAGES in wanted:
            return bytes(count)
        return bytes([wanted in text for text in split(texts, count)])

    def _sent_locally(self) -> Sequence[int]:
        moments, zones = array("q", self.page.sent_ms), array("h", self.page.sent_zones)
        return [
            moment if moment == NO_DATE else moment + zone * _MINUTE_MS
            for moment, zone in zip(moments, zones, strict=True)
        ]

    def _in_thread(self, wanted: str) -> bytes:
        root = _octets(wanted, THREAD_BYTES, thread_id)
        if not root:
            return bytes(self.page.count)
        return bytes(
            thread_root(bare(references), bare(replied), "".join(bare([identifier]))) == root
            for identifier, replied, references in identifiers(self.page)
        )


def bare(identifiers: Sequence[str]) -> list[str]:
    """Return identifiers without their angle brackets."""
    return [one[1:-1] for one in identifiers]


def identifiers(page: FactsPage) -> list[tuple[str, list[str], list[str]]]:
    """Return Message-ID, In-Reply-To and References of each message, as `<identifier>`."""
    replied, references = (
        [text.split(BETWEEN_VALUES) if text else [] for text in split(texts, page.count)]
        for texts in (page.in_reply_to, page.references)
    )
    return list(zip(split(page.message_ids, page.count), replied, references, strict=True))


def _octets(wanted: str, size: int, written: Callable[[bytes], bytes]) -> bytes:
    """Return what an object identifier is made from; empty: it is none of ours."""
    try:
        octets = bytes.fromhex(wanted[1:])
    except ValueError:
        return b""
    return octets if len(octets) == size and written(octets) == wanted.encode("ascii") else b""


def _of_day(key: Date, moments_ms: Sequence[int]) -> bytes:
    """Return which moments lie before, on or since a day; one that is not known does in no case."""
    start = (key.day.toordinal() - _EPOCH_DAY) * _DAY_MS
    end = start + _DAY_MS
    if key.relation is DateRelation.BEFORE:
        return bytes([NO_DATE < moment < start for moment in moments_ms])
    if key.relation is DateRelation.ON:
        return bytes([start <= moment < end for moment in moments_ms])
    return bytes(map(start.__le__, moments_ms))
