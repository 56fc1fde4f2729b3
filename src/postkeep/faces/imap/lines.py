"""FETCH responses of many messages at once: one format for a command's items, filled from columns.

There is no decision per message here: a list of items becomes one bytes format, and each message one use of
it. What is not the same for all, such as sections of bodies, is in contents.py.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from postkeep.faces.imap.fetch_page import FetchPage
from postkeep.faces.imap.objectids import email_id, thread_id
from postkeep.faces.imap.row_blocks import BODY_BYTES, Columns, no_columns
from postkeep.faces.imap.selected import Selected
from postkeep.protocols.imap.dates import render_date_time
from postkeep.protocols.imap.fetch import Attribute

NO_PAGE: Final = FetchPage()


class Messages(NamedTuple):
    """What is known of some messages, in columns of one length."""

    selected: Selected
    numbers: Sequence[int]
    uids: "array[int]"
    rows: Columns = no_columns()
    """Left empty where no item needs rows."""
    flag_sets: Sequence[tuple[str, ...]] = ()
    page: FetchPage = NO_PAGE
    """Left empty where no item needs summaries."""


def messages(selected: Selected, uids: "array[int]", page: FetchPage, *, rows: bool) -> Messages:
    """Put together what is known of messages by now; those whose row has gone are left out."""
    view = selected.view
    numbers = view.numbers(uids)
    if not rows:
        return Messages(selected, numbers, uids, page=page)
    columns = view.columns_of(uids)
    if not all(columns.there):
        kept = [at for at, there in enumerate(columns.there) if there]
        columns, numbers = columns.pick(kept), array("I", (numbers[at] for at in kept))
        page = page.pick(kept) if page is not NO_PAGE else page
    return Messages(selected, numbers, columns.uids, columns, view.flag_sets, page)


def _flags(messages: Messages) -> Iterable[bytes]:
    return messages.selected.flag_texts(messages.flag_sets, messages.uids, messages.rows.flags)


def _email_ids(messages: Messages) -> Iterable[bytes]:
    bodies = bytes(messages.rows.bodies)
    return [email_id(bodies[at : at + BODY_BYTES]) for at in range(0, len(bodies), BODY_BYTES)]


def _save_dates(messages: Messages) -> Iterable[bytes]:
    return [render_date_time(saved) if saved else b"NIL" for saved in messages.rows.saved]


def _thread_ids(messages: Messages) -> Iterable[bytes]:
    return [b"(" + thread_id(root) + b")" if root else b"NIL" for root in messages.page.threads]


Column = Callable[[Messages], Iterable[bytes | int]]

COLUMNS: Final[dict[Attribute, tuple[bytes, Column]]] = {
    Attribute.UID: (b"UID %d", lambda messages: messages.uids),
    Attribute.FLAGS: (b"FLAGS %b", _flags),
    Attribute.INTERNALDATE: (
        b"INTERNALDATE %b",
        lambda messages: map(render_date_time, messages.rows.dates),
    ),
    Attribute.RFC822_SIZE: (b"RFC822.SIZE %d", lambda messages: messages.rows.sizes),
    Attribute.MODSEQ: (b"MODSEQ (%d)", lambda messages: messages.rows.modseqs),
    Attribute.SAVEDATE: (b"SAVEDATE %b", _save_dates),
    Attribute.EMAILID: (b"EMAILID (%b)", _email_ids),
    Attribute.THREADID: (b"THREADID %b", _thread_ids),
    Attribute.ENVELOPE: (b"ENVELOPE %b", lambda messages: messages.page.envelopes),
    Attribute.BODYSTRUCTURE: (b"BODYSTRUCTURE %b", lambda messages: messages.page.bodystructures),
    Attribute.BODY: (b"BODY %b", lambda messages: messages.page.bodies),
}
FROM_ROWS: Final = {
    Attribute.FLAGS,
    Attribute.INTERNALDATE,
    Attribute.RFC822_SIZE,
    Attribute.MODSEQ,
    Attribute.SAVEDATE,
    Attribute.EMAILID,
}
FROM_SUMMARIES: Final = {
    Attribute.ENVELOPE,
    Attribute.BODYSTRUCTURE,
    Attribute.BODY,
    Attribute.THREADID,
}


class Line:
    """The response for a list of items. `uid_only`: as UIDFETCH (RFC 9586), which names no message number."""

    __slots__ = ("_columns", "_format")

    def __init__(self, items: Iterable[Attribute], *, uid_only: bool) -> None:
        chosen = [COLUMNS[item] for item in items]
        head = b"* %d UIDFETCH (" if uid_only else b"* %d FETCH ("
        self._format = head + b" ".join(text for text, _ in chosen)
        first: Column = _uids if uid_only else _numbers
        self._columns = (first, *(column for _, column in chosen))

    def write(self, messages: Messages) -> bytes:
        """Write whole lines."""
        fill = (self._format + b")\r\n").__mod__
        return b"".join(map(fill, zip(*(column(messages) for column in self._columns), strict=True)))

    def heads(self, messages: Messages) -> list[bytes]:
        """Write lines up to their last item, for more items to follow."""
        fill = self._format.__mod__
        return list(map(fill, zip(*(column(messages) for column in self._columns), strict=True)))


def _numbers(messages: Messages) -> Iterable[int]:
    return messages.numbers


def _uids(messages: Messages) -> Iterable[int]:
    return messages.uids
