"""Search texts: folding, what of a message is searched, the stored form."""

# ruff: noqa: RUF001 - full-width forms are what is tested

import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postkeep.base.errors import IntegrityError
from postkeep.protocols.mime.markup import text_of_html
from postkeep.services.delivery.searchtext import (
    PART_BYTES_MAX,
    TEXT_BYTES_MAX,
    SearchText,
    decode,
    encode,
    fold,
    fold_header,
    text_of,
)
from postkeep.services.delivery.summary import summarize


def text_in(message: bytes) -> SearchText:
    return text_of(message, summarize(message))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("Hello WORLD", "hello world"),
        ("a\r\nb\t \n c", "a b c"),
        ("Straße", "strasse"),
        ("ＡＢＣ１２３，你好　世界", "abc123,你好 世界"),
        ("ﾃｽﾄ", "テスト"),
        ("in\u00advoice\u200b", "invoice"),
        ("ﬁle Ⅳ", "file iv"),
        (" é ", " é "),
        ("  ", " "),
        ("\u3000", " "),
        ("", ""),
    ],
)
def test_widths_cases_and_line_breaks_are_one(written: str, wanted: str) -> None:
    assert fold(written) == wanted


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\r"), max_size=80))
def test_ascii_is_folded_as_everything_else_is(text: str) -> None:
    assert fold(text + "\u200b") == fold(text)


def test_a_text_is_found_across_soft_line_breaks() -> None:
    message = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    assert text_in(message + b"the quarterly=20=\nre=\nport is\nhere").body == b"the quarterly report is here"


def test_a_header_is_one_decoded_field_a_line() -> None:
    header = b"Subject: =?utf-8?b?5L2g5aW9?=\r\n =?utf-8?b?5LiW55WM?=\r\nTo: A\r\n\t<A@X.example>\r\n\r\n"
    assert fold_header(header).decode() == "subject: 你好世界\nto: a <a@x.example>"


def test_parts_names_of_attachments_and_enclosed_headers_are_searched() -> None:
    message = (
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n'
        b"Content-Type: text/html; charset=gb18030\n\n<p>" + "发票".encode("gb18030") + b"</p>\n--b\n"
        b"Content-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%E5%90%88.PDF\n\n"
        b"%PDF secret\n--b\nContent-Type: message/rfc822\n\nSubject: Inner\n\nwithin\n--b--\n"
    )
    assert text_in(message).body.decode() == " 发票 \n合.pdf\nsubject: inner\nwithin"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", " one  two "),
        ("f<b>o</b>o <a href='x>y'>b</A>ar", "foo bar"),
        ("a<!-- <p> -->b<!-- open", "ab"),
        ("<style>p{}</style ><SCRIPT x=1>if (a<b)</script>c", "  c"),
        ("1 &lt; 2 &amp;&#20320; <3 x<y", "1 < 2 &你 <3 x<y"),
        ("<head><title>T</title></head>x", "  x"),
        ("<img alt=\"it's\"><td class='a\"b'>x", "  x"),
        ("<script>never ended", ""),
    ],
)
def test_of_html_only_what_is_shown_is_text(html: str, text: str) -> None:
    assert " ".join(text_of_html(html).split()) == " ".join(text.split())


@pytest.mark.parametrize("piece", ["<", "<a ", "<!--", "<style>", "</style", "<a '", '<a "', "<a <b", "&#"])
def test_no_document_takes_more_time_than_its_length_asks_for(piece: str) -> None:
    text_of_html(piece * 200_000)  # minutes, if any search began anew at each


@given(header=st.text(max_size=300), body=st.text(max_size=300), cut=st.booleans())
@example(header="", body="", cut=False)
def test_the_stored_form_gives_the_text_again(*, header: str, body: str, cut: bool) -> None:
    text = SearchText(header.encode(), body.encode(), cut)
    assert decode(encode(text)) == text


def test_what_is_too_long_is_cut_and_says_so() -> None:
    long = text_in(b"\n" + b"word " * (TEXT_BYTES_MAX // 4))
    assert long.cut
    assert len(long.header) + len(long.body) == TEXT_BYTES_MAX
    assert decode(encode(long)) == long
    assert text_in(b"\n" + b" " * (PART_BYTES_MAX + 1)).cut
    assert not text_in(b"\n" + b"word " * 1000).cut


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + encode(SearchText(b"", b"", False))[1:],
        encode(SearchText(b"a", b"b", False))[:-1],
        encode(SearchText(b"", b"abc", False))[:2]
        + b"\x04\0\0\0"
        + encode(SearchText(b"", b"abc", False))[6:],
        b"\x01\0\0\0\0\0" + b"\xff\xff",
        b"\x01\0\0\0\0\0" + zlib.compress(bytes(TEXT_BYTES_MAX + 1), wbits=-13),
    ],
)
def test_what_is_no_search_text_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data)
