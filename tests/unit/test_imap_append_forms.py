"""The forms of APPEND and REPLACE, with the examples of RFC 3502, 4469, 6855 and 8508; URLs of RFC 5092."""

import pytest

from postkeep.protocols.imap.commands import Append, MessageUrl, NewMessage, Replace
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.fetch import Partial, Section, SectionText
from postkeep.protocols.imap.parser import parse_command
from postkeep.protocols.imap.reader import CommandBytes
from postkeep.protocols.imap.url import URL_CHARACTERS_MAX, MessageOctets, parse_message_url


def parse(text: bytes, *literals: bytes) -> object:
    return parse_command(CommandBytes(text, literals)).command


def test_several_messages_go_with_one_command() -> None:  # RFC 3502 section 6.3.11
    text = b'A003 APPEND saved (\\Seen) {329}\r\n (\\Seen) " 7-Feb-1994 22:43:04 -0800" {295}\r\n ~{2+}\r\n'
    assert parse(text, b"one", b"two", b"\0x") == Append(
        "saved",
        (
            NewMessage(("\\Seen",), None, (b"one",)),
            NewMessage(("\\Seen",), 760_689_784_000, (b"two",)),
            NewMessage((), None, (b"\0x",)),
        ),
    )


def test_a_message_is_put_together_from_text_and_urls() -> None:  # RFC 4469 section 4
    text = (
        b"A003 APPEND Drafts (\\Seen \\Draft) CATENATE (URL "
        b'"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER" TEXT {42}\r\n URL /x/;UID=1 UTF8 (~{3}\r\n'
        b"))"
    )
    assert parse(text, b"--x", "é".encode()) == Append(
        "Drafts",
        (
            NewMessage(
                ("\\Seen", "\\Draft"),
                None,
                (
                    MessageUrl("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER"),
                    b"--x",
                    MessageUrl("/x/;UID=1"),
                    "é".encode(),
                ),
            ),
        ),
    )


def test_a_message_with_utf8_headers_has_a_form_of_its_own() -> None:  # RFC 6855 section 4
    assert parse(b"a APPEND x UTF8 (~{3+}\r\n)", b"abc") == Append("x", (NewMessage((), None, (b"abc",)),))


def test_a_message_takes_the_place_of_another() -> None:  # RFC 8508 section 3
    draft = NewMessage(("\\Seen", "\\Draft"), None, (b"new",))
    assert parse(b"A003 REPLACE 4 Drafts (\\Seen \\Draft) {312}\r\n", b"new") == Replace(4, "Drafts", draft)
    assert parse(b"A UID REPLACE 2000 Drafts (\\Seen \\Draft) {3}\r\n", b"new") == Replace(
        2000, "Drafts", draft, uid=True
    )
    assert parse(b"A REPLACE * Drafts (\\Seen \\Draft) {3}\r\n", b"new") == Replace(None, "Drafts", draft)


@pytest.mark.parametrize(
    "text",
    [
        b"a APPEND x {1}\r\n ",
        b"a APPEND x {1}\r\n {1}\r\n",
        b"a APPEND x (\\Recent) {1}\r\n",
        b"a APPEND x (\\Seen) (\\Seen) {1}\r\n",
        b"a APPEND x CATENATE ()",
        b"a APPEND x CATENATE (TEXT)",
        b"a APPEND x CATENATE (TEXT {1}\r\n",
        b"a APPEND x CATENATE (TEXT {1}\r\nTEXT {1}\r\n)",
        b'a APPEND x CATENATE (URL "\xff")',
        b"a APPEND x UTF8 ({1}\r\n)",
        b"a APPEND x UTF8 (~{1}\r\n",
        b"a REPLACE 0 x {1}\r\n",
        b"a REPLACE 1,2 x {1}\r\n",
        b"a REPLACE 1 x {1}\r\n {1}\r\n",
    ],
)
def test_what_the_grammar_has_no_form_for_is_refused(text: bytes) -> None:
    with pytest.raises(ImapSyntaxError):
        parse(text, b"x")


def test_a_url_names_a_mailbox_a_message_and_its_octets() -> None:
    assert parse_message_url(
        "/gray%20council;UIDVALIDITY=385759045/;UID=20/;section=1.2/;partial=0.1024"
    ) == MessageOctets("gray council", 385759045, 20, Section((1, 2)), Partial(0, 1024))
    assert parse_message_url(";UID=7/;SECTION=TEXT") == MessageOctets(
        "", None, 7, Section((), SectionText.TEXT), None
    )
    fields = parse_message_url("/a/b/;UID=1/;SECTION=HEADER.FIELDS%20(To%20From)").section
    assert (fields.text, fields.fields) == (SectionText.HEADER_FIELDS, (b"To", b"From"))
    assert parse_message_url("/%E9%A1%B9%E7%9B%AE/;UID=1/;PARTIAL=5").mailbox == "项目"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/INBOX",
        "/INBOX/;UID=0",
        "/INBOX/;UID=4294967296",
        "/INBOX;UIDVALIDITY=0/;UID=1",
        "/INBOX/;UID=1/;SECTION=",
        "/INBOX/;UID=1/;SECTION=1%5D%20FLAGS",
        "/INBOX/;UID=1/;SECTION=TEXT%5D<0.5>",
        "/INBOX/;UID=1/;PARTIAL=0.0",
        "/INBOX/;UID=1\n",
        "/INBOX/;UID=1/;URLAUTH=anonymous",
        "/%FF/;UID=1",
        "imap://elsewhere.example/INBOX/;UID=1",
        "/" + "x" * URL_CHARACTERS_MAX + "/;UID=1",
        "/" + "x" * 1001 + "/;UID=1",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ImapSyntaxError):
        parse_message_url(url)
