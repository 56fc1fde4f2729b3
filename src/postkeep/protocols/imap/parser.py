"""From the bytes of one command to its value. Start at `parse_command`."""

import re
from collections.abc import Callable

from postkeep.protocols.imap.commands import (
    Authenticate,
    Bare,
    Command,
    Compress,
    Copy,
    Create,
    Delete,
    Enable,
    Fetch,
    GetQuota,
    GetQuotaRoot,
    Id,
    Language,
    Login,
    Rename,
    Request,
    SetQuota,
    Status,
    Store,
    StoreMode,
    Subscribe,
    UidExpunge,
)
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import TAG_BYTES_MAX
from postkeep.protocols.imap.parse_acl import (
    parse_delete_acl,
    parse_get_acl,
    parse_list_rights,
    parse_my_rights,
    parse_set_acl,
)
from postkeep.protocols.imap.parse_annotations import parse_get_metadata, parse_set_metadata
from postkeep.protocols.imap.parse_append import parse_append, parse_replace
from postkeep.protocols.imap.parse_fetch import MODSEQ_MAX, parse_items, parse_modifiers
from postkeep.protocols.imap.parse_list import parse_list, parse_lsub
from postkeep.protocols.imap.parse_notify import parse_notify
from postkeep.protocols.imap.parse_search import parse_search, parse_sort, parse_thread
from postkeep.protocols.imap.parse_select import parse_select
from postkeep.protocols.imap.reader import CommandBytes

_HEAD = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]+) ((?:UID )?[A-Za-z]+)", re.IGNORECASE)
_TAG = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]+)(?: |\Z)")
_STORE = re.compile(rb"([+-]?)FLAGS(\.SILENT)?", re.IGNORECASE)
_BASE64 = re.compile(rb"=|[A-Za-z0-9+/]*={0,2}")


def parse_command(command: CommandBytes, *, utf8: bool = False, charsets: bool = True) -> Request:
    """Read one command; `utf8`: mailbox names are UTF-8; `charsets`: a search may name its character set.

    Raises ImapSyntaxError, with the tag where there was one, and nothing else.
    """
    head = _HEAD.match(command.text)
    if head is None or len(head.group(1)) > TAG_BYTES_MAX:
        found = _TAG.match(command.text)
        tag = found.group(1) if found is not None and len(found.group(1)) <= TAG_BYTES_MAX else b""
        raise ImapSyntaxError("A command is a tag, a space and a command name.", tag=tag)
    tag = head.group(1)
    name = head.group(2).upper()
    cursor = Cursor(command, utf8=utf8, charsets=charsets)
    cursor.at = head.end()
    try:
        value = _PARSERS.get(name, _unknown)(cursor)
        cursor.end()
    except ImapSyntaxError as exc:
        exc.tag = tag
        raise
    return Request(tag, value)


def _unknown(_cursor: Cursor) -> Command:
    raise ImapSyntaxError("There is no such command.")


def _bare(command: Bare) -> Callable[[Cursor], Command]:
    return lambda _cursor: command


def _authenticate(cursor: Cursor) -> Command:
    cursor.space()
    mechanism = cursor.word().decode("ascii")
    if not cursor.skip(b" "):
        return Authenticate(mechanism)
    return Authenticate(mechanism, cursor.match(_BASE64, "base64").group())


def _login(cursor: Cursor) -> Command:
    cursor.space()
    user = cursor.astring()
    cursor.space()
    return Login(user, cursor.astring())


def _enable(cursor: Cursor) -> Command:
    names = []
    while cursor.skip(b" "):
        names.append(cursor.word().decode("ascii"))
        cursor.more(names)
    if not names:
        raise ImapSyntaxError("ENABLE takes the names of capabilities.")
    return Enable(tuple(names))


def _compress(cursor: Cursor) -> Command:
    cursor.space()
    return Compress(cursor.word().decode("ascii"))


def _language(cursor: Cursor) -> Command:
    ranges = []
    while cursor.skip(b" "):
        ranges.append(cursor.astring().decode("ascii", "replace"))
        cursor.more(ranges)
    return Language(tuple(ranges))


def _id(cursor: Cursor) -> Command:
    cursor.space()
    if not cursor.skip(b"("):
        if cursor.nstring() is not None:
            raise ImapSyntaxError("ID takes a list or NIL.")
        return Id(None)
    fields: list[tuple[bytes, bytes | None]] = []
    if not cursor.skip(b")"):
        while True:
            name = cursor.string()
            cursor.space()
            fields.append((name, cursor.nstring()))
            if len(fields) > 30:  # noqa: PLR2004 - RFC 2971 section 3.3
                raise ImapSyntaxError("ID takes at most 30 fields.")
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    return Id(tuple(fields))


def _select(*, read_only: bool) -> Callable[[Cursor], Command]:
    return lambda cursor: parse_select(cursor, read_only=read_only)


def _create(cursor: Cursor) -> Command:
    cursor.space()
    mailbox = cursor.mailbox()
    uses: list[str] = []
    if cursor.skip(b" (USE ("):
        while not cursor.skip(b")"):
            cursor.take(b"\\")
            uses.append("\\" + cursor.atom().decode("ascii").capitalize())
            cursor.more(uses)
            cursor.skip(b" ")
        cursor.take(b")")
    return Create(mailbox, tuple(uses))


def _mailbox(make: Callable[[str], Command]) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        return make(cursor.mailbox())

    return parse


def _rename(cursor: Cursor) -> Command:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return Rename(mailbox, cursor.mailbox())


def _status(cursor: Cursor) -> Command:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, cursor.status_items())


def _get_quota(cursor: Cursor) -> Command:
    cursor.space()
    return GetQuota(cursor.mailbox())


def _set_quota(cursor: Cursor) -> Command:
    cursor.space()
    root = cursor.mailbox()
    cursor.take(b" (")
    limits: list[tuple[str, int]] = []
    if not cursor.skip(b")"):
        while True:
            resource = cursor.word().decode("ascii")
            cursor.space()
            limits.append((resource, cursor.number(MODSEQ_MAX)))
            cursor.more(limits)
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    return SetQuota(root, tuple(limits))


def _uid_expunge(cursor: Cursor) -> Command:
    cursor.space()
    return UidExpunge(cursor.sequence())


def _fetch(*, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        sequence = cursor.sequence()
        cursor.space()
        items = parse_items(cursor)
        return Fetch(sequence, items, uid, *parse_modifiers(cursor, uid=uid))

    return parse


def _store(*, uid: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        sequence = cursor.sequence()
        cursor.space()
        unchanged_since = None
        if cursor.skip(b"("):
            if cursor.word() != b"UNCHANGEDSINCE":
                raise ImapSyntaxError("The modifier is not known.")
            cursor.space()
            unchanged_since = cursor.number(MODSEQ_MAX)
            cursor.take(b") ")
        mode = cursor.match(_STORE, "FLAGS")
        cursor.space()
        flags = cursor.flags()
        return Store(
            sequence,
            StoreMode(mode.group(1).decode("ascii")),
            flags,
            mode.group(2) is not None,
            uid,
            unchanged_since,
        )

    return parse


def _copy(*, uid: bool, move: bool) -> Callable[[Cursor], Command]:
    def parse(cursor: Cursor) -> Command:
        cursor.space()
        sequence = cursor.sequence()
        cursor.space()
        return Copy(sequence, cursor.mailbox(), uid, move)

    return parse


_PARSERS: dict[bytes, Callable[[Cursor], Command]] = {
    **{bare.encode("ascii"): _bare(bare) for bare in Bare},
    b"AUTHENTICATE": _authenticate,
    b"LOGIN": _login,
    b"ENABLE": _enable,
    b"ID": _id,
    b"COMPRESS": _compress,
    b"LANGUAGE": _language,
    b"SELECT": _select(read_only=False),
    b"EXAMINE": _select(read_only=True),
    b"CREATE": _create,
    b"DELETE": _mailbox(Delete),
    b"RENAME": _rename,
    b"SUBSCRIBE": _mailbox(lambda name: Subscribe(name, subscribed=True)),
    b"UNSUBSCRIBE": _mailbox(lambda name: Subscribe(name, subscribed=False)),
    b"LIST": parse_list,
    b"LSUB": parse_lsub,
    b"STATUS": _status,
    b"APPEND": parse_append,
    b"REPLACE": parse_replace(uid=False),
    b"UID REPLACE": parse_replace(uid=True),
    b"GETQUOTA": _get_quota,
    b"GETQUOTAROOT": _mailbox(GetQuotaRoot),
    b"SETQUOTA": _set_quota,
    b"GETMETADATA": parse_get_metadata,
    b"SETMETADATA": parse_set_metadata,
    b"NOTIFY": parse_notify,
    b"SETACL": parse_set_acl,
    b"DELETEACL": parse_delete_acl,
    b"GETACL": parse_get_acl,
    b"LISTRIGHTS": parse_list_rights,
    b"MYRIGHTS": parse_my_rights,
    b"UID EXPUNGE": _uid_expunge,
    b"SEARCH": lambda cursor: parse_search(cursor, uid=False),
    b"UID SEARCH": lambda cursor: parse_search(cursor, uid=True),
    b"SORT": lambda cursor: parse_sort(cursor, uid=False),
    b"UID SORT": lambda cursor: parse_sort(cursor, uid=True),
    b"THREAD": lambda cursor: parse_thread(cursor, uid=False),
    b"UID THREAD": lambda cursor: parse_thread(cursor, uid=True),
    b"FETCH": _fetch(uid=False),
    b"UID FETCH": _fetch(uid=True),
    b"STORE": _store(uid=False),
    b"UID STORE": _store(uid=True),
    b"COPY": _copy(uid=False, move=False),
    b"UID COPY": _copy(uid=True, move=False),
    b"MOVE": _copy(uid=False, move=True),
    b"UID MOVE": _copy(uid=True, move=True),
}
