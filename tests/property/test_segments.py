"""Segments of the search index: no text that holds a needle is ever left out, whatever the scripts; a segment
is read as what it is or not at all."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.crypto.chunked import CHUNK_BYTES
from postkeep.faces.imap.grams import grams_of_needle
from postkeep.faces.imap.segment_layout import (
    Head,
    SegmentMaker,
    candidates,
    digest_of,
    read_head,
    row_in,
    row_offset,
    rows_for,
    text_spans,
)
from postkeep.services.delivery.searchtext import TEXT_BYTES_MAX, SearchText, decode, fold

# ruff: noqa: RUF001 - letters that look alike are what is tested
LETTERS = st.sampled_from([*"ab7 -é\n", *"的发票中", *"カな", "한", "я", "😀", "\u3000", "Ａ"])
TEXTS = st.text(LETTERS, max_size=40).map(fold)
CORPORA = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20)
MAILBOX = b"m" * 16


def segment_of(texts: list[SearchText]) -> tuple[bytes, bytes]:
    uids = array("I", range(1, len(texts) + 1))
    digest = digest_of(MAILBOX, uids, bytes(16 * len(texts)))
    maker = SegmentMaker()
    for text in texts:
        maker.take(text)
    return maker.finish(digest), digest


def look(segment: bytes, head: Head, needle: str, count: int) -> int:
    rows = rows_for(needle, head.rows)
    chunks = (
        segment[(at := row_offset(row) // CHUNK_BYTES * CHUNK_BYTES) : at + CHUNK_BYTES] for row in rows
    )
    return candidates([row_in(chunk, row) for chunk, row in zip(chunks, rows, strict=True)], count)


@settings(max_examples=60, deadline=None)
@given(CORPORA, TEXTS, st.data())
def test_every_text_that_holds_a_needle_is_a_candidate(
    corpus: list[tuple[str, str]], other: str, data: st.DataObject
) -> None:
    texts = [SearchText(head.encode(), body.encode(), cut=False) for head, body in corpus]
    segment, digest = segment_of(texts)
    head = read_head(segment[:CHUNK_BYTES], digest, len(segment))
    source = data.draw(st.sampled_from([text for pair in corpus for text in pair] + [other]))
    start = data.draw(st.integers(0, len(source)))
    needle = source[start : data.draw(st.integers(start, len(source)))]
    bits = look(segment, head, needle, len(texts))
    spans = text_spans(head, range(len(texts)))
    for number, (text, (offset, length)) in enumerate(zip(texts, spans, strict=True)):
        assert decode(segment[offset : offset + length]) == text
        if needle.encode() in text.body or needle.encode() in text.header:
            assert bits >> number & 1, (needle, text)


def test_an_index_leaves_out_most_of_what_does_not_hold_a_needle() -> None:
    texts = [
        SearchText(b"", f"invoice {number:05} für 发票{chr(0x4E00 + number)}号".encode(), cut=False)
        for number in range(500)
    ]
    segment, digest = segment_of(texts)
    head = read_head(segment[:CHUNK_BYTES], digest, len(segment))
    for needle in ("invoice 00123", "票" + chr(0x4E00 + 77), "00499"):
        assert look(segment, head, needle, 500).bit_count() < 100, needle
    assert look(segment, head, "7", 500).bit_count() == 500
    assert grams_of_needle("a bcd 发票号 x") == [" bc", "bcd", "cd ", "发票", "票号"]


def test_a_text_that_is_cut_is_always_a_candidate() -> None:
    texts = [SearchText(b"", b"short", cut=False), SearchText(b"", b"x" * TEXT_BYTES_MAX + b"y", cut=False)]
    segment, digest = segment_of(texts)
    head = read_head(segment[:CHUNK_BYTES], digest, len(segment))
    assert look(segment, head, "nowhere", 2) == 2
    (span,) = text_spans(head, [1])
    assert decode(segment[span[0] : sum(span)]).cut


@pytest.mark.parametrize("at", [0, 2, 4, 8, 39, 40])
def test_a_head_that_is_not_right_is_refused(at: int) -> None:
    segment, digest = segment_of([SearchText(b"", b"text", cut=False)])
    read_head(segment[:CHUNK_BYTES], digest, len(segment))
    changed = bytearray(segment[:CHUNK_BYTES])
    changed[at] ^= 0x40
    with pytest.raises(IntegrityError):
        read_head(bytes(changed), digest, len(segment))
    with pytest.raises(IntegrityError):
        read_head(segment[:CHUNK_BYTES], digest, len(segment) - 1)
    with pytest.raises(IntegrityError):
        read_head(segment[:100], digest, len(segment))
    with pytest.raises(IntegrityError):
        read_head(segment[:CHUNK_BYTES], digest_of(b"n" * 16, array("I", [1]), bytes(16)), len(segment))
