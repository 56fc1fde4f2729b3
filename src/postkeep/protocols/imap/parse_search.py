"""The keys of SEARCH (RFC 3501 section 6.4.4), its RETURN options (RFC 4731, 5182, 9394), SORT and THREAD."""

import re
from collections.abc import Callable

from postkeep.protocols.imap.commands import Search, Sort, Thread
from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.dates import parse_date
from postkeep.protocols.imap.errors import ImapCharsetError, ImapSyntaxError
from postkeep.protocols.imap.limits import NESTING_MAX, SEARCH_KEYS_MAX
from postkeep.protocols.imap.parse_partial import parse_partial_range
from postkeep.protocols.imap.partial import PartialRange
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    DateRelation,
    DateSource,
    HasFlag,
    HasObjectId,
    Header,
    Larger,
    ModSeq,
    Not,
    Numbers,
    ObjectKind,
    Or,
    ReturnOption,
    Returns,
    SearchKey,
    Smaller,
    Text,
    Within,
)
from postkeep.protocols.imap.sort import SortField, SortKey, ThreadAlgorithm

_MODSEQ_MAX = (1 << 63) - 1
_OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")  # RFC 8474 section 7
_SORT_FIELDS = {field.encode("ascii"): field for field in SortField}
_ALGORITHMS = {algorithm.encode("ascii"): algorithm for algorithm in ThreadAlgorithm}
_SEEN = HasFlag("\\Seen")
_RECENT = HasFlag("\\Recent")

_CONSTANTS: dict[bytes, SearchKey] = {
    b"ALL": All(),
    b"ANSWERED": HasFlag("\\Answered"),
    b"DELETED": HasFlag("\\Deleted"),
    b"DRAFT": HasFlag("\\Draft"),
    b"FLAGGED": HasFlag("\\Flagged"),
    b"SEEN": _SEEN,
    b"RECENT": _RECENT,
    b"SAVEDATESUPPORTED": All(),  # RFC 8514 section 4.3: every mailbox here keeps save dates
    b"NEW": And((_RECENT, Not(_SEEN))),
    b"OLD": Not(_RECENT),
    b"UNANSWERED": Not(HasFlag("\\Answered")),
    b"UNDELETED": Not(HasFlag("\\Deleted")),
    b"UNDRAFT": Not(HasFlag("\\Draft")),
    b"UNFLAGGED": Not(HasFlag("\\Flagged")),
    b"UNSEEN": Not(_SEEN),
}


def parse_search(cursor: Cursor, *, uid: bool) -> Search:
    """Read what follows SEARCH."""
    cursor.space()
    returns = _returns(cursor)
    charset = "US-ASCII-OR-UTF-8"
    if cursor.text[cursor.at : cursor.at + 8].upper() == b"CHARSET ":
        if not cursor.charsets:
            raise ImapSyntaxError("With UTF8=ACCEPT no character set is named.")
        cursor.at += 8
        charset = _charset(cursor)
    return Search(_keys(cursor, charset), uid, returns)


def parse_sort(cursor: Cursor, *, uid: bool) -> Sort:
    """Read what follows SORT (RFC 5256 section 5, RFC 5267 section 3)."""
    cursor.space()
    returns = _returns(cursor)
    cursor.take(b"(")
    order: list[SortKey] = []
    while True:
        word = cursor.word()
        reverse = word == b"REVERSE"
        if reverse:
            cursor.space()
            word = cursor.word()
        field = _SORT_FIELDS.get(word)
        if field is None:
            raise ImapSyntaxError("There is no such sort key.")
        order.append(SortKey(field, reverse))
        cursor.more(order)
        if not cursor.skip(b" "):
            break
    cursor.take(b") ")
    return Sort(tuple(order), _keys(cursor, _charset(cursor)), uid, returns)


def parse_thread(cursor: Cursor, *, uid: bool) -> Thread:
    """Read what follows THREAD (RFC 5256 section 5)."""
    cursor.space()
    algorithm = _ALGORITHMS.get(cursor.word())
    if algorithm is None:
        raise ImapSyntaxError("There is no such threading algorithm.")
    cursor.space()
    return Thread(algorithm, _keys(cursor, _charset(cursor)), uid)


def _charset(cursor: Cursor) -> str:
    charset = cursor.astring().decode("ascii", "replace").upper()
    if charset not in {"US-ASCII", "UTF-8"}:
        raise ImapCharsetError("Only US-ASCII and UTF-8 are searched.")
    cursor.space()
    return charset


def _returns(cursor: Cursor) -> Returns | None:
    """Read `RETURN (...)` if it is there; `RETURN ()` means ALL (RFC 4731 section 3.1)."""
    if cursor.text[cursor.at : cursor.at + 8].upper() != b"RETURN (":
        return None
    cursor.at += 8
    options: list[ReturnOption] = []
    partial: PartialRange | None = None
    if not cursor.skip(b")"):
        while True:
            word = cursor.word().decode("ascii")
            if word == "PARTIAL":
                if partial is not None:
                    raise ImapSyntaxError("PARTIAL may stand here once.")
                cursor.space()
                partial = parse_partial_range(cursor)
            elif word in ReturnOption.__members__:
                options.append(ReturnOption(word))
                cursor.more(options)
            else:
                raise ImapSyntaxError("There is no such return option.")
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    cursor.space()
    if not options and partial is None:
        options.append(ReturnOption.ALL)
    return Returns(frozenset(options), partial)


def _keys(cursor: Cursor, charset: str) -> SearchKey:
    """Read one key or more, to the end of the command, as one tree."""
    return _Keys(cursor, charset).sequence(0)


class _Keys:
    """Counts keys and depth while it reads."""

    def __init__(self, cursor: Cursor, charset: str) -> None:
        self.cursor = cursor
        self.charset = charset
        self.count = 0

    def sequence(self, depth: int) -> SearchKey:
        keys = [self.key(depth)]
        while self.cursor.skip(b" "):
            if self.cursor.at_end():
                break
            keys.append(self.key(depth))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def key(self, depth: int) -> SearchKey:
        cursor = self.cursor
        self.count += 1
        if depth > NESTING_MAX or self.count > SEARCH_KEYS_MAX:
            raise ImapSyntaxError("The search is too complex.")
        if cursor.skip(b"("):
            inner = self.sequence(depth + 1)
            cursor.take(b")")
            return inner
        first = cursor.text[cursor.at : cursor.at + 1]
        if first.isdigit() or first in {b"*", b"$"}:
            return Numbers(cursor.sequence(), uid=False)
        word = cursor.word()
        constant = _CONSTANTS.get(word)
        if constant is not None:
            return constant
        cursor.space()
        if word == b"NOT":
            return Not(self.key(depth + 1))
        if word == b"OR":
            left = self.key(depth + 1)
            cursor.space()
            return Or(left, self.key(depth + 1))
        parse = _ARGUMENTS.get(word)
        if parse is None:
            raise ImapSyntaxError("There is no such search key.")
        return parse(self)

    def text(self) -> str:
        raw = self.cursor.astring()
        try:
            return raw.decode("ascii" if self.charset == "US-ASCII" else "utf-8")
        except UnicodeDecodeError as exc:
            raise ImapSyntaxError("The text is not in the character set named.") from exc


def _flag(keys: _Keys) -> SearchKey:
    return HasFlag(keys.cursor.atom().decode("ascii"))


def _header(field: str) -> Callable[[_Keys], SearchKey]:
    return lambda keys: Header(field, keys.text())


def _any_header(keys: _Keys) -> SearchKey:
    field = keys.cursor.astring().decode("ascii", "replace")
    keys.cursor.space()
    return Header(field.upper(), keys.text())


def _date(source: DateSource, relation: DateRelation) -> Callable[[_Keys], SearchKey]:
    return lambda keys: Date(source, relation, parse_date(keys.cursor.astring()))


def _within(*, older: bool) -> Callable[[_Keys], SearchKey]:
    def parse(keys: _Keys) -> SearchKey:
        seconds = keys.cursor.number()
        if not seconds:  # nz-number
            raise ImapSyntaxError("The interval is at least one second.")
        return Within(seconds, older)

    return parse


def _object_id(kind: ObjectKind) -> Callable[[_Keys], SearchKey]:
    def parse(keys: _Keys) -> SearchKey:
        value = keys.cursor.astring().decode("ascii", "replace")
        if not _OBJECT_ID.match(value):
            raise ImapSyntaxError("An object identifier is letters, digits, `_` and `-`.")
        return HasObjectId(kind, value)

    return parse


def _modseq(keys: _Keys) -> SearchKey:
    cursor = keys.cursor
    if cursor.text.startswith(b'"', cursor.at):  # an entry name and type: we keep one sequence for all
        cursor.string()
        cursor.space()
        if cursor.word() not in {b"PRIV", b"SHARED", b"ALL"}:
            raise ImapSyntaxError("There is no such entry type.")
        cursor.space()
    return ModSeq(cursor.number(_MODSEQ_MAX))


_ARGUMENTS: dict[bytes, Callable[[_Keys], SearchKey]] = {
    b"KEYWORD": _flag,
    b"UNKEYWORD": lambda keys: Not(_flag(keys)),
    **{name.encode(): _header(name) for name in ("BCC", "CC", "FROM", "SUBJECT", "TO")},
    b"HEADER": _any_header,
    b"BODY": lambda keys: Body(keys.text()),
    b"TEXT": lambda keys: Text(keys.text()),
    b"LARGER": lambda keys: Larger(keys.cursor.number()),
    b"SMALLER": lambda keys: Smaller(keys.cursor.number()),
    b"UID": lambda keys: Numbers(keys.cursor.sequence(), uid=True),
    b"MODSEQ": _modseq,
    b"OLDER": _within(older=True),
    b"YOUNGER": _within(older=False),
    **{kind.encode(): _object_id(kind) for kind in ObjectKind},
    **{
        f"{source}{relation}".encode(): _date(source, relation)
        for source in DateSource
        for relation in DateRelation
    },
}
