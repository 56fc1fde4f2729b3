"""The keys of SEARCH (RFC 3501 section 6.4.4) and its RETURN options (RFC 4731, 5182)."""

from collections.abc import Callable

from postkeep.protocols.imap.cursor import Cursor
from postkeep.protocols.imap.dates import parse_date
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import NESTING_MAX, SEARCH_KEYS_MAX
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
    ModSeq,
    Not,
    Numbers,
    Or,
    ReturnOption,
    SearchKey,
    Smaller,
    Text,
)

_MODSEQ_MAX = (1 << 63) - 1
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
    b"NEW": And((_RECENT, Not(_SEEN))),
    b"OLD": Not(_RECENT),
    b"UNANSWERED": Not(HasFlag("\\Answered")),
    b"UNDELETED": Not(HasFlag("\\Deleted")),
    b"UNDRAFT": Not(HasFlag("\\Draft")),
    b"UNFLAGGED": Not(HasFlag("\\Flagged")),
    b"UNSEEN": Not(_SEEN),
}


def parse_return(cursor: Cursor) -> frozenset[ReturnOption] | None:
    """Read `RETURN (...)` if it is there; `RETURN ()` means ALL (RFC 4731 section 3.1)."""
    if cursor.text[cursor.at : cursor.at + 8].upper() != b"RETURN (":
        return None
    cursor.at += 8
    options: list[ReturnOption] = []
    if not cursor.skip(b")"):
        while True:
            word = cursor.word().decode("ascii")
            if word not in ReturnOption.__members__:
                raise ImapSyntaxError("There is no such return option.")
            options.append(ReturnOption(word))
            cursor.more(options)
            if not cursor.skip(b" "):
                break
        cursor.take(b")")
    cursor.space()
    return frozenset(options or [ReturnOption.ALL])


def parse_keys(cursor: Cursor, charset: str) -> SearchKey:
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
    **{
        f"{source}{relation}".encode(): _date(source, relation)
        for source in DateSource
        for relation in DateRelation
    },
}
