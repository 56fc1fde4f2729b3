"""The stored summary: complete, compact, versioned, and free of body text."""

import pytest
from tests.corpus import messages

from postkeep.base.errors import IntegrityError
from postkeep.services.delivery.summary import Person, decode, encode, summarize

_MESSAGE = (
    b"From: =?gb2312?B?1cXI/Q==?= <zhang@example.cn>\r\n"
    b'To: "Doe, J." <j@example.org>, team: b@example.org;\r\nCc: c@example.org\r\nBcc: hidden@example.org\r\n'
    b"Subject: Re: =?utf-8?B?5Lya6K6u?= minutes\r\nDate: Tue, 24 Nov 2026 10:48:50 +0800\r\n"
    b"Message-ID: <m@x>\r\nIn-Reply-To: <r1@x>\r\nReferences: <r0@x> <r1@x>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nsecretword\r\n"
    b"--b\r\nContent-Type: application/pdf\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''%E4%BC%9A.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\n"
)


def test_a_summary_holds_what_lists_and_threads_need() -> None:
    summary = summarize(_MESSAGE)
    assert summary.size == len(_MESSAGE)
    assert summary.subject == "Re: 会议 minutes"
    assert summary.base_subject == "会议 minutes"
    assert summary.from_ == [Person("张三", "zhang@example.cn")]
    assert summary.to == [Person("Doe, J.", "j@example.org"), Person("", "b@example.org")]
    assert [person.address for person in summary.cc + summary.bcc] == ["c@example.org", "hidden@example.org"]
    assert (summary.sent_ms, summary.sent_zone_minutes) == (1795488530000, 480)
    assert (summary.message_id, summary.in_reply_to, summary.references) == (
        "m@x",
        ["r1@x"],
        ["r0@x", "r1@x"],
    )


def test_its_spans_cut_the_parts_out_of_the_message() -> None:
    summary = summarize(_MESSAGE)
    cut = {
        span.section: _MESSAGE[span.body_offset : span.body_offset + span.body_length]
        for span in summary.parts
    }
    assert cut == {
        "1": b"secretword",
        "2": b"AAAA",
        "3": b"Subject: in\r\n\r\ninner",
        "3.1": b"inner",
    }
    text, pdf, enclosed, _ = summary.parts
    assert (text.type, text.charset, text.encoding) == ("text/plain", "utf-8", "7bit")
    assert (pdf.filename, pdf.is_attachment, pdf.encoding) == ("会.pdf", True, "base64")
    assert _MESSAGE[enclosed.body_offset : enclosed.text_offset] == b"Subject: in\r\n\r\n"
    assert _MESSAGE[pdf.header_offset :].startswith(b"Content-Type: application/pdf")
    assert _MESSAGE[: summary.header_length].endswith(b"boundary=b\r\n\r\n")


def test_no_body_text_is_in_the_stored_form() -> None:
    assert b"secretword" not in encode(summarize(_MESSAGE))


def test_the_stored_form_reads_back_and_stays_compact() -> None:
    sizes = []
    for sample in messages(200, seed=3):
        summary = summarize(sample.data)
        stored = encode(summary)
        assert decode(stored) == summary
        sizes.append(len(stored))
    assert sorted(sizes)[len(sizes) // 2] < 1536


@pytest.mark.parametrize("data", [b"", b"\x90", b"\xff" * 20, encode(summarize(_MESSAGE))[:-1]])
def test_a_damaged_form_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data)


def test_a_later_version_is_refused_rather_than_misread() -> None:
    stored = bytearray(encode(summarize(_MESSAGE)))
    assert stored[3] == 1  # array16 header, then the version
    stored[3] = 2
    with pytest.raises(IntegrityError):
        decode(bytes(stored))
