"""The IMAP core: reader, parser, strings, responses, client, by example."""

import datetime as dt

import pytest

from postkeep.protocols.imap import responses
from postkeep.protocols.imap.client import ResponseReader, parse_response
from postkeep.protocols.imap.commands import (
    Append,
    Authenticate,
    Bare,
    Command,
    Copy,
    Create,
    Enable,
    Fetch,
    Id,
    ListMailboxes,
    Login,
    NewMessage,
    Rename,
    ReturnAttribute,
    Search,
    Select,
    SelectionOption,
    Status,
    StatusItem,
    Store,
    StoreMode,
    UidExpunge,
)
from postkeep.protocols.imap.dates import parse_date_time, render_date_time
from postkeep.protocols.imap.errors import ImapCharsetError, ImapStreamError, ImapSyntaxError
from postkeep.protocols.imap.fetch import (
    Attribute,
    BinarySection,
    BodySection,
    Partial,
    Section,
    SectionText,
)
from postkeep.protocols.imap.limits import (
    COMMAND_TEXT_BYTES_MAX,
    DISCARD_BYTES_MAX,
    NESTING_MAX,
    SEARCH_KEYS_MAX,
    SEQUENCE_RANGES_MAX,
)
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.reader import CommandBytes, CommandReader, Continue, Event, Refusal
from postkeep.protocols.imap.search import (
    All,
    And,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    Header,
    ModSeq,
    Not,
    Numbers,
    Or,
    ReturnOption,
    Returns,
    Text,
)
from postkeep.protocols.imap.search_answers import ExtendedAnswer
from postkeep.protocols.imap.sequence import STAR, SequenceSet, merge, parse_sequence, spans_of
from postkeep.protocols.imap.strings import render_astring, render_mailbox, render_string
from postkeep.protocols.imap.utf7 import decode_utf7, encode_utf7


def parse(text: bytes, *literals: bytes, utf8: bool = False) -> Command:
    return parse_command(CommandBytes(text, literals), utf8=utf8).command


def events(reader: CommandReader) -> list[Event]:
    found = []
    while (event := reader.next_event()) is not None:
        found.append(event)
    return found


def one() -> SequenceSet:
    return SequenceSet(((1, 1),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a NOOP", Bare.NOOP),
        (b"a noop  ", Bare.NOOP),
        (b'a LOGIN "al\\"ice" p]w', Login(b'al"ice', b"p]w")),
        (b"a AUTHENTICATE PLAIN", Authenticate("PLAIN")),
        (b"a authenticate plain =", Authenticate("PLAIN", b"=")),
        (b"a ENABLE CONDSTORE imap4rev2", Enable(("CONDSTORE", "IMAP4REV2"))),
        (b'a ID ("name" "mutt" "os" NIL)', Id(((b"name", b"mutt"), (b"os", None)))),
        (b"a ID NIL", Id(None)),
        (b"a SELECT inbox (CONDSTORE)", Select("inbox", condstore=True)),
        (b"a EXAMINE &ZeU-", Select("日", read_only=True)),
        (b"a CREATE x (USE (\\Drafts))", Create("x", ("\\Drafts",))),
        (b'a RENAME a/b "c d"', Rename("a/b", "c d")),
        (b"a STATUS x (MESSAGES SIZE)", Status("x", (StatusItem.MESSAGES, StatusItem.SIZE))),
        (b"a UID EXPUNGE 3:*", UidExpunge(SequenceSet(((3, STAR),)))),
        (b"a COPY 1 x", Copy(one(), "x")),
        (b"a uid move 1 x", Copy(one(), "x", uid=True, move=True)),
        (b"a STORE 1 +FLAGS.SILENT (\\seen $X)", Store(one(), StoreMode.ADD, ("\\Seen", "$X"), silent=True)),
        (b"a STORE 1 FLAGS \\Deleted", Store(one(), StoreMode.REPLACE, ("\\Deleted",))),
        (
            b"a UID STORE 1 (UNCHANGEDSINCE 9) -FLAGS ()",
            Store(one(), StoreMode.REMOVE, (), uid=True, unchanged_since=9),
        ),
        (
            b"a FETCH 1 ALL",
            Fetch(
                one(),
                (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.RFC822_SIZE, Attribute.ENVELOPE),
            ),
        ),
        (b"a FETCH 1 body", Fetch(one(), (Attribute.BODY,))),
        (b"a FETCH 1 BODY[]", Fetch(one(), (BodySection(Section()),))),
        (
            b'a UID FETCH 1 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (To "X-Y")]<5.10>) (CHANGEDSINCE 4)',
            Fetch(
                one(),
                (
                    Attribute.FLAGS,
                    BodySection(
                        Section((1, 2), SectionText.HEADER_FIELDS, (b"To", b"X-Y")),
                        Partial(5, 10),
                        peek=True,
                    ),
                ),
                uid=True,
                changed_since=4,
            ),
        ),
        (b"a FETCH 1 BINARY.SIZE[2]", Fetch(one(), (BinarySection((2,), size=True),))),
        (
            b"a FETCH 1 RFC822.HEADER",
            Fetch(one(), (BodySection(Section((), SectionText.HEADER), None, True, "RFC822.HEADER"),)),
        ),
        (b'a LIST "" %', ListMailboxes("", ("%",))),
        (b'a LSUB "" "*"', ListMailboxes("", ("*",), lsub=True)),
        (
            b'a LIST (SUBSCRIBED RECURSIVEMATCH) "" (INBOX "a/%") RETURN (CHILDREN STATUS (UNSEEN))',
            ListMailboxes(
                "",
                ("INBOX", "a/%"),
                frozenset({SelectionOption.SUBSCRIBED, SelectionOption.RECURSIVEMATCH}),
                frozenset({ReturnAttribute.CHILDREN}),
                (StatusItem.UNSEEN,),
                extended=True,
            ),
        ),
        (b"a SEARCH UNSEEN", Search(Not(HasFlag("\\Seen")))),
        (b"a SEARCH NEW", Search(And((HasFlag("\\Recent"), Not(HasFlag("\\Seen")))))),
        (
            b"a UID SEARCH RETURN (MIN COUNT) CHARSET UTF-8 OR FROM bob NOT (1:3 SINCE 1-Feb-1994)",
            Search(
                Or(
                    Header("FROM", "bob"),
                    Not(
                        And(
                            (
                                Numbers(SequenceSet(((1, 3),)), uid=False),
                                Date(DateSource.INTERNAL, DateRelation.SINCE, dt.date(1994, 2, 1)),
                            ),
                        ),
                    ),
                ),
                uid=True,
                returns=Returns(frozenset({ReturnOption.MIN, ReturnOption.COUNT})),
            ),
        ),
        (b"a SEARCH RETURN () ALL", Search(All(), returns=Returns(frozenset({ReturnOption.ALL})))),
        (b'a SEARCH MODSEQ "/flags/\\\\draft" all 620162338', Search(ModSeq(620162338))),
    ],
)
def test_a_command_is_read_as_the_value_it_means(text: bytes, expected: Command) -> None:
    assert parse(text) == expected


def test_literals_take_the_place_of_strings() -> None:
    assert parse(b"a LOGIN {5}\r\n {3+}\r\n", b"alice", b'p"w') == Login(b"alice", b'p"w')
    assert parse(b'a APPEND x (\\Seen) " 7-Feb-1994 21:52:25 -0800" {3}\r\n', b"abc") == Append(
        "x",
        (NewMessage(("\\Seen",), 760_686_745_000, (b"abc",)),),
    )
    assert parse(b"a SEARCH CHARSET UTF-8 TEXT {6}\r\n", "日本".encode()) == Search(Text("日本"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a",
        b"a ",
        b"a FOO",
        b"a NOOP x",
        b"* NOOP",
        b"a+b NOOP",
        b"a LOGIN x",
        b"a SELECT",
        b"a SELECT x\x00y",
        b"a SELECT &",
        b"a SELECT &ZeU",
        b"a SELECT &AEE-",
        b"a FETCH 0 FLAGS",
        b"a FETCH 4294967296 FLAGS",
        b"a FETCH 1,, FLAGS",
        b"a FETCH 1 BODY[MIME]",
        b"a FETCH 1 BODY[HEADER.FIELDS ()]",
        b"a FETCH 1 BODY[0]",
        b"a FETCH 1 BODY[]<0.0>",
        b"a FETCH 1 ()",
        b"a STORE 1 FLAGS \\Recent",
        b"a STORE 1 FLAGS (\\Seen",
        b'a APPEND x "99-Feb-1994 21:52:25 -0800" {1}\r\n',
        b"a APPEND x {1}\r\n",
        b"a SEARCH",
        b"a SEARCH SINCE 32-Jan-2020",
        b"a SEARCH CHARSET US-ASCII TEXT \xff",
        b'a LIST (RECURSIVEMATCH) "" *',
        b"a ID x",
        b"a STATUS x ()",
        b'a LOGIN "a\nb" c',
    ],
)
def test_what_is_no_command_is_a_syntax_error(text: bytes) -> None:
    with pytest.raises(ImapSyntaxError):
        parse(text)


def test_a_syntax_error_names_the_tag_where_there_was_one() -> None:
    with pytest.raises(ImapSyntaxError) as caught:
        parse(b"a7 FETCH nonsense")
    assert caught.value.tag == b"a7"
    with pytest.raises(ImapSyntaxError) as caught:
        parse(b"(broken")
    assert caught.value.tag == b""


def test_an_unknown_charset_is_told_apart_from_bad_syntax() -> None:
    with pytest.raises(ImapCharsetError):
        parse(b"a SEARCH CHARSET KOI8-R TEXT x")


def test_nesting_keys_and_ranges_are_bounded() -> None:
    parse(b"a SEARCH " + b"(" * NESTING_MAX + b"ALL" + b")" * NESTING_MAX)
    for text in (
        b"a SEARCH " + b"(" * (NESTING_MAX + 1) + b"ALL" + b")" * (NESTING_MAX + 1),
        b"a SEARCH " + b"NOT " * (NESTING_MAX + 2) + b"ALL",
        b"a SEARCH" + b" ALL" * (SEARCH_KEYS_MAX + 1),
        b"a FETCH " + b"1," * SEQUENCE_RANGES_MAX + b"1 FLAGS",
    ):
        with pytest.raises(ImapSyntaxError):
            parse(text)


def test_rev2_clients_write_mailbox_names_in_utf8() -> None:
    assert parse('a SELECT "日&本"'.encode(), utf8=True) == Select("日&本")


def test_modified_utf7_has_one_spelling_per_name() -> None:
    for name, raw in (
        ("INBOX", b"INBOX"),
        ("a&b", b"a&-b"),
        ("台北/日本語", b"&U,BTFw-/&ZeVnLIqe-"),
        ("😀", b"&2D3eAA-"),
    ):
        assert encode_utf7(name) == raw
        assert decode_utf7(raw) == name


def test_the_reader_asks_before_a_synchronising_literal_only() -> None:
    reader = CommandReader()
    reader.feed(b"a LOGIN {5}\r\n")
    assert events(reader) == [Continue()]
    reader.feed(b"alice {2+}\r\npw\r\nb NOOP\r\nc NO")
    assert events(reader) == [
        CommandBytes(b"a LOGIN {5}\r\n {2+}\r\n", (b"alice", b"pw")),
        CommandBytes(b"b NOOP"),
    ]
    assert reader.in_command


def test_an_append_is_refused_by_its_size_before_it_is_read() -> None:
    reader = CommandReader()
    reader.append_bytes_max = 100
    reader.feed(b"a APPEND x {101}\r\n")
    assert events(reader) == [Refusal(b"a", too_big=True)]
    reader.feed(b"c APPEND x {60+}\r\n" + b"m" * 60 + b" {60}\r\n")
    assert events(reader) == [Refusal(b"c", too_big=False)]
    reader.feed(b"d UID REPLACE 1 x {100+}\r\n" + b"m" * 100 + b"\r\n")
    assert events(reader) == [CommandBytes(b"d UID REPLACE 1 x {100+}\r\n", (b"m" * 100,))]
    reader.feed(b"b APPEND x {100}\r\n" + b"m" * 100 + b"\r\n")
    assert events(reader) == [Continue(), CommandBytes(b"b APPEND x {100}\r\n", (b"m" * 100,))]


def test_a_refused_literal_that_comes_anyway_is_skipped() -> None:
    reader = CommandReader()
    reader.append_bytes_max = 100
    reader.feed(b"a APPEND x {300+}\r\n" + b"m" * 150)
    assert events(reader) == []
    assert reader.backlog == 0
    reader.feed(b"m" * 150 + b" more {2+}\r\nxx\r\nb NOOP\r\n")
    assert events(reader) == [Refusal(b"a", too_big=True), CommandBytes(b"b NOOP")]
    reader.feed(b"c APPEND x {%d+}\r\n" % (DISCARD_BYTES_MAX + 1))
    with pytest.raises(ImapStreamError):
        reader.next_event()


def test_a_large_append_is_handed_out_as_it_was_filled() -> None:
    reader = CommandReader()
    reader.append_bytes_max = 1 << 20
    message = bytes(range(256)) * 1024
    reader.feed(b"a APPEND x ~{%d}\r\n" % len(message))
    assert events(reader) == [Continue()]
    for start in range(0, len(message), 1000):
        reader.feed(message[start : start + 1000])
        assert reader.backlog == 0
    reader.feed(b"\r\n")
    (event,) = events(reader)
    assert isinstance(event, CommandBytes)
    assert type(event.literals[0]) is bytearray
    assert event.literals[0] == message


def test_an_endless_line_ends_the_stream() -> None:
    reader = CommandReader()
    reader.feed(b"a" * (COMMAND_TEXT_BYTES_MAX + 2))
    with pytest.raises(ImapStreamError):
        reader.next_event()


def test_nothing_survives_the_clearing_before_tls() -> None:
    reader = CommandReader()
    reader.feed(b"a LOGIN {5+}\r\nali")
    assert events(reader) == []
    reader.clear()
    reader.feed(b"b NOOP\r\n")
    assert events(reader) == [CommandBytes(b"b NOOP")]


def test_sequence_sets_resolve_against_the_mailbox() -> None:
    assert parse_sequence(b"5:3,9,*").resolve(12) == [(3, 5), (9, 9), (12, 12)]
    assert parse_sequence(b"20:*").resolve(12) == [(12, 20)]
    assert parse_sequence(b"*").resolve(0) == []
    assert parse_sequence(b"$").saved
    assert merge([(4, 6), (1, 3)]) == [(1, 6)]
    assert spans_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert spans_of([]) == []


def test_dates_keep_their_moment_through_zones() -> None:
    assert render_date_time(parse_date_time(b"17-Jul-1996 02:44:25 -0700")) == b'"17-Jul-1996 09:44:25 +0000"'


def test_strings_take_the_form_their_octets_need() -> None:
    assert render_string(b'a"\\b') == b'"a\\"\\\\b"'
    assert render_string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert render_astring(b"abc") == b"abc"
    assert render_astring(b"nil") == b'"nil"'
    assert render_astring(b"") == b'""'
    assert render_mailbox("日", utf8=False) == b'"&ZeU-"'
    assert render_mailbox("日", utf8=True) == '"日"'.encode()


def test_the_client_reads_what_the_server_writes() -> None:
    reader = ResponseReader()
    extended = ExtendedAnswer(b"a", uid=True)
    extended.number(b"COUNT", 2)
    extended.set(b"ALL", [(1, 2)])
    reader.feed(
        responses.status(b"a", "OK", "done", "APPENDUID 1 2")
        + responses.fetch(
            3, [b"UID 7", b"FLAGS (\\Seen)", b"BODY[]<0> {5}\r\na\r\n)b", b'ENVELOPE (NIL "x")']
        )
        + responses.listing(["\\HasChildren"], 'a"b', utf8=False, child_info=["SUBSCRIBED"])
        + b"".join(extended)
        + responses.continuation()
    )
    answers = []
    while (answer := reader.next_response()) is not None:
        answers.append(answer)
    assert [(answer.tag, answer.kind) for answer in answers] == [
        ("a", "OK"),
        ("*", "FETCH"),
        ("*", "LIST"),
        ("*", "ESEARCH"),
        ("+", ""),
    ]
    assert answers[0].code == "APPENDUID 1 2"
    assert answers[1].number == 3
    assert answers[1].items() == {
        "UID": "7",
        "FLAGS": ["\\Seen"],
        "BODY[]<0>": b"a\r\n)b",
        "ENVELOPE": [None, b"x"],
    }
    assert answers[2].values == [["\\HasChildren"], b"/", b'a"b', [b"CHILDINFO", [b"SUBSCRIBED"]]]
    assert answers[3].values == [["TAG", b"a"], "UID", "COUNT", "2", "ALL", "1:2"]


def test_an_unbalanced_response_is_refused() -> None:
    for raw in (b"* LIST (", b"* LIST )", b"* 1 FETCH (BODY[] {9}\r\nab)"):
        with pytest.raises(ImapSyntaxError):
            parse_response(raw)
