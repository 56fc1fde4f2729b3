"""The IMAP face's pure parts: the view of a mailbox, names and patterns, search decisions, replies."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import PostkeepError, QuotaError, RefusedError, UnavailableError
from postkeep.faces.imap.listing import render_list
from postkeep.faces.imap.matching import Facts, Sets, match
from postkeep.faces.imap.names import Named, Pattern, Tree, canonical, is_valid, parents
from postkeep.faces.imap.opening import Piece, group
from postkeep.faces.imap.replies import CommandError, reply_to_error
from postkeep.faces.imap.view import View, batches, runs_of
from postkeep.model.categories import Label
from postkeep.protocols.imap.commands import ListMailboxes
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.search import All, And, Body, HasFlag, Header, Not, Or, SearchKey
from postkeep.protocols.imap.sequence import parse_sequence
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.vault.api import MailboxRow, MessageRow


def row(uid: int, modseq: int = 1, *flags: str) -> MessageRow:
    return MessageRow(uid, modseq, flags, 1000 * uid, 10 * uid, b"", Label.INTERNAL)


def mailbox(name: str, role: str = "", *, subscribed: bool = False, selectable: bool = True) -> Named:
    return Named(name, MailboxRow(name.encode(), role, None, subscribed, selectable, 1, 1, 1, 0, 0, 0, 0))


def test_new_rows_are_added_changed_ones_updated_and_old_news_ignored() -> None:
    view = View()
    assert view.apply([row(3), row(5), row(9)]) == ([], 3)
    assert view.apply([row(5, 4, "\\Seen", "$X"), row(9, 1), row(7, 9), row(12, 5)]) == ([1], 1)
    assert list(view.uids) == [3, 5, 9, 12]
    assert view.flags(1) == ("\\Seen", "$X")
    assert view.keywords == {"$X"}
    assert view.apply([row(5, 2)]) == ([], 0)
    assert view.first_unseen() == 1


def test_expunged_messages_keep_their_numbers_until_they_are_announced() -> None:
    view = View()
    view.apply([row(uid, 1, *(("\\Deleted",) if uid % 2 else ())) for uid in range(1, 8)])
    assert list(view.deleted_uids()) == [1, 3, 5, 7]
    view.vanish([(2, 3), (6, 6), (100, 200)])
    assert view.position(6) == 5
    assert view.expunge() == [2, 2, 4]
    assert list(view.uids) == [1, 4, 5, 7]
    assert list(view.sizes) == [10, 40, 50, 70]
    assert view.expunge() == []


@given(st.sets(st.integers(1, 60), min_size=1), st.sets(st.integers(1, 60)))
def test_a_client_that_follows_the_announcements_ends_with_the_same_mailbox(
    uids: set[int], gone: set[int]
) -> None:
    view = View()
    view.apply([row(uid) for uid in sorted(uids)])
    theirs = sorted(uids)
    view.vanish((uid, uid) for uid in gone)
    for number in view.expunge():
        del theirs[number - 1]
    assert theirs == list(view.uids) == sorted(uids - gone)


@given(st.sets(st.integers(1, 50)), st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1))
def test_sets_name_the_positions_that_a_plain_reading_names(
    uids: set[int], spans: list[tuple[int, int]]
) -> None:
    view = View()
    view.apply([row(uid) for uid in sorted(uids)])
    sequence = parse_sequence(b",".join(b"%d:%d" % span for span in spans))
    named = {number for low, high in spans for number in range(min(low, high), max(low, high) + 1)}
    runs = view.positions(sequence, uid=True)
    assert runs is not None
    positions = [at for run in runs for at in run]
    assert [view.uids[at] for at in positions] == sorted(uids & named)
    covered = {uid for low, high in view.uid_ranges(runs) for uid in range(low, high + 1)}
    assert covered & uids == uids & named
    by_number = view.positions(sequence, uid=False)
    if max(named) > len(uids):
        assert by_number is None
    else:
        assert [at + 1 for run in by_number or [] for at in run] == sorted(named)


def test_star_is_the_last_message_and_nothing_in_an_empty_mailbox() -> None:
    view = View()
    assert view.positions(parse_sequence(b"1:*"), uid=True) == []
    assert view.positions(parse_sequence(b"*"), uid=False) == []
    view.apply([row(4), row(8)])
    assert view.positions(parse_sequence(b"*"), uid=True) == [range(1, 2)]
    assert view.positions(parse_sequence(b"100:*"), uid=True) == [range(1, 2)]


@given(st.lists(st.integers(0, 200), unique=True), st.integers(1, 20))
def test_batches_hold_every_position_once_in_order(numbers: list[int], size: int) -> None:
    runs = runs_of(sorted(numbers))
    cut = list(batches(runs, size))
    assert [at for batch in cut for run in batch for at in run] == sorted(numbers)
    assert all(sum(map(len, batch)) == size for batch in cut[:-1])


def test_ranges_are_grouped_below_the_limits_of_one_call() -> None:
    pieces = [Piece(uid, 1 << 20, 0, 1 << 20) for uid in range(5)]
    assert [len(part) for part in group(pieces)] == [2, 2, 1]
    assert [len(part) for part in group([Piece(1, 10, 0, 10)] * 600)] == [256, 256, 88]


def test_names_have_one_spelling() -> None:
    assert canonical("iNbOx") == "INBOX"
    assert canonical("inbox/Sub/") == "INBOX/Sub"
    assert canonical("Inboxes") == "Inboxes"
    assert parents("a/b/c") == ["a", "a/b"]
    assert is_valid("a/b c")
    assert not any(is_valid(name) for name in ("", "a//b", "/a", "a%", "*"))


@given(st.text("ab/%*", max_size=8), st.text("ab/", max_size=8))
def test_patterns_match_as_the_plain_translation_does(pattern: str, name: str) -> None:
    plain = re.escape(pattern).replace("%", "[^/]*").replace(r"\*", ".*")
    assert Pattern(pattern).matches(name) == bool(re.fullmatch(plain, name, re.DOTALL))


def test_no_pattern_takes_long() -> None:
    started = time.perf_counter()
    assert not Pattern("%a*" * 300 + "c").matches("a" * 900 + "/b")
    assert time.perf_counter() - started < 0.2


def test_inbox_is_matched_in_any_case() -> None:
    assert Pattern("inbox").matches("INBOX")
    assert Pattern("Inb*").matches("INBOX")
    assert Pattern("inbox/%").matches("INBOX/a")
    assert not Pattern("in*").matches("INTERNAL")


def test_list_shows_levels_that_only_exist_above_others() -> None:
    tree = Tree(
        [mailbox("INBOX", "inbox"), mailbox("a/b", subscribed=True), mailbox("x", selectable=False)], 1
    )
    assert render_list(tree, ListMailboxes("", ("%",)), utf8=False) == (
        b'* LIST (\\HasNoChildren) "/" "INBOX"\r\n'
        b'* LIST (\\NonExistent \\Noselect \\HasChildren) "/" "a"\r\n'
        b'* LIST (\\Noselect \\HasNoChildren) "/" "x"\r\n'
    )
    assert render_list(tree, ListMailboxes("", ("%",), lsub=True), utf8=False) == (
        b'* LSUB (\\Noselect) "/" "a"\r\n'
    )
    assert render_list(tree, ListMailboxes("", ("*",), lsub=True), utf8=False) == (
        b'* LSUB (\\HasNoChildren) "/" "a/b"\r\n'
    )


BLANK = Facts(1, 1, ("\\Seen",), recent=False, date_ms=0, size=1, modseq=1)
TRUE, FALSE, OPEN = HasFlag("\\seen"), HasFlag("$none"), Body("x")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (All(), True),
        (OPEN, None),
        (Header("SUBJECT", "x"), None),
        (Not(OPEN), None),
        (Not(FALSE), True),
        (And((TRUE, OPEN)), None),
        (And((OPEN, FALSE)), False),
        (Or(TRUE, OPEN), True),
        (Or(OPEN, FALSE), None),
        (Or(FALSE, FALSE), False),
        (Body(""), True),
    ],
)
def test_a_search_is_decided_as_soon_as_what_is_known_decides_it(
    key: SearchKey,
    expected: bool | None,  # noqa: FBT001 - a value of the table
) -> None:
    assert match(key, BLANK, Sets({})) is expected


def test_three_valued_logic_agrees_with_two_valued_logic_wherever_it_decides() -> None:
    keys: tuple[SearchKey, ...] = (TRUE, FALSE, OPEN)
    for left, right in itertools.product(keys, repeat=2):
        trees: tuple[SearchKey, ...] = (And((left, right)), Or(left, right), Not(And((left, Not(right)))))
        for key in trees:
            early = match(key, BLANK, Sets({}))
            for body in ("x", "y"):
                late = match(key, BLANK._replace(body=body, header=""), Sets({}))
                assert late is not None
                assert early in {None, late}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImapSyntaxError("No.", tag=b"a"), b"a BAD No.\r\n"),
        (ImapSyntaxError("No."), b"* BAD No.\r\n"),
        (CommandError("No.", "CANNOT"), b"t NO [CANNOT] No.\r\n"),
        (CommandError("No.", bad=True), b"t BAD No.\r\n"),
        (QuotaError("inside"), b"t NO [OVERQUOTA] The mailbox is full.\r\n"),
        (RefusedError(code="refused.principal"), b"t NO [NOPERM] This is not permitted.\r\n"),
        (
            UnavailableError(code="unavailable.ledger"),
            b"t NO [UNAVAILABLE] The service is not available at the moment.\r\n",
        ),
        (PostkeepError("secret inside"), b"t NO [SERVERBUG] Something went wrong on our side.\r\n"),
    ],
)
def test_errors_have_their_reply_and_no_detail_in_it(error: PostkeepError, line: bytes) -> None:
    assert reply_to_error(b"t", error) == line


def test_transfer_encodings_are_undone_whatever_is_in_them() -> None:
    assert undo_encoding(b"aGVs\r\nbG8=", "base64") == b"hello"
    assert undo_encoding(b"aGVsb", "base64") == b"hel"
    assert undo_encoding(b"a=3Db=\r\nc", "quoted-printable") == b"a=bc"
    assert undo_encoding(b"\xff", "8bit") == b"\xff"
