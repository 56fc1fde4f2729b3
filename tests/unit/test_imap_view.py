"""The IMAP face's pure parts: the view of a mailbox, names and patterns, replies."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postkeep.base.errors import PostkeepError, QuotaError, RefusedError, UnavailableError
from postkeep.faces.imap.languages import DEFAULT
from postkeep.faces.imap.listing import render_list
from postkeep.faces.imap.names import Named, Pattern, Tree, canonical, is_valid, parents
from postkeep.faces.imap.opening import Piece, group
from postkeep.faces.imap.replies import CommandError, reply_to_error
from postkeep.protocols.imap.commands import ListMailboxes
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.mime.transfer import undo_encoding
from postkeep.services.vault.api import MailboxRow


def mailbox(name: str, role: str = "", *, subscribed: bool = False, selectable: bool = True) -> Named:
    return Named(name, MailboxRow(name.encode(), role, None, subscribed, selectable, 1, 1, 1, 0, 0, 0, 0))


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
    assert reply_to_error(b"t", error, DEFAULT) == line


def test_transfer_encodings_are_undone_whatever_is_in_them() -> None:
    assert undo_encoding(b"aGVs\r\nbG8=", "base64") == b"hello"
    assert undo_encoding(b"aGVsb", "base64") == b"hel"
    assert undo_encoding(b"a=3Db=\r\nc", "quoted-printable") == b"a=bc"
    assert undo_encoding(b"\xff", "8bit") == b"\xff"
