"""The tokens of the grammar, read from the text of one command (RFC 3501 section 9)."""

import re
from collections.abc import Sized

from postkeep.protocols.imap.commands import StatusItem
from postkeep.protocols.imap.errors import ImapSyntaxError
from postkeep.protocols.imap.limits import (
    KEYWORD_BYTES_MAX,
    LIST_ITEMS_MAX,
    MAILBOX_NAME_BYTES_MAX,
)
from postkeep.protocols.imap.reader import CommandBytes, Literal
from postkeep.protocols.imap.sequence import NUMBER_MAX, SequenceSet, parse_sequence
from postkeep.protocols.imap.utf7 import decode_utf7

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
_QUOTED = re.compile(rb'"((?:[^"\\\x00\r\n]|\\["\\])*)"')
_ESCAPED = re.compile(rb"\\(.)")
_LITERAL = re.compile(rb"(~?)\{\d+\+?\}\r\n")
_NUMBER = re.compile(rb"\d{1,19}")
_SEQUENCE = re.compile(rb"[0-9*:,]+|\$")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_UNNAMEABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_NIL = re.compile(rb"NIL(?![^ )\r])", re.IGNORECASE)

_STATUS_ITEMS = {item.encode("ascii"): item for item in StatusItem}
_SYSTEM_FLAGS = {
    b"\\SEEN": "\\Seen",
    b"\\ANSWERED": "\\Answered",
    b"\\FLAGGED": "\\Flagged",
    b"\\DELETED": "\\Deleted",
    b"\\DRAFT": "\\Draft",
}


class Cursor:
    """Where the parser is. Every method reads one thing or raises ImapSyntaxError."""

    __slots__ = ("_literals", "_used", "at", "charsets", "text", "utf8")

    def __init__(self, command: CommandBytes, *, utf8: bool, charsets: bool = True) -> None:
        self.text = command.text
        self.at = 0
        self.utf8 = utf8
        self.charsets = charsets
        self._literals = command.literals
        self._used = 0

    def take(self, expected: bytes) -> None:
        """Read exactly these octets."""
        if not self.text.startswith(expected, self.at):
            raise ImapSyntaxError(f"Expected {expected.decode('ascii')!r}.")
        self.at += len(expected)

    def skip(self, maybe: bytes) -> bool:
        """Read these octets if they are next."""
        if self.text.startswith(maybe, self.at):
            self.at += len(maybe)
            return True
        return False

    def space(self) -> None:
        """Read one space."""
        if self.text[self.at : self.at + 1] != b" ":
            raise ImapSyntaxError("Expected a space.")
        self.at += 1

    def end(self) -> None:
        """Read the end. Spaces before it are forgiven: several clients send them."""
        if self.text[self.at :].strip(b" "):
            raise ImapSyntaxError("There is more than the command takes.")

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.text)

    def match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        """Read what a pattern matches."""
        found = pattern.match(self.text, self.at)
        if found is None:
            raise ImapSyntaxError(f"Expected {what}.")
        self.at = found.end()
        return found

    def atom(self) -> bytes:
        """Read an atom."""
        return self.match(_ATOM, "an atom").group()

    def word(self) -> bytes:
        """Read an atom that is a name of the protocol, upper case."""
        return self.match(_ATOM, "a word").group().upper()

    def number(self, most: int = NUMBER_MAX) -> int:
        """Read a number."""
        value = int(self.match(_NUMBER, "a number").group())
        if value > most:
            raise ImapSyntaxError("The number is too large.")
        return value

    def literal(self) -> Literal | None:
        """Read a literal if one is next."""
        found = _LITERAL.match(self.text, self.at)
        if found is None:
            return None
        if self._used >= len(self._literals):
            raise ImapSyntaxError("A literal is missing.")
        value = self._literals[self._used]
        if not found.group(1) and 0 in value:
            raise ImapSyntaxError("A literal can't hold a zero octet.")
        self._used += 1
        self.at = found.end()
        return value

    def string(self) -> bytes:
        """Read a quoted string or a literal."""
        found = _QUOTED.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            value = found.group(1)
            return _ESCAPED.sub(rb"\1", value) if b"\\" in value else value
        literal = self.literal()
        if literal is None:
            raise ImapSyntaxError("Expected a string.")
        return bytes(literal)

    def nstring(self) -> bytes | None:
        """Read a string or NIL."""
        found = _NIL.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return None
        return self.string()

    def astring(self) -> bytes:
        """Read an atom or a string."""
        found = _ASTRING.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return found.group()
        return self.string()

    def mailbox(self) -> str:
        """Read a mailbox name."""
        return self.decode_mailbox(self.astring())

    def list_mailbox(self) -> str:
        """Read a mailbox name with wildcards."""
        found = _LIST_MAILBOX.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return self.decode_mailbox(found.group())
        return self.decode_mailbox(self.string())

    def decode_mailbox(self, raw: bytes) -> str:
        """Decode a name: modified UTF-7 from rev1 clients (UTF-8 is understood too), UTF-8 from rev2."""
        if len(raw) > 3 * MAILBOX_NAME_BYTES_MAX:
            raise ImapSyntaxError("The mailbox name is too long.")
        try:
            name = raw.decode() if self.utf8 or not raw.isascii() else decode_utf7(raw)
        except UnicodeDecodeError as exc:
            raise ImapSyntaxError("The mailbox name is not valid UTF-8.") from exc
        if len(name.encode("utf-8", "surrogatepass")) > MAILBOX_NAME_BYTES_MAX:
            raise ImapSyntaxError("The mailbox name is too long.")
        if _UNNAMEABLE.search(name):
            raise ImapSyntaxError("The mailbox name holds a control character.")
        return name

    def sequence(self) -> SequenceSet:
        """Read a sequence set."""
        return parse_sequence(self.match(_SEQUENCE, "a sequence set").group())

    def flag(self) -> str:
        """Read a flag that can be stored: a keyword or a system flag other than Recent."""
        raw = self.match(_FLAG, "a flag").group()
        if raw.startswith(b"\\"):
            flag = _SYSTEM_FLAGS.get(raw.upper())
            if flag is None:
                raise ImapSyntaxError("There is no such system flag, or it can't be set.")
            return flag
        if len(raw) > KEYWORD_BYTES_MAX:
            raise ImapSyntaxError("The keyword is too long.")
        return raw.decode("ascii")

    def flags(self) -> tuple[str, ...]:
        """Read a parenthesised list of flags, or (STORE allows it) flags without parentheses."""
        found: list[str] = []
        bare = not self.skip(b"(")
        if not bare and self.skip(b")"):
            return ()
        while True:
            found.append(self.flag())
            self.more(found)
            if not self.skip(b" "):
                break
        if not bare:
            self.take(b")")
        return tuple(dict.fromkeys(found))

    def status_items(self) -> tuple[StatusItem, ...]:
        """Read `(MESSAGES UIDNEXT ...)`."""
        self.take(b"(")
        items: list[StatusItem] = []
        while True:
            item = _STATUS_ITEMS.get(self.word())
            if item is None:
                raise ImapSyntaxError("There is no such status item.")
            items.append(item)
            self.more(items)
            if not self.skip(b" "):
                break
        self.take(b")")
        return tuple(dict.fromkeys(items))

    def more(self, found: Sized) -> None:
        """Bound a list that is being read."""
        if len(found) > LIST_ITEMS_MAX:
            raise ImapSyntaxError("The list is too long.")
