"""Pages of facts and masks: what searches compare, laid out for many messages at once."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus import messages

from postkeep.base.errors import IntegrityError
from postkeep.faces.imap.facts import BETWEEN_VALUES, VERSION, FactsPage, decode, encode, facts_of, split
from postkeep.faces.imap.masks import Found, full, number, positions_in, runs_in
from postkeep.faces.imap.pieces import pieces
from postkeep.faces.imap.view import View
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.search_answers import ExtendedAnswer, numbers_line, spans_in_order
from postkeep.protocols.imap.sequence import spans_of
from postkeep.services.delivery.summary import summarize


def test_a_page_says_what_its_summaries_say() -> None:
    summaries = [summarize(sample.data) for sample in messages(60, 8474)]
    page = decode(encode(facts_of(summaries)))
    assert page.count == 60
    assert split(page.subjects, 60) == [one.subject for one in summaries]
    assert split(page.base_subjects, 60) == [one.base_subject for one in summaries]
    for column, people in ((page.from_, "from_"), (page.to, "to"), (page.cc, "cc"), (page.bcc, "bcc")):
        expected = [
            BETWEEN_VALUES.join(f"{person.display} <{person.address}>" for person in getattr(one, people))
            for one in summaries
        ]
        assert split(column, 60) == expected
    assert split(page.references, 60) == [
        BETWEEN_VALUES.join(f"<{reference}>" for reference in one.references) for one in summaries
    ]
    lengths = [int.from_bytes(page.header_lengths[at : at + 4], "little") for at in range(0, 240, 4)]
    assert lengths == [one.header_length for one in summaries]


def test_a_header_that_decodes_to_separators_shifts_no_other_message() -> None:
    odd = b"=?utf-8?q?a=00b=01c?="
    message = b"Subject: %b\r\nFrom: %b <x@y>\r\nMessage-ID: <a\x00b>\r\n\r\n" % (odd, odd)
    page = facts_of([summarize(message), summarize(b"Subject: second\r\n\r\n")])
    assert split(page.subjects, 2) == ["a b c", "second"]
    assert split(page.from_, 2) == ["a b c <x@y>", ""]
    assert len(split(page.message_ids, 2)) == 2
    assert split(facts_of([]).subjects, 0) == []


@pytest.mark.parametrize(
    "change",
    [
        {"version": VERSION + 1},
        {"count": 3},
        {"sent_ms": b"1234567"},
        {"sent_zones": b""},
        {"header_lengths": bytes(9)},
    ],
)
def test_a_page_that_does_not_hold_together_is_not_read(change: dict[str, object]) -> None:
    page = facts_of([summarize(b"Subject: one\r\n\r\n"), summarize(b"Subject: two\r\n\r\n")])
    with pytest.raises(IntegrityError):
        decode(encode(msgspec.structs.replace(page, **change)))


def test_columns_of_another_length_and_garbage_are_not_read() -> None:
    page = facts_of([summarize(b"Subject: one\r\n\r\n")])
    with pytest.raises(IntegrityError):
        split(page.subjects + "\0", page.count)
    for data in (b"", b"\x90", encode(page)[:-1], msgspec.msgpack.encode([1, "x"])):
        with pytest.raises(IntegrityError):
            decode(data)
    assert isinstance(decode(encode(page)), FactsPage)


runs_drawn = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=6).map(
    lambda pairs: [
        range(start, start + length)
        for start, length in zip(
            [sum(map(sum, pairs[:at])) + pairs[at][0] for at in range(len(pairs))],
            [length for _, length in pairs],
            strict=True,
        )
    ]
)


@given(runs_drawn, st.randoms(use_true_random=False))
def test_masks_name_the_positions_they_keep(runs: list[range], rng: object) -> None:
    positions = [at for run in runs for at in run]
    mask = bytes(rng.randrange(2) for _ in positions)  # type: ignore[attr-defined]
    kept = [at for at, one in zip(positions, mask, strict=True) if one]
    assert [at for run in positions_in(runs, mask) for at in run] == kept
    found = Found(positions[-1] + 1 if positions else 0)
    found.add(runs, mask)
    assert list(found) == kept
    assert len(found) == len(kept)
    assert [at for run in found.runs() for at in run] == kept
    assert (found.first(), found.last()) == ((kept[0], kept[-1]) if kept else (-1, -1))
    assert number(mask) ^ full(len(mask)) == number(bytes(1 - one for one in mask))
    assert all(mask[run.start : run.stop] == b"\1" * len(run) for run in runs_in(mask))


def test_answers_of_any_length_are_whole_lines() -> None:
    assert b"".join(numbers_line(b"SEARCH", [])) == b"* SEARCH\r\n"
    assert b"".join(numbers_line(b"SORT", [3, 1], 7)) == b"* SORT 3 1 (MODSEQ 7)\r\n"
    many = range(1, 30_000)
    assert b"".join(numbers_line(b"SEARCH", many)).split() == [b"*", b"SEARCH", *(b"%d" % n for n in many)]
    answer = ExtendedAnswer(b"a1", uid=True)
    answer.number(b"COUNT", 20_000)
    answer.set(b"ALL", [(2 * n + 1, 2 * n + 1) for n in range(20_000)])
    line = b"".join(answer)
    assert line.startswith(b'* ESEARCH (TAG "a1") UID COUNT 20000 ALL 1,3,5,')
    assert line.endswith(b",39999\r\n")
    assert line.count(b",") == 19_999
    answer = ExtendedAnswer(b"a1", uid=False)
    answer.window(PartialRange(-1, -100), [])
    assert b"".join(answer) == b'* ESEARCH (TAG "a1") PARTIAL (-1:-100 NIL)\r\n'
    answer = ExtendedAnswer(b"a1", uid=False)
    answer.window(PartialRange(1, 100), [(3, 5), (9, 9)])
    assert b"".join(answer) == b'* ESEARCH (TAG "a1") PARTIAL (1:100 3:5,9)\r\n'


@given(st.lists(st.integers(1, 30), unique=True))
def test_ranges_of_a_sort_keep_its_order(numbers: list[int]) -> None:
    spans = spans_in_order(numbers)
    assert [one for low, high in spans for one in range(low, high + 1)] == numbers


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.lists(st.integers(0, 900), min_size=2, max_size=8, unique=True).map(sorted),
    st.integers(130, 300),
)
def test_pieces_end_where_a_page_does(gaps: list[int], ends: list[int], size: int) -> None:
    uids = [uid for at in range(1000) for uid in [at + 1 + sum(gaps[: at // 80])]]
    packed = b"".join(low.to_bytes(4, "little") + high.to_bytes(4, "little") for low, high in spans_of(uids))
    view = View(packed)
    runs = [range(low, high) for low, high in zip(ends[::2], ends[1::2], strict=False)]
    cut = list(pieces(view, runs, size))
    assert [at for piece in cut for run in piece for at in run] == [at for run in runs for at in run]
    for piece, following in itertools.pairwise(cut):
        assert 0 < sum(map(len, piece)) <= size
        last, first = piece[-1][-1], following[0][0]
        if first == last + 1:
            assert uids[last] >> 7 < uids[first] >> 7
