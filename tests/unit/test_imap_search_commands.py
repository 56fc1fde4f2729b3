"""SEARCH, SORT and THREAD as their standards write them, and what they may not be.

RFC 3501, 4731, 5032, 5182, 5256, 5267, 5957, 7162, 8474, 8514, 9394.
"""

import datetime as dt

import pytest

from postkeep.protocols.imap.commands import Command, Search, Sort, Thread
from postkeep.protocols.imap.errors import ImapCharsetError, ImapSyntaxError
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.reader import CommandBytes
from postkeep.protocols.imap.search import (
    All,
    And,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    HasObjectId,
    Header,
    ModSeq,
    Not,
    ObjectKind,
    ReturnOption,
    Returns,
    Text,
    Within,
)
from postkeep.protocols.imap.sort import SortField, SortKey, ThreadAlgorithm, casemap


def parse(text: str) -> Command:
    return parse_command(CommandBytes(b"a " + text.encode(), ())).command


def only(*options: ReturnOption, partial: PartialRange | None = None) -> Returns:
    return Returns(frozenset(options), partial)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SEARCH UNSEEN YOUNGER 259200", Search(And((Not(HasFlag("\\Seen")), Within(259200, older=False))))),
        ("UID SEARCH OLDER 1", Search(Within(1, older=True), uid=True)),
        (
            "SEARCH SAVEDBEFORE 28-Dec-2014",
            Search(Date(DateSource.SAVED, DateRelation.BEFORE, dt.date(2014, 12, 28))),
        ),
        ("SEARCH SAVEDON 1-Jan-2015", Search(Date(DateSource.SAVED, DateRelation.ON, dt.date(2015, 1, 1)))),
        (
            "SEARCH savedsince 1-Jan-2015",
            Search(Date(DateSource.SAVED, DateRelation.SINCE, dt.date(2015, 1, 1))),
        ),
        ("SEARCH SAVEDATESUPPORTED", Search(All())),
        ("SEARCH EMAILID M6d99ac3275bb4e", Search(HasObjectId(ObjectKind.EMAILID, "M6d99ac3275bb4e"))),
        ("SEARCH THREADID T64b478a75b7ea9", Search(HasObjectId(ObjectKind.THREADID, "T64b478a75b7ea9"))),
        ('SEARCH MODSEQ "/flags/\\\\draft" all 620162338', Search(ModSeq(620162338))),
        (
            "UID SEARCH RETURN (PARTIAL -1:-100) UNDELETED",
            Search(Not(HasFlag("\\Deleted")), uid=True, returns=only(partial=PartialRange(-1, -100))),
        ),
        (
            "SEARCH RETURN (COUNT partial 23500:24000 SAVE) ALL",
            Search(
                All(),
                returns=only(ReturnOption.COUNT, ReturnOption.SAVE, partial=PartialRange(23500, 24000)),
            ),
        ),
        (
            "SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994",
            Sort(
                (SortKey(SortField.SUBJECT),),
                Date(DateSource.INTERNAL, DateRelation.SINCE, dt.date(1994, 2, 1)),
            ),
        ),
        (
            "UID SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
            Sort((SortKey(SortField.SUBJECT), SortKey(SortField.DATE, reverse=True)), All(), uid=True),
        ),
        (
            'SORT RETURN (MIN COUNT) (reverse displayfrom Displayto) us-ascii text "not in mailbox"',
            Sort(
                (SortKey(SortField.DISPLAYFROM, reverse=True), SortKey(SortField.DISPLAYTO)),
                Text("not in mailbox"),
                returns=only(ReturnOption.MIN, ReturnOption.COUNT),
            ),
        ),
        (
            "THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000",
            Thread(
                ThreadAlgorithm.ORDEREDSUBJECT,
                Date(DateSource.INTERNAL, DateRelation.SINCE, dt.date(2000, 3, 5)),
            ),
        ),
        (
            'UID THREAD REFERENCES US-ASCII SUBJECT "gewp"',
            Thread(ThreadAlgorithm.REFERENCES, Header("SUBJECT", "gewp"), uid=True),
        ),
    ],
)
def test_a_search_is_read_as_the_value_it_means(text: str, expected: Command) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SEARCH YOUNGER 0",
        "SEARCH OLDER -1",
        "SEARCH OLDER",
        "SEARCH EMAILID a.b",
        f"SEARCH EMAILID {'a' * 256}",
        "SEARCH SAVEDSINCE yesterday",
        "SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
        "SEARCH RETURN (PARTIAL 0:2) ALL",
        "SEARCH RETURN (PARTIAL 1:-2) ALL",
        "SEARCH RETURN (PARTIAL 1) ALL",
        "SEARCH RETURN (PARTIAL 1:2:3) ALL",
        "SEARCH RETURN (PARTIAL 1:4294967296) ALL",
        "SEARCH RETURN (RELEVANCY) ALL",
        "SORT () UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
        "SORT (BCC) UTF-8 ALL",
        "SORT (DATE) UTF-8",
        "SORT DATE UTF-8 ALL",
        "THREAD REFS UTF-8 ALL",
        "THREAD REFERENCES UTF-8",
        "THREAD RETURN (ALL) REFERENCES UTF-8 ALL",
        f"SORT ({' '.join(['DATE'] * 600)}) UTF-8 ALL",
    ],
)
def test_what_no_standard_writes_is_refused(text: str) -> None:
    with pytest.raises(ImapSyntaxError):
        parse(text)


@pytest.mark.parametrize("text", ["SORT (DATE) KOI8-R ALL", "THREAD REFERENCES utf-7 ALL"])
def test_a_charset_that_is_not_searched_is_named(text: str) -> None:
    with pytest.raises(ImapCharsetError):
        parse(text)


@pytest.mark.parametrize(
    ("window", "count", "expected"),
    [
        ((1, 3), 10, range(3)),
        ((3, 1), 10, range(3)),
        ((9, 20), 10, range(8, 10)),
        ((11, 20), 10, range(0)),
        ((-1, -3), 10, range(7, 10)),
        ((-9, -20), 10, range(2)),
        ((-11, -20), 10, range(0)),
        ((1, 1), 0, range(0)),
        ((-1, -1), 0, range(0)),
    ],
)
def test_a_window_names_places_from_either_end(window: tuple[int, int], count: int, expected: range) -> None:
    assert list(PartialRange(*window).slice(count)) == list(expected)


def test_texts_are_ordered_by_title_case_and_decomposition() -> None:
    """RFC 5051: each character for itself, so that a sharp s stays one letter and no German rule applies."""
    assert casemap("Zebra") == casemap("zEBRA")
    assert casemap("ÅNGSTRÖM") == casemap("a\u030angstro\u0308m")
    assert casemap("ﬁ") == "fi"  # a ligature has no title case of one character; then it is decomposed
    assert casemap("straße") != casemap("STRASSE")
    assert casemap("ǆ") == casemap("Ǆ") == casemap("ǅ")  # the title case of all three is one
    assert casemap("\uff21\uff22\uff23") == casemap("ABC")
    assert sorted(["été", "eta", "Zoo", "午", "ab"], key=casemap) == ["ab", "eta", "été", "Zoo", "午"]
