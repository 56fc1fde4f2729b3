"""Readers of field values: addresses, dates, encoded words, parameters, identifiers, subjects."""

import base64

import pytest
from tests.corpus import PHRASES

from postkeep.protocols.mime import (
    HeaderAddress,
    base_subject,
    decode_octets,
    decode_words,
    decoded_parameter,
    parse_addresses,
    parse_date,
    parse_identifiers,
    parse_message_id,
)
from postkeep.protocols.mime.parameters import parse_content_type, parse_disposition

_END = (None, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.org", [(None, b"a", b"b.org")]),
        (b" <a@b.org>", [(None, b"a", b"b.org")]),
        (
            b"Joe Q. Public <john.q.public@example.com>",
            [(b"Joe Q. Public", b"john.q.public", b"example.com")],
        ),
        (b'"Giant; \\"Big\\" Box" <s@x.net>', [(b'Giant; "Big" Box', b"s", b"x.net")]),
        (b'"Joe" "Blow" <j@x>', [(b"Joe Blow", b"j", b"x")]),
        (b"a@b,c@d , <e@f>", [(None, b"a", b"b"), (None, b"c", b"d"), (None, b"e", b"f")]),
        (b"pete(his account)@silly.test(his host)", [(b"his host", b"pete", b"silly.test")]),
        (b"john@x.org (John (the) Doe)", [(b"John (the) Doe", b"john", b"x.org")]),
        (b"A <@route,@other:a@b>", [(b"A", b"a", b"b")]),
        (b'"a b@c"@d.org', [(None, b"a b@c", b"d.org")]),
        (b"user@[192.0.2.1]", [(None, b"user", b"[192.0.2.1]")]),
        (b"me@home <x@y.org>", [(b"me@home", b"x", b"y.org")]),
        (b",, a@b ,,", [(None, b"a", b"b")]),
        (b"root", [(None, b"root", b"")]),
        (b"Name <root>", [(b"Name", b"root", b"")]),
        (b"Broken <a@b", [(b"Broken", b"a", b"b")]),
        (b"<>", []),
        (b"", []),
        (b"=?utf-8?Q?Doe,_J?= <j@d>", [(b"=?utf-8?Q?Doe,_J?=", b"j", b"d")]),
        ("Zoë <zoë@exämple.org>".encode(), [("Zoë".encode(), "zoë".encode(), "exämple.org".encode())]),
        (
            b"G: a@b, C <c@d>;, e@f",
            [(None, b"G", None), (None, b"a", b"b"), (b"C", b"c", b"d"), _END, (None, b"e", b"f")],
        ),
        (b"G:;", [(None, b"G", None), _END]),
        (b"G: a@b", [(None, b"G", None), (None, b"a", b"b"), _END]),
    ],
)
def test_an_address_list_reads_as(value: bytes, expected: list[HeaderAddress]) -> None:
    assert parse_addresses(value) == expected


@pytest.mark.parametrize(
    ("value", "seconds", "zone"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360),
        (b"21 Nov 97 09:55:06 GMT", 880106106, 0),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", None, 0),
        (b"Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 120),
        (b"Thu, 13 Feb 1969 23:32 -0330", -27723480, -210),
        (b"Tue, 24 Nov 2026 10:48:50 +0800 (CST)", 1795488530, 480),
        (b"tue,24 nov 2026 10:48:50 PST", 1795546130, -480),
        (b"Tue Nov 24 10:48:50 2026", 1795517330, 0),
        (b"Tue Nov 24 10:48:50 +0800 2026", 1795488530, 480),
        (b"24-Nov-2026 10:48:50 +08:00", 1795488530, 480),
        (b"31 Dec 2016 23:59:60 +0000", 1483228799, 0),
        (b"30 Feb 2026 10:00:00 +0000", None, 0),
        (b"1 Xyz 2026 10:00:00 +0000", None, 0),
        (b"1 Jan 2026 25:00:00 +0000", None, 0),
        (b"1 Jan 0000 00:00:00 +9999", None, 0),
        (b"yesterday", None, 0),
        (b"", None, 0),
    ],
)
def test_a_date_reads_as(value: bytes, seconds: int | None, zone: int) -> None:
    found = parse_date(value)
    assert found == (None if seconds is None else (seconds * 1000, zone))


@pytest.mark.parametrize("charset", list(PHRASES))
def test_text_in_each_charset_of_the_corpus_comes_back(charset: str) -> None:
    assert decode_octets(PHRASES[charset].encode(charset), charset.encode()) == PHRASES[charset]


def test_senders_who_say_gb2312_or_ks_c_5601_mean_their_supersets() -> None:
    assert decode_octets("镕㐀".encode("gb18030"), b"GB2312") == "镕㐀"
    assert decode_octets("똠방각하".encode("cp949"), b"ks_c_5601-1987") == "똠방각하"


@pytest.mark.parametrize(
    "name", [b"zip", b"hex", b"rot13", b"unicode_escape", b"idna", b"utf-7", b"x" * 9999]
)
def test_a_charset_outside_the_list_never_reaches_a_codec(name: bytes) -> None:
    assert decode_octets(b"+ADw-b\\x41", name) == "+ADw-b\\x41"


def test_octets_without_a_charset_are_guessed_and_never_lost() -> None:
    assert decode_octets("Grüße".encode()) == "Grüße"
    assert decode_octets("会议纪要".encode("gb18030"), b"us-ascii") == "会议纪要"
    assert decode_octets(b"\xff\xfe\x81", b"utf-8").endswith("\ufffd")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" plain text\r", "plain text"),
        (b"=?ISO-8859-1?Q?a_=E9?= b", "a é b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n =?UTF-8*en?B?w6k=?=", "aé"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"=?utf-8?B?5Lya6A==?= =?utf-8?B?rq7nuqropoE=?=", "会议纪要"),
        (b"=?utf-8?Q?=E4=BC?= =?utf-8?Q?=9A?=", "会"),
        (b"=?gb2312?B?" + base64.b64encode("会议".encode("gb2312")) + b"?=", "会议"),
        (b"=?utf-8?B?YQ?= unpadded", "a unpadded"),
        (b"=?utf-8?Q?sp ace?=", "sp ace"),
        (b"=?utf-8?X?a?= =?utf-8?Q?open", "=?utf-8?X?a?= =?utf-8?Q?open"),
        ("roh: ü".encode("latin-1"), "roh: ü"),
        (b"", ""),
    ],
)
def test_encoded_words_decode_to(value: bytes, expected: str) -> None:
    assert decode_words(value) == expected


@pytest.mark.parametrize(
    ("value", "parameters"),
    [
        (b"text/plain; charset=utf-8", ((b"charset", b"utf-8"),)),
        (
            b'text/plain;charset = "utf-8" (in truth) ; format=flowed',
            ((b"charset", b"utf-8"), (b"format", b"flowed")),
        ),
        (b'text/plain; name="a \\"b\\"; c"', ((b"name", b'a "b"; c'),)),
        (b"text/plain; name=one two", ((b"name", b"one"),)),
        (b'text/plain; name="open', ((b"name", b"open"),)),
        (b"text/plain; =x; a; b=", ((b"b", b""),)),
        (b"text/plain; n*1=b; n*0=a; n*3=lost", ((b"n", b"ab"),)),
        (b"text/plain; n*0*=utf-8'en'%41; n*1=%41", ((b"n*", b"utf-8'en'%41%2541"),)),
        (b"text/plain; n*=gb18030''%BB%E1", ((b"n*", b"gb18030''%BB%E1"),)),
    ],
)
def test_parameters_read_as(value: bytes, parameters: tuple[tuple[bytes, bytes], ...]) -> None:
    assert parse_content_type(value) == (b"text", b"plain", parameters)


def test_a_parameter_decodes_from_its_extended_form_or_from_encoded_words() -> None:
    for value in (
        b"attachment; filename*=utf-8''%E4%BC%9A.pdf; filename=x.pdf",
        b"attachment; filename*0*=gb18030''%BB; filename*1*=%E1; filename*2=.pdf",
        b'attachment; filename="=?utf-8?B?5LyaLnBkZg==?="',
        'attachment; filename="会.pdf"'.encode(),
    ):
        found = parse_disposition(value)
        assert found is not None
        assert decoded_parameter(found[1], b"filename") == "会.pdf"
    assert decoded_parameter((), b"filename") == ""


def test_a_disposition_is_lowered_and_may_be_missing() -> None:
    assert parse_disposition(b" InLine") == (b"inline", ())
    assert parse_disposition(b' ; filename="x"') is None


def test_identifiers_lose_their_brackets_and_the_prose_around_them() -> None:
    assert parse_identifiers(b'"Joe\'s note" <a@b>\r\n\t<c@d>,<e@f') == ["a@b", "c@d"]
    assert parse_message_id(b" <a@b> (x)\r") == "a@b"
    assert parse_message_id(b" no-brackets@x \r") == "no-brackets@x"
    assert parse_message_id(b"") == ""


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: minutes", "minutes"),
        ("RE : Fwd: [list] Re[2]: minutes (fwd) (FWD)", "minutes"),
        ("[list] minutes", "minutes"),
        ("[list]", "[list]"),
        ("[Fwd: Re: minutes]", "minutes"),
        ("re: [fwd: [fwd: a]]", "a"),
        ("  a \t b  ", "a b"),
        ("Report: weekly", "Report: weekly"),
        ("Re:", ""),
        ("会议 re: x", "会议 re: x"),
    ],
)
def test_a_base_subject_is(subject: str, base: str) -> None:
    assert base_subject(subject) == base
