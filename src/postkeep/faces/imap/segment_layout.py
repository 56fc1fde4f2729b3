"""What is inside a segment: the search texts of one block of 1,024 UIDs, with an index over them. Pure.

    chunk 0: a digest of where it belongs and of which messages it is, where each text ends
    rows:    one for each value of a hash of pieces of text (`grams`), a bit for each message
    texts:   as they are stored with their messages, one after the other

A query reads the head and, for a few pieces of the needle, one row each: the messages whose bit is set in all
of these rows are the ones whose texts are looked at. Sizes are multiples of the 16 KiB that sealed data is
opened by, so that a row lies in one chunk.
"""

import hashlib
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import accumulate, chain
from operator import and_
from typing import Final, NamedTuple

from postkeep.base.errors import IntegrityError
from postkeep.crypto.chunked import CHUNK_BYTES
from postkeep.crypto.context import context
from postkeep.faces.imap.grams import grams_of_needle, grams_of_run, runs_in
from postkeep.services.delivery.searchtext import TEXT_BYTES_MAX, SearchText, encode
from postkeep.services.vault.search_api import BLOCK_SHIFT

VERSION: Final = 1
MESSAGES_MAX: Final = 1 << BLOCK_SHIFT
TEXTS_BYTES_MAX: Final = 24 * 1024 * 1024
"""Compressed texts of one segment: what is more is left to be read message by message."""
GRAMS_MAX: Final = 6
"""Pieces of a needle that are looked up: more say little new, and each costs a chunk."""

_HEAD: Final = struct.Struct("<BBHI")  # version, zero, messages, rows
_DIGEST_BYTES: Final = 32
_ROW_BYTES: Final = MESSAGES_MAX // 8
_ROWS_MIN: Final = CHUNK_BYTES // _ROW_BYTES
_ROWS_MAX: Final = 1 << 14
_TEXT_BYTES_PER_ROW: Final = 512
"""Rows grow with the texts, so that about one in six bits is set: as much again for the index as a quarter of
the texts takes."""
_RUNS_KEPT_MAX: Final = 20_000
_RUN_KEPT_MAX: Final = 24
_GRAMS_KEPT_MAX: Final = 100_000
"""Runs, characters of a run, and pieces whose rows are remembered while a segment is made: ten megabytes."""


class Head(NamedTuple):
    """What a query needs to know of a segment."""

    rows: int
    ends: "array[int]"
    """Where each text ends, counted from the first one's beginning."""

    @property
    def texts_at(self) -> int:
        """Where the texts begin."""
        return CHUNK_BYTES + self.rows * _ROW_BYTES


def digest_of(mailbox: bytes, uids: "array[int]", bodies: bytes) -> bytes:
    """Return what ties a segment to a mailbox and to just these messages: under these UIDs, of these bodies
    (16 octets each), which no other message ever has."""
    return hashlib.sha256(context("segment messages", mailbox, _le(uids), bodies)).digest()


class SegmentMaker:
    """Takes the texts of a block in the order of their UIDs, and makes the segment."""

    def __init__(self) -> None:
        self.octets = 0
        """Compressed octets taken so far."""
        self._texts: list[bytes] = []
        self._plain_octets = 0
        self._columns: list[int] = []
        """For each eight messages an octet for each row, a bit of it for each message, as one number."""
        self._rows_of_gram: dict[str, int] = {}
        self._rows_of_run: dict[str, tuple[int, ...]] = {}

    def take(self, text: SearchText) -> None:
        """Take in the next message's text; one that is cut, or too long, is among the candidates always."""
        if text.cut or len(text.header) + len(text.body) > TEXT_BYTES_MAX:
            text = SearchText(b"", b"", cut=True)
        number = len(self._texts)
        data = encode(text)
        self._texts.append(data)
        self.octets += len(data)
        self._plain_octets += len(text.header) + len(text.body)
        flags = bytearray(_ROWS_MAX) if not text.cut else bytearray(b"\1") * _ROWS_MAX
        runs = runs_in(f"{text.header.decode('utf-8', 'replace')}\n{text.body.decode('utf-8', 'replace')}")
        known = self._rows_of_run
        for row in chain.from_iterable([known.get(run) or self._rows_of(run) for run in runs]):
            flags[row] = 1
        if number % 8 == 0:
            self._columns.append(0)
        self._columns[-1] |= int.from_bytes(flags, "little") << number % 8

    def _rows_of(self, run: str) -> tuple[int, ...]:
        """Work out the rows of a run that is not known, and know it from now on if it is short."""
        known = self._rows_of_gram
        rows = tuple([known.get(gram) or self._row_of(gram) for gram in grams_of_run(run)])
        if len(run) <= _RUN_KEPT_MAX:
            if len(self._rows_of_run) >= _RUNS_KEPT_MAX:
                self._rows_of_run.clear()
            self._rows_of_run[run] = rows
        return rows

    def _row_of(self, gram: str) -> int:
        if len(self._rows_of_gram) >= _GRAMS_KEPT_MAX:
            self._rows_of_gram.clear()
        row = self._rows_of_gram[gram] = _row(gram, _ROWS_MAX)
        return row

    def finish(self, digest: bytes) -> bytes:
        """Return the segment's bytes in the clear; `digest_of` says of which messages."""
        columns, count = self._columns, _ROWS_MAX
        wanted = max(self._plain_octets // _TEXT_BYTES_PER_ROW, _ROWS_MIN)
        while count // 2 >= wanted:
            count //= 2  # a row's number is a hash cut short: half of them are the other half's again
            columns = [column & (1 << 8 * count) - 1 | column >> 8 * count for column in columns]
        index = bytearray(count * _ROW_BYTES)
        for number, column in enumerate(columns):
            index[number::_ROW_BYTES] = column.to_bytes(count, "little")
        ends = array("I", accumulate(map(len, self._texts)))
        first = b"".join((_HEAD.pack(VERSION, 0, len(ends), count), digest, _le(ends)))
        return b"".join((first.ljust(CHUNK_BYTES, b"\0"), index, *self._texts))


def _le(numbers: "array[int]") -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _row(gram: str, rows: int) -> int:
    return zlib.crc32(gram.encode("utf-8", "replace")) & (rows - 1)


def read_head(chunk: bytes, digest: bytes, total: int) -> Head:
    """Read chunk 0 of a segment of `total` octets; raise IntegrityError unless it belongs where `digest`
    says."""
    if len(chunk) < CHUNK_BYTES or chunk[_HEAD.size : _HEAD.size + _DIGEST_BYTES] != digest:
        raise IntegrityError("a segment of other messages")
    version, _, messages, rows = _HEAD.unpack_from(chunk)
    known = version == VERSION and 0 < messages <= MESSAGES_MAX
    if not known or not _ROWS_MIN <= rows <= _ROWS_MAX or rows & (rows - 1):
        raise IntegrityError("a segment that can't be read")
    at = _HEAD.size + _DIGEST_BYTES
    head = Head(rows, array("I", struct.unpack_from(f"<{messages}I", chunk, at)))
    if head.texts_at + head.ends[-1] != total:
        raise IntegrityError("a segment of another length than it says")
    return head


def rows_for(needle: str, rows: int) -> list[int]:
    """Return the rows that a needle is looked up in, out of all its pieces evenly; none: every text is to be
    looked at."""
    grams = grams_of_needle(needle)
    step = max(1, -(-len(grams) // GRAMS_MAX))
    chosen = grams[::step]
    if grams and len(chosen) < GRAMS_MAX and grams[-1] not in chosen:
        chosen.append(grams[-1])
    return sorted({_row(gram, rows) for gram in chosen})


def row_offset(row: int) -> int:
    """Return where a row begins."""
    return CHUNK_BYTES + row * _ROW_BYTES


def candidates(rows: Iterable[bytes], count: int) -> int:
    """Return the messages whose bit is set in all rows, as bits."""
    everyone = (1 << count) - 1
    return reduce(and_, (int.from_bytes(row, "little") for row in rows), everyone)


def row_in(chunk: bytes, row: int) -> bytes:
    """Cut a row out of the chunk that it lies in."""
    at = row_offset(row) % CHUNK_BYTES
    return chunk[at : at + _ROW_BYTES]


def text_spans(head: Head, wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Return offset and length of the texts of some messages, given by their numbers in the block."""
    starts = (head.ends[number - 1] if number else 0 for number in wanted)
    return [
        (head.texts_at + start, head.ends[number] - start)
        for number, start in zip(wanted, starts, strict=True)
    ]
