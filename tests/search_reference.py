"""A second SEARCH and SORT, over whole messages one by one, by the standard library's `email` alone."""

import datetime as dt
import email
import email.message
import email.utils
import html
import re
from collections.abc import Sequence
from email.header import decode_header
from functools import cache
from typing import NamedTuple

from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    Header,
    Larger,
    Not,
    Numbers,
    Or,
    SearchKey,
    Smaller,
    Text,
)
from postkeep.protocols.imap.sort import SortField, SortKey

_MARK = re.compile(r"^((re|fwd?)\s*:\s*|\[[^\]]*\]\s*)", re.IGNORECASE)


class Mail(NamedTuple):
    """A message as a client knows it."""

    number: int
    uid: int
    flags: frozenset[str]
    arrived: dt.datetime
    raw: bytes


def folded(text: str) -> str:
    """Case and runs of white space make no difference."""
    return re.sub(r"\s+", " ", text).casefold()


@cache
def header(mail: Mail, field: str) -> list[str]:
    """The decoded values of a field."""
    return [decoded(str(value)) for value in email.message_from_bytes(mail.raw).get_all(field, [])]


def decoded(value: str) -> str:
    pieces = []
    for octets, charset in decode_header(value):
        if isinstance(octets, str):
            pieces.append(octets)
        elif charset in {None, "unknown-8bit"}:
            pieces.append(octets.decode("utf-8", "replace"))
        else:
            pieces.append(octets.decode(charset or "ascii", "replace"))
    return "".join(pieces)


@cache
def body(mail: Mail) -> str:
    """The decoded text of all text parts, headers of enclosed messages, names of attachments, folded."""
    texts = []
    for part in email.message_from_bytes(mail.raw).walk():
        if part.get_content_maintype() == "text":
            texts.append(text_of(part))
        if part.get_content_type() == "message/rfc822":
            texts += [header_text(enclosed) for enclosed in part.get_payload()]  # type: ignore[arg-type]
        texts.append(part.get_filename() or "")
    return folded("\n".join(texts))


@cache
def whole_header(mail: Mail) -> str:
    """The header, folded."""
    return folded(header_text(email.message_from_bytes(mail.raw)))


def header_text(message: "email.message.Message[str, str]") -> str:
    return "\n".join(f"{name}: {decoded(str(value))}" for name, value in message.items())


def text_of(part: "email.message.Message[str, str]") -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    try:
        text = payload.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = payload.decode("utf-8", "replace")
    if part.get_content_subtype() == "html":
        return html.unescape(re.sub(r"<[^>]*>", " ", text))
    return text


def sent(mail: Mail) -> dt.datetime | None:
    values = header(mail, "Date")
    return email.utils.parsedate_to_datetime(values[0]) if values else None


def matches(key: SearchKey, mail: Mail, last: Mail) -> bool:  # noqa: PLR0911 - one branch per key
    """Whether a message matches; `last` is the last one of the mailbox."""
    match key:
        case All():
            return True
        case HasFlag(flag):
            return flag.lower() in {one.lower() for one in mail.flags}
        case Header(field, text):
            return any(folded(text) in folded(value) for value in header(mail, field))
        case Body(text):
            return folded(text) in body(mail)
        case Text(text):
            return folded(text) in whole_header(mail) or folded(text) in body(mail)
        case Date(source, relation, day):
            moment = sent(mail) if source is DateSource.SENT else mail.arrived
            if moment is None:
                return False
            if relation is DateRelation.BEFORE:
                return moment.date() < day
            return moment.date() == day if relation is DateRelation.ON else moment.date() >= day
        case Larger(size):
            return len(mail.raw) > size
        case Smaller(size):
            return len(mail.raw) < size
        case Numbers(sequence, uid):
            number, largest = (mail.uid, last.uid) if uid else (mail.number, last.number)
            return any(low <= number <= high for low, high in sequence.resolve(largest))
        case Not(inner):
            return not matches(inner, mail, last)
        case Or(left, right):
            return matches(left, mail, last) or matches(right, mail, last)
        case And(keys):
            return all(matches(one, mail, last) for one in keys)
    raise AssertionError(key)


def sort_value(mail: Mail, field: SortField) -> object:
    """What a message is ordered by. ASCII only: the casemap of others is tested for itself."""
    match field:
        case SortField.ARRIVAL:
            return mail.arrived
        case SortField.SIZE:
            return len(mail.raw)
        case SortField.DATE:
            return sent(mail) or mail.arrived
        case SortField.SUBJECT:
            subject = re.sub(r"\s+", " ", "".join(header(mail, "Subject"))).strip()
            while (stripped := _MARK.sub("", subject)) != subject:
                subject = stripped
            return subject.upper()
    name, address = [*email.utils.getaddresses(header(mail, field.removeprefix("DISPLAY"))), ("", "")][0]
    return (name or address).upper() if field.startswith("DISPLAY") else address.partition("@")[0].upper()


def in_order(mails: Sequence[Mail], order: Sequence[SortKey]) -> list[int]:
    """Return the message numbers in the order of the keys."""
    ordered = list(mails)
    for key in reversed(order):
        ordered.sort(key=lambda mail: sort_value(mail, key.field), reverse=key.reverse)  # type: ignore[arg-type,return-value]
    return [mail.number for mail in ordered]
