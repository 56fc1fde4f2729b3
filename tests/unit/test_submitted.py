"""What is checked and completed in a message that its author hands in."""

import re

import pytest

from postkeep.base.errors import InvalidInputError, PostkeepError
from postkeep.services.delivery.submitted import prepare

MINE = frozenset({"ann@acme.example", "sales@acme.example"})
WHOLE = b"From: Ann <ann@acme.example>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <x@y>\r\n"


def prepared(content: bytes) -> bytes:
    return prepare(content, MINE, message_id="new@acme.example", now_ms=1_800_000_000_000).content


def test_a_complete_message_stays_byte_for_byte() -> None:
    content = WHOLE + b"To: x@y.example\r\n folded\r\nX-Odd : y\r\n\r\nBcc: not a header\r\n"
    assert prepared(content) == content


def test_a_missing_date_and_message_id_are_added() -> None:
    content = prepared(b"From: ann@acme.example\r\n\r\nhi\r\n")
    assert re.match(
        rb"Date: Fri, 15 Jan 2027 08:00:00 -0000\r\nMessage-ID: <new@acme\.example>\r\nFrom:", content
    )
    assert content.endswith(b"From: ann@acme.example\r\n\r\nhi\r\n")


def test_bcc_goes_wherever_it_stands_and_however_it_is_folded() -> None:
    content = (
        b"BCC: a@b.example,\r\n c@d.example\r\n" + WHOLE + b"Bcc : e@f.example\r\nResent-Bcc: g@h.example\r\n"
    )
    assert prepared(content + b"\r\nbody\r\n") == WHOLE + b"\r\nbody\r\n"
    assert prepared(content) == WHOLE


@pytest.mark.parametrize(
    ("value", "saved"), [(b"yes", True), (b" Yes ", True), (b"1", True), (b"no", False), (b"", False)]
)
def test_a_copy_in_sent_is_made_only_where_it_is_asked_for(value: bytes, saved: bool) -> None:  # noqa: FBT001
    content = WHOLE + b"X-Postkeep-Save-Sent:" + value + b"\r\n\r\nbody\r\n"
    found = prepare(content, MINE, message_id="m", now_ms=0)
    assert (found.content, found.save_sent) == (WHOLE + b"\r\nbody\r\n", saved)


@pytest.mark.parametrize(
    "header",
    [
        b"From: Ann <ANN@acme.example>",
        b'From: "sales@evil.example" <sales@ACME.example>',
        b"From: ann@acme.example, sales@acme.example\r\nSender: ann@acme.example",
        b"from: team: ann@acme.example;",
    ],
)
def test_an_author_may_write_as_every_address_that_is_the_authors(header: bytes) -> None:
    assert header in prepared(header + b"\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [
        b"From: boss@acme.example",
        b"From: ann@acme.example, boss@acme.example",
        b"From: ann@acme.example <boss@acme.example>",
        b"From: ann@acme.example\r\nSender: boss@acme.example",
        b"From: undisclosed:;",
        b"From: Ann",
        b"From:",
        b"From: ann@",
        b"From: \xff@acme.example",
        b"From: ann@acme.example.evil.example",
    ],
)
def test_nobody_writes_as_somebody_else(header: bytes) -> None:
    with pytest.raises(PostkeepError) as caught:
        prepared(header + b"\r\n\r\nbody\r\n")
    assert caught.value.code == "header_sender"


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: no author",
        b"From: ann@acme.example\r\nFROM: boss@acme.example",
        b"From: ann@acme.example\r\nSender: ann@acme.example\r\nSender: ann@acme.example",
        b"\r\nFrom: ann@acme.example",
    ],
)
def test_a_message_has_one_author_field(header: bytes) -> None:
    with pytest.raises(InvalidInputError):
        prepared(header + b"\r\n\r\nbody\r\n")
