"""ENVELOPE, BODY and BODYSTRUCTURE: the examples of RFC 3501 and 9051, and the corners of their rules."""

from postkeep.protocols.imap.structure import (
    render_body,
    render_bodystructure,
    render_envelope,
    render_string,
    render_structures,
)
from postkeep.protocols.mime import parse


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def test_the_envelope_of_rfc_3501_section_8() -> None:
    message = _crlf(
        "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n"
        "From: Terry Gray <gray@cac.washington.edu>\n"
        "Subject: IMAP4rev1 WG mtg summary and minutes\n"
        "To: imap@cac.washington.edu\n"
        "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n"
        "Message-Id: <B27397-0100000@cac.washington.edu>\n"
        "MIME-Version: 1.0\n"
        "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n"
    )
    assert render_envelope(parse(message)) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) '
        b'NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_the_single_part_of_rfc_3501_section_8() -> None:
    body = b"\r\n" * 91 + b"x" * (3028 - 182 - 2) + b"\r\n"
    message = b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\nContent-Transfer-Encoding: 7BIT\r\n\r\n" + body
    expected = b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3028 92)'
    assert render_body(parse(message)).lower() == expected.lower()


def test_the_two_parts_of_rfc_3501_section_7_4_2() -> None:
    first = b"\r\n" * 22 + b"a" * (1152 - 46) + b"\r\n"
    second = b"\r\n" * 72 + b"b" * (4554 - 146) + b"\r\n"
    message = (
        b"Content-Type: MULTIPART/MIXED; BOUNDARY=x\r\n\r\n--x\r\n"
        b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n" + first + b"\r\n--x\r\n"
        b'Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME="cc.diff"\r\n'
        b"Content-ID: <960723163407.20117h@cac.washington.edu>\r\nContent-Description: Compiler diff\r\n"
        b"Content-Transfer-Encoding: BASE64\r\n\r\n" + second + b"\r\n--x--\r\n"
    )
    expected = (
        b'(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 1152 23)'
        b'("TEXT" "PLAIN" ("CHARSET" "US-ASCII" "NAME" "cc.diff")'
        b' "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "BASE64" 4554 73) "MIXED")'
    )
    assert render_body(parse(message)).lower() == expected.lower()


def test_a_part_shows_its_digest_disposition_language_and_location() -> None:
    message = _crlf(
        "Content-Type: application/pdf\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\n"
        'Content-Disposition: Attachment; filename="a b.pdf"; size=4\nContent-Language: en, de-CH\n'
        "Content-Location: http://x/y\nContent-Transfer-Encoding: BASE64\n\nAAAA"
    )
    assert render_bodystructure(parse(message)) == (
        b'("application" "pdf" NIL NIL NIL "base64" 4 "Q2hlY2sgSW50ZWdyaXR5IQ==" '
        b'("attachment" ("filename" "a b.pdf" "size" "4")) ("en" "de-CH") "http://x/y")'
    )


def test_an_enclosed_message_brings_its_envelope_body_and_lines() -> None:
    inner = _crlf("Subject: inside\nFrom: a@b\nContent-Type: text/html\n\n<p>\n")
    message = b"Content-Type: message/rfc822\r\n\r\n" + inner
    envelope = (
        b'(NIL "inside" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)'
    )
    html = b'("text" "html" NIL NIL NIL "7bit" 5 1'
    start = b'("message" "rfc822" NIL NIL NIL "7bit" %d ' % len(inner)
    body, bodystructure = render_structures(parse(message))
    assert body == start + envelope + b" " + html + b") 5)"
    assert bodystructure == start + envelope + b" " + html + b" NIL NIL NIL NIL) 5 NIL NIL NIL NIL)"


def test_a_multipart_shows_its_parameters_after_its_subtype() -> None:
    message = _crlf(
        'Content-Type: multipart/related; boundary=b; type="text/html"\nContent-Language: en\n\n'
        "--b\n\nx\n--b\nContent-Type: image/png\n\ny\n--b--\n"
    )
    assert render_bodystructure(parse(message)) == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL)'
        b'("image" "png" NIL NIL NIL "7bit" 1 NIL NIL NIL NIL) "related" '
        b'("boundary" "b" "type" "text/html") NIL ("en") NIL)'
    )


def test_a_multipart_without_parts_still_has_one() -> None:
    for head in ("multipart/mixed", "multipart/mixed; boundary=b"):
        message = parse(_crlf(f"Content-Type: {head}\n\nno delimiter\n"))
        assert (
            render_body(message) == b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 1) "mixed")'
        )


def test_sender_and_reply_to_default_to_from_even_when_empty() -> None:
    fields = b"Sender: \r\nReply-To: c@d\r\nFrom: a@b\r\n\r\n"
    assert render_envelope(parse(fields)) == (
        b'(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) NIL NIL NIL NIL NIL)'
    )


def test_an_empty_message_has_an_envelope_of_nils() -> None:
    assert render_envelope(parse(b"")) == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def test_an_empty_subject_is_an_empty_string_and_an_absent_one_is_nil() -> None:
    assert render_envelope(parse(b"Subject:\r\n\r\n")).startswith(b'(NIL "" NIL')


def test_groups_open_with_their_name_and_close_with_nils() -> None:
    fields = b"To: A Group:Ed <e@x.org>,j@y.org;\r\nCc: undisclosed-recipients:;\r\n\r\n"
    envelope = render_envelope(parse(fields))
    group = b'((NIL NIL "A Group" NIL)("Ed" NIL "e" "x.org")(NIL NIL "j" "y.org")(NIL NIL NIL NIL))'
    assert group in envelope
    assert b'((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))' in envelope


def test_an_address_without_a_domain_is_not_taken_for_a_group() -> None:
    assert b'((NIL NIL "root" "MISSING_DOMAIN"))' in render_envelope(parse(b"From: root\r\n\r\n"))


def test_strings_are_quoted_escaped_or_literal_as_their_octets_demand() -> None:
    assert render_string(b"plain [x]") == b'"plain [x]"'
    assert render_string(b'a "b" \\c') == b'"a \\"b\\" \\\\c"'
    assert render_string("Grüße".encode()) == b"{7}\r\nGr\xc3\xbc\xc3\x9fe"
    assert render_string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert render_string(b"a\0\xffb") == b"{3}\r\na\xffb"


def test_raw_8_bit_names_become_literals_inside_an_address() -> None:
    envelope = render_envelope(parse("From: Zoë <z@x.org>\r\n\r\n".encode()))
    assert b"(({4}\r\nZo\xc3\xab NIL" in envelope


def test_a_folded_subject_is_one_line() -> None:
    assert b'"one two\tthree"' in render_envelope(parse(b"Subject: one\r\n two\r\n\tthree\r\n\r\n"))
