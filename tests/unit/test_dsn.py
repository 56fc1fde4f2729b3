"""Reports: what they say, to whom, and that strangers' words in them stay words."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from postkeep.protocols.dsn import Action, Original, Report, ReportedRecipient, build, parse_report, wants
from postkeep.protocols.dsn.build import DIAGNOSTIC_CHARACTERS_MAX, FULL_OCTETS_MAX, HEADER_OCTETS_MAX
from postkeep.protocols.mime import parse

_CONTENT = b"From: a@example.org\r\nMessage-ID: <m1@example.org>\r\nSubject: hi\r\n\r\nthe body\r\n"
_NOW = 1_795_488_530_000


def _recipient(**changes: Any) -> ReportedRecipient:
    fields: dict[str, Any] = {
        "address": "b@example.net",
        "action": Action.FAILED,
        "status": "5.1.1",
        "diagnostic": "550 5.1.1 no such user",
        "remote": "mx.example.net",
        "last_attempt_ms": _NOW,
    }
    return ReportedRecipient(**(fields | changes))


def _report(*recipients: ReportedRecipient) -> Report:
    return Report(
        sender="a@example.org",
        reporting_mta="mail.example.org",
        recipients=recipients or (_recipient(),),
        message_id="r1@mail.example.org",
        now_ms=_NOW,
    )


def _original(**changes: Any) -> Original:
    fields: dict[str, Any] = {"content": _CONTENT, "arrival_ms": _NOW - 60_000}
    return Original(**(fields | changes))


def _stdlib(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_failure_is_a_report_that_other_parsers_understand() -> None:
    data = build(_report(), _original(envid="e+1"))
    message = _stdlib(data)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["To"] == "a@example.org"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<m1@example.org>"
    assert message["Subject"] == "Your message could not be delivered / 邮件未能送达"
    text, status, returned = message.iter_parts()
    assert "There is no such address." in text.get_content()
    assert "该地址不存在。" in text.get_content()
    assert "550 5.1.1 no such user" in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    assert returned.get_content_type() == "text/rfc822-headers"
    read = parse_report(data)
    assert read is not None
    assert read.message["reporting-mta"] == "dns; mail.example.org"
    assert read.message["original-envelope-id"] == "e+2B1"
    assert read.recipients == [
        {
            "final-recipient": "rfc822; b@example.net",
            "action": "failed",
            "status": "5.1.1",
            "remote-mta": "dns; mx.example.net",
            "diagnostic-code": "smtp; 550 5.1.1 no such user",
            "last-attempt-date": "Tue, 24 Nov 2026 02:48:50 +0000",
        }
    ]
    assert b"\n" not in data.replace(b"\r\n", b"")


def test_the_whole_message_comes_back_only_for_a_failure_whose_sender_asked() -> None:
    full = parse_report(build(_report(), _original(ret="FULL")))
    headers = parse_report(build(_report(), _original(ret="HDRS")))
    delay = parse_report(build(_report(_recipient(action=Action.DELAYED)), _original(ret="FULL")))
    assert full is not None
    assert headers is not None
    assert delay is not None
    assert full.returned == _CONTENT
    assert headers.returned == delay.returned == _CONTENT[: _CONTENT.index(b"the body")]


def test_a_huge_message_comes_back_as_its_header_and_a_huge_header_cut() -> None:
    big = parse_report(build(_report(), _original(content=_CONTENT + b"x" * FULL_OCTETS_MAX, ret="FULL")))
    assert big is not None
    assert len(big.returned) < 200
    long = parse_report(build(_report(), _original(content=b"X: y\r\n" * 50_000 + b"\r\n")))
    assert long is not None
    assert HEADER_OCTETS_MAX - 10 < len(long.returned) <= HEADER_OCTETS_MAX


def test_a_delay_says_until_when_it_is_tried() -> None:
    delayed = _recipient(action=Action.DELAYED, status="4.4.1", retry_until_ms=_NOW + 86_400_000)
    data = build(_report(delayed), _original())
    read = parse_report(data)
    assert read is not None
    assert read.recipients[0]["will-retry-until"] == "Wed, 25 Nov 2026 02:48:50 +0000"
    assert read.recipients[0]["action"] == "delayed"
    assert "delayed" in str(_stdlib(data)["Subject"])


def test_international_addresses_take_the_utf_8_forms() -> None:
    recipient = _recipient(address="用户@example.net", orcpt="utf-8;用户@example.net")
    data = build(_report(recipient), _original(content="Subject: é\r\n\r\nx".encode()))
    parts = parse(data).root.children
    assert [(part.subtype, part.encoding) for part in parts] == [
        (b"plain", b"base64"),
        (b"global-delivery-status", b"8bit"),
        (b"global-headers", b"8bit"),
    ]
    read = parse_report(data)
    assert read is not None
    assert read.recipients[0]["final-recipient"] == "utf-8; 用户@example.net"
    assert read.recipients[0]["original-recipient"] == "utf-8; 用户@example.net"


def test_a_raw_8_bit_header_that_is_not_utf_8_is_not_called_global() -> None:
    data = build(_report(), _original(content=b"Subject: \xb0\xa1\r\n\r\nx"))
    returned = parse(data).root.children[2]
    assert (returned.subtype, returned.encoding) == (b"rfc822-headers", b"8bit")


@pytest.mark.parametrize("address", ["b@example.net", "用户@example.net"])
@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x85", "\0"])
def test_a_remote_server_cannot_write_fields_into_a_report(break_: str, address: str) -> None:
    hostile = f"550 no{break_}Action: delivered{break_}{break_}Final-Recipient: rfc822; x@y"
    data = build(
        _report(_recipient(address=address, diagnostic=hostile, remote=f"mx{break_}X: y")), _original()
    )
    read = parse_report(data)
    assert read is not None
    assert len(read.recipients) == 1
    assert read.recipients[0]["action"] == "failed"
    assert "x" not in read.recipients[0]
    assert not break_.strip() or break_.encode() not in data


def test_what_a_remote_server_says_is_cut_and_made_ascii() -> None:
    read = parse_report(build(_report(_recipient(diagnostic="550 é" + "x" * 5000)), _original()))
    assert read is not None
    said = read.recipients[0]["diagnostic-code"]
    assert said.startswith("smtp; 550 ?xxx")
    assert len(said) <= DIAGNOSTIC_CHARACTERS_MAX + 6


def test_a_status_that_is_none_becomes_an_unspecified_one() -> None:
    read = parse_report(build(_report(_recipient(status="550 no")), _original()))
    assert read is not None
    assert read.recipients[0]["status"] == "5.0.0"


def test_several_recipients_are_grouped_by_what_became_of_them() -> None:
    done = _recipient(address="c@example.net", action=Action.RELAYED, status="2.0.0", diagnostic="")
    data = build(_report(_recipient(), done), _original())
    read = parse_report(data)
    assert read is not None
    assert [fields["action"] for fields in read.recipients] == ["failed", "relayed"]
    text = next(iter(_stdlib(data).iter_parts())).get_content()
    assert text.index("<b@example.net>") < text.index("passed on") < text.index("<c@example.net>")


@pytest.mark.parametrize(
    ("notify", "wanted"),
    [
        ((), {Action.FAILED, Action.DELAYED}),
        (("NEVER",), set()),
        (("FAILURE",), {Action.FAILED}),
        (("DELAY",), {Action.DELAYED}),
        (("SUCCESS", "FAILURE"), {Action.FAILED, Action.RELAYED, Action.DELIVERED}),
    ],
)
def test_a_sender_hears_of_what_was_asked_for(notify: tuple[str, ...], wanted: set[Action]) -> None:
    assert {action for action in Action if wants(notify, action)} == wanted


_MULTI = b"Content-Type: multipart/report; boundary=b; report-type="


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _CONTENT,
        _MULTI + b"delivery-status\r\n\r\n--b\r\n\r\nx\r\n--b--",
        _MULTI + b"disposition-notification\r\n\r\n--b\r\n",
        _MULTI + b"delivery-status\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\r\n\r\n--b--",
    ],
)
def test_what_is_not_a_report_reads_as_none(data: bytes) -> None:
    assert parse_report(data) is None
