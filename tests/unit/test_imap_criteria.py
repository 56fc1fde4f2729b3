"""Search keys on rows and facts in columns, against what they mean for each message by itself."""

import datetime as dt
import random
from array import array
from collections.abc import Sequence

import pytest
from tests.corpus import messages
from tests.search_reference import Mail, matches

from postkeep.faces.imap.criteria import Cost, Facts, Rows, cost, ordered
from postkeep.faces.imap.facts import facts_of
from postkeep.faces.imap.objectids import email_id, thread_id, thread_root
from postkeep.faces.imap.row_blocks import Columns
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
)
from postkeep.protocols.imap.sequence import parse_sequence
from postkeep.services.delivery.summary import summarize

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
SETS = [(), ("\\Seen",), ("\\Seen", "$Work"), ("\\Deleted", "$WORK")]
COUNT = 300


def columns(flags: Sequence[int], saved: Sequence[int] | None = None) -> Columns:
    """Rows of UIDs 10, 12, 14 ..., a message an hour up to now."""
    count = len(flags)
    dates = array("q", (NOW_MS - 3_600_000 * at for at in range(count)))
    return Columns(
        array("I", range(10, 10 + 2 * count, 2)),
        array("Q", range(100, 100 + count)),
        array("H", flags),
        dates,
        array("I", range(1000, 1000 + count)),
        array("q", dates if saved is None else saved),
        bytearray(b"".join(at.to_bytes(16, "big") for at in range(count))),
        bytearray(b"\1") * count,
    )


def of(rows: Rows, key: SearchKey) -> list[int]:
    return [at for at, found in enumerate(rows.mask(key)) if found]


@pytest.mark.parametrize("extra", [0, 400])
def test_flags_are_found_without_regard_to_case_however_many_sets_there_are(extra: int) -> None:
    sets = [*SETS, *((f"k{number}",) for number in range(extra))]
    rng = random.Random(extra)
    flags = [rng.randrange(len(sets)) for _ in range(COUNT)]
    rows = Rows(columns(flags), sets, NOW_MS, recent_from=0)
    for flag in ("\\Seen", "$work", "\\Deleted", "nothing", "K7"):
        expected = [at for at in range(COUNT) if flag.lower() in {one.lower() for one in sets[flags[at]]}]
        assert of(rows, HasFlag(flag)) == expected


def test_sizes_dates_and_modseqs_are_compared_to_the_edge() -> None:
    rows = Rows(columns([0] * COUNT), SETS, NOW_MS, recent_from=14)
    assert of(rows, Larger(1297)) == [298, 299]
    assert of(rows, Smaller(1002)) == [0, 1]
    assert of(rows, ModSeq(398)) == [298, 299]
    assert of(rows, HasFlag("\\Recent")) == list(range(2, COUNT))
    assert of(Rows(columns([0]), SETS, NOW_MS, recent_from=0), HasFlag("\\Recent")) == []
    assert of(rows, Within(7200, older=False)) == [0, 1, 2]
    assert of(rows, Within(3600 * 298, older=True)) == [298, 299]
    day = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC).date() - dt.timedelta(3)
    moments = [dt.datetime.fromtimestamp(NOW_MS / 1000 - 3600 * at, dt.UTC).date() for at in range(COUNT)]
    for source in (DateSource.INTERNAL, DateSource.SAVED):
        before, on, since = (of(rows, Date(source, relation, day)) for relation in DateRelation)
        assert before == [at for at, moment in enumerate(moments) if moment < day]
        assert on == [at for at, moment in enumerate(moments) if moment == day]
        assert since == [at for at, moment in enumerate(moments) if moment >= day]


def test_a_save_date_that_is_not_known_is_the_internal_date() -> None:
    """RFC 8514 section 4.3."""
    day = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC).date()
    rows = Rows(columns([0, 0, 0], [0, NOW_MS - 30 * DAY_MS, 0]), SETS, NOW_MS, recent_from=0)
    assert of(rows, Date(DateSource.SAVED, DateRelation.SINCE, day)) == [0, 2]


def test_object_identifiers_find_just_their_messages() -> None:
    rows = Rows(columns([0] * COUNT), SETS, NOW_MS, recent_from=0)
    wanted = email_id((171).to_bytes(16, "big")).decode()
    assert of(rows, HasObjectId(ObjectKind.EMAILID, wanted)) == [171]
    for other in (wanted.upper(), "X" + wanted[1:], wanted[:-1], wanted + "00", "M" + "zz" * 16, "M"):
        assert of(rows, HasObjectId(ObjectKind.EMAILID, other)) == []
    one = b"Message-ID: <a@x>\r\n\r\n"
    page = Facts(
        facts_of(
            [
                summarize(one),
                summarize(b"References: <a@x> <b@x>\r\n\r\n"),
                summarize(b"In-Reply-To: <a@x>\r\n\r\n"),
                summarize(b"Message-ID: <b@x>\r\n\r\n"),
                summarize(b"Subject: none\r\n\r\n"),
            ]
        )
    )
    wanted = thread_id(thread_root([], [], "a@x")).decode()
    assert list(page.mask(HasObjectId(ObjectKind.THREADID, wanted))) == [1, 1, 1, 0, 0]
    assert list(page.mask(HasObjectId(ObjectKind.THREADID, "T"))) == [0] * 5


def test_headers_and_sent_dates_match_as_each_message_does_by_itself() -> None:
    samples = list(messages(200, 3501))
    summaries = [summarize(sample.data) for sample in samples]
    page = Facts(facts_of(summaries))
    arrived = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    mails = [Mail(at + 1, at + 1, frozenset(), arrived, sample.data) for at, sample in enumerate(samples)]
    keys: list[SearchKey] = [
        Header(field, text)
        for field in ("FROM", "TO", "CC", "SUBJECT", "MESSAGE-ID", "References")
        for text in (
            "EXAMPLE.NET",
            "example.com> <",
            "Person",
            "会议",
            "[list]",
            samples[9].canaries[0],
            "no\0where",
        )
    ]
    keys += [
        Date(DateSource.SENT, relation, dt.date(2026, 11, day))
        for relation in DateRelation
        for day in (1, 9, 28)
    ]
    hits = 0
    for key in keys:
        assert cost(key) is Cost.FACTS
        expected = [matches(key, mail, mails[-1]) for mail in mails]
        assert [bool(one) for one in page.mask(key)] == expected, key
        hits += any(expected)
    assert hits > 15


def test_no_needle_reaches_from_one_message_into_the_next() -> None:
    page = Facts(facts_of([summarize(b"Subject: ab\r\n\r\n"), summarize(b"Subject: cd\r\n\r\n")]))
    assert list(page.mask(Header("SUBJECT", "B"))) == [1, 0]
    for needle in ("bc", "b\0c", "ab\0cd"):
        assert list(page.mask(Header("SUBJECT", needle))) == [0, 0]


def test_a_date_that_cannot_be_read_matches_in_no_direction() -> None:
    page = Facts(facts_of([summarize(b"Date: sometime\r\n\r\n"), summarize(b"Subject: none\r\n\r\n")]))
    for relation in DateRelation:
        assert list(page.mask(Date(DateSource.SENT, relation, dt.date(2000, 1, 1)))) == [0, 0]


def test_keys_are_tried_in_the_order_of_what_they_cost() -> None:
    numbers = Numbers(parse_sequence(b"1:5"), uid=True)
    key = And((Text("x"), Header("X-A", "b"), Header("SUBJECT", "c"), HasFlag("\\Seen"), All(), numbers))
    assert ordered(key) == And(
        (All(), numbers, HasFlag("\\Seen"), Header("SUBJECT", "c"), Text("x"), Header("X-A", "b"))
    )
    nested = Not(Or(Body("x"), Not(And((Header("TO", ""), HasFlag("a"))))))
    assert ordered(nested) == Not(Or(Body("x"), Not(And((HasFlag("a"), Header("TO", ""))))))
    assert [cost(one) for one in (numbers, Header("TO", ""), nested)] == [
        Cost.NOTHING,
        Cost.HEADER,
        Cost.HEADER,
    ]
