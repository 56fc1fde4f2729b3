"""A message as its author hands it in: whose it may be, what is completed in it (RFC 6409 section 8). Pure.

* Every address in From and Sender must be one that the author may send as.
* A missing Date or Message-ID is added; Bcc goes; everything else stays byte for byte.
* `X-Postkeep-Save-Sent: yes` asks that a copy be kept in Sent, in the transaction that accepts the message;
  the field itself goes. Most clients keep their own copy by IMAP APPEND, so without it none is made.
"""

from collections.abc import Collection
from email.utils import formatdate
from typing import Final, NamedTuple

from postkeep.base.address import Address, parse_domain
from postkeep.base.errors import InvalidInputError, RefusedError
from postkeep.protocols.mime import Field, parse_addresses, split_fields

_DROPPED: Final = frozenset({b"bcc", b"resent-bcc", b"x-postkeep-save-sent"})
_AUTHORS: Final = frozenset({b"from", b"sender"})
_YES: Final = frozenset({b"yes", b"true", b"1"})


class Submission(NamedTuple):
    """A message that may go out."""

    content: bytes
    save_sent: bool


def prepare(content: bytes, addresses: Collection[str], *, message_id: str, now_ms: int) -> Submission:
    """Check and complete a message.

    `addresses`: the keys (`Address.key`) of all that the author may send as. `message_id` is used where the
    message has none. Raises RefusedError (`header_sender`) for a foreign author, InvalidInputError where
    there is no author or more than one From field.
    """
    end = _header_end(content)
    fields = split_fields(content, 0, end)
    names = [field.name.lower() for field in fields]
    if names.count(b"from") != 1 or names.count(b"sender") > 1:
        raise InvalidInputError("not exactly one From field")
    for name, field in zip(names, fields, strict=True):
        if name in _AUTHORS:
            _check_author(content[field.value_start : field.value_end], addresses)
    pieces = []
    if b"date" not in names:
        pieces.append(f"Date: {formatdate(now_ms // 1000)}\r\n".encode())
    if b"message-id" not in names:
        pieces.append(f"Message-ID: <{message_id}>\r\n".encode())
    position = 0
    save_sent = False
    for name, field in zip(names, fields, strict=True):
        if name in _DROPPED:
            pieces.append(content[position : field.start])
            position = field.end
            save_sent = save_sent or _says_yes(name, content, field)
    pieces.append(content[position:])
    return Submission(b"".join(pieces), save_sent)


def _header_end(content: bytes) -> int:
    if content.startswith(b"\r\n"):
        return 0
    found = content.find(b"\r\n\r\n")
    return len(content) if found < 0 else found + 2


def _says_yes(name: bytes, content: bytes, field: Field) -> bool:
    value = content[field.value_start : field.value_end].strip().lower()
    return name == b"x-postkeep-save-sent" and value in _YES


def _check_author(value: bytes, addresses: Collection[str]) -> None:
    """Raise RefusedError unless the field names at least one address, and only such as are allowed."""
    named = 0
    for entry in parse_addresses(value):
        if entry.domain is None:
            continue
        named += 1
        try:
            local = (entry.local or b"").decode("utf-8")
            key = Address(local, parse_domain(entry.domain.decode("utf-8"))).key
        except (UnicodeDecodeError, InvalidInputError):
            key = ""
        if key not in addresses:
            raise RefusedError(code="header_sender")
    if not named:
        raise RefusedError(code="header_sender")
