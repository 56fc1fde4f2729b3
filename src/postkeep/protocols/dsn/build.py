"""A report as a message: text for people, fields for programs, and the message it is about."""

import base64
import re
import secrets
from email.utils import formatdate
from typing import Final

from postkeep.protocols.dsn import texts
from postkeep.protocols.dsn.report import Action, Original, Report, ReportedRecipient
from postkeep.protocols.mime.headers import header_end, index_fields
from postkeep.protocols.mime.identifiers import parse_message_id

FULL_OCTETS_MAX: Final = 10 * 1024 * 1024
"""A larger message comes back as its header, whatever RET asked for."""
HEADER_OCTETS_MAX: Final = 64 * 1024
"""Of a returned header: the rest of it is left out."""
DIAGNOSTIC_CHARACTERS_MAX: Final = 500
"""Of a remote server's reply: it writes what it likes, and we send it on."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NOT_ASCII: Final = re.compile(r"[^ -~]")
_UNENCODED: Final = re.compile(r"[^!-*,-<>-~]")
_STATUS: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\Z")
_GROUPS: Final = (Action.FAILED, Action.DELAYED, Action.DELIVERED, Action.RELAYED)


def build(report: Report, original: Original) -> bytes:
    """Write a report with CRLF line ends. Its first recipient's action gives the subject.

    It needs SMTPUTF8 where an address in it is not ASCII, and 8BITMIME where a part of it is 8-bit.
    """
    boundary = "=_report_" + secrets.token_hex(16)
    utf8 = not all(_is_ascii(recipient) for recipient in report.recipients)
    returned_type, returned = _returned(report, original)
    text = base64.encodebytes(_text(report).encode()).replace(b"\n", b"\r\n")
    status = _status(report, original, utf8=utf8).encode()
    kind = "message/global-delivery-status" if utf8 else "message/delivery-status"
    lead = f"--{boundary}\r\nContent-Type: "
    return b"".join(
        (
            _header(report, original, boundary).encode(),
            f"{lead}text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode(),
            text,
            f"\r\n{lead}{kind}\r\n{_transfer(status)}\r\n".encode(),
            status,
            f"\r\n{lead}{returned_type}\r\n{_transfer(returned)}\r\n".encode(),
            returned,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )


def _is_ascii(recipient: ReportedRecipient) -> bool:
    return recipient.address.isascii() and recipient.orcpt.isascii()


def _transfer(part: bytes) -> str:
    return "" if part.isascii() else "Content-Transfer-Encoding: 8bit\r\n"


def _header(report: Report, original: Original, boundary: str) -> str:
    subject = texts.SUBJECTS[report.recipients[0].action]
    encoded = base64.b64encode(f"/ {subject.zh}".encode()).decode()
    fields = [
        f"From: {texts.SENDER_NAME} <postmaster@{report.reporting_mta}>",
        f"To: <{_line(report.sender)}>",
        f"Subject: {subject.en}",
        f" =?utf-8?B?{encoded}?=",
        f"Date: {_date(report.now_ms)}",
        f"Message-ID: <{report.message_id}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    content = original.content
    identifier = parse_message_id(
        index_fields(content, 0, min(header_end(content, 0, len(content)), HEADER_OCTETS_MAX)).get(
            b"message-id", b""
        )
    )
    if identifier and identifier.isascii():
        fields[6:6] = [f"In-Reply-To: <{identifier}>", f"References: <{identifier}>"]
    return "\r\n".join(fields) + "\r\n\r\n"


def _text(report: Report) -> str:
    languages = [_text_in(report, language) for language in range(len(texts.Text._fields))]
    return ("\r\n" + "-" * 60 + "\r\n\r\n").join(languages)


def _text_in(report: Report, language: int) -> str:
    lines: list[str] = []
    for action in _GROUPS:
        recipients = [recipient for recipient in report.recipients if recipient.action is action]
        if not recipients:
            continue
        lines += [texts.OPENINGS[action][language], ""]
        for recipient in recipients:
            lines.append(f"  <{_line(recipient.address)}>")
            if action in (Action.FAILED, Action.DELAYED):
                lines += [f"    {line}" for line in _explain(recipient, language)]
        lines.append("")
    lines += [texts.RETURNED[language], ""]
    return "\r\n".join(lines)


def _explain(recipient: ReportedRecipient, language: int) -> list[str]:
    lines = [texts.reason(recipient.status)[language]]
    if recipient.diagnostic:
        lines.append(
            texts.ANSWERED[language].format(
                remote=_line(recipient.remote), diagnostic=_line(recipient.diagnostic)
            )
        )
    if recipient.retry_until_ms:
        lines.append(texts.UNTIL[language].format(date=_date(recipient.retry_until_ms)))
    return lines


def _status(report: Report, original: Original, *, utf8: bool) -> str:
    """Write the fields of RFC 3464 section 2: those of the message, then those of each recipient."""
    fields = []
    if original.envid:
        fields.append(f"Original-Envelope-Id: {_xtext(original.envid)}")
    fields += [f"Reporting-MTA: dns; {report.reporting_mta}", f"Arrival-Date: {_date(original.arrival_ms)}"]
    groups = ["\r\n".join(fields)]
    groups += ["\r\n".join(_recipient(recipient, utf8=utf8)) for recipient in report.recipients]
    return "\r\n\r\n".join(groups) + "\r\n"


def _recipient(recipient: ReportedRecipient, *, utf8: bool) -> list[str]:
    fields = []
    if recipient.orcpt:
        kind, _, address = recipient.orcpt.partition(";")
        fields.append(f"Original-Recipient: {_line(kind)}; {_line(address)}")
    kind = "rfc822" if recipient.address.isascii() else "utf-8"
    fields += [
        f"Final-Recipient: {kind}; {_line(recipient.address)}",
        f"Action: {recipient.action.value}",
        f"Status: {recipient.status if _STATUS.match(recipient.status) else _unspecified(recipient.action)}",
    ]
    if recipient.remote:
        fields.append(f"Remote-MTA: dns; {_NOT_ASCII.sub('?', recipient.remote)}")
    if recipient.diagnostic:
        said = _line(recipient.diagnostic)
        fields.append(f"Diagnostic-Code: smtp; {said if utf8 else _NOT_ASCII.sub('?', said)}")
    if recipient.last_attempt_ms:
        fields.append(f"Last-Attempt-Date: {_date(recipient.last_attempt_ms)}")
    if recipient.retry_until_ms:
        fields.append(f"Will-Retry-Until: {_date(recipient.retry_until_ms)}")
    return fields


def _unspecified(action: Action) -> str:
    return {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0"}.get(action, "2.0.0")


def _returned(report: Report, original: Original) -> tuple[str, bytes]:
    """Return the third part's type and body: the message where a failure's sender asked, else its header."""
    content = original.content
    failed = any(recipient.action is Action.FAILED for recipient in report.recipients)
    end = header_end(content, 0, len(content))
    utf8 = not content[:end].isascii() and _is_utf8(content[:end])
    if failed and original.ret == "FULL" and len(content) <= FULL_OCTETS_MAX:
        return ("message/global" if utf8 else "message/rfc822"), content
    header = content[: min(end, HEADER_OCTETS_MAX)]
    if len(header) < end:
        header = header[: header.rfind(b"\n") + 1]
    return ("message/global-headers" if utf8 else "text/rfc822-headers"), header


def _is_utf8(header: bytes) -> bool:
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _line(text: str) -> str:
    """Make one printable line of text that strangers wrote."""
    return _UNPRINTABLE.sub(" ", text)[:DIAGNOSTIC_CHARACTERS_MAX].strip()


def _xtext(text: str) -> str:
    return _UNENCODED.sub(lambda found: f"+{ord(found.group()):02X}", _NOT_ASCII.sub("?", text))


def _date(ms: int) -> str:
    return formatdate(ms / 1000).removesuffix("-0000") + "+0000"
