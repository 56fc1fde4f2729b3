"""The client's half of the command grammar: values to bytes, the exact reverse of `parser`."""

import datetime as dt

import msgspec

from postkeep.protocols.imap.acl import DeleteAcl, GetAcl, ListRights, MyRights, SetAcl
from postkeep.protocols.imap.annotations import GetMetadata, SetMetadata
from postkeep.protocols.imap.commands import (
    Append,
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
    ListMailboxes,
    Login,
    MessageUrl,
    NewMessage,
    Rename,
    Replace,
    Search,
    Select,
    SetQuota,
    Sort,
    Status,
    Store,
    Subscribe,
    Thread,
    UidExpunge,
)
from postkeep.protocols.imap.dates import render_date, render_date_time
from postkeep.protocols.imap.fetch import render_item
from postkeep.protocols.imap.notify import Notify
from postkeep.protocols.imap.reader import Literal
from postkeep.protocols.imap.search import (
    All,
    And,
    Body,
    Date,
    HasFlag,
    HasObjectId,
    Header,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Or,
    SearchKey,
    Smaller,
    Text,
    Within,
)
from postkeep.protocols.imap.sequence import SequenceSet
from postkeep.protocols.imap.strings import render_string
from postkeep.protocols.imap.utf7 import encode_utf7

_FLAG_KEYS = {
    "\\Seen": b"SEEN",
    "\\Answered": b"ANSWERED",
    "\\Flagged": b"FLAGGED",
    "\\Deleted": b"DELETED",
    "\\Draft": b"DRAFT",
    "\\Recent": b"RECENT",
}
_FIELD_KEYS = {"BCC", "CC", "FROM", "SUBJECT", "TO"}


def encode_command(
    tag: bytes, command: Command, *, literal_plus: bool = False, utf8: bool = False
) -> list[bytes]:
    """Write a command in pieces: between two of them the client waits for `+`. LITERAL+: one piece."""
    writer = _Writer(literal_plus=literal_plus, utf8=utf8)
    writer.raw(tag, b" ")
    writer.command(command)
    writer.raw(b"\r\n")
    return writer.pieces()


class _Writer:
    """Collects octets and cuts them where a synchronising literal makes the client wait."""

    def __init__(self, *, literal_plus: bool, utf8: bool) -> None:
        self._plus = literal_plus
        self._utf8 = utf8
        self._pieces: list[list[bytes]] = [[]]

    def pieces(self) -> list[bytes]:
        return [b"".join(piece) for piece in self._pieces]

    def raw(self, *octets: bytes) -> None:
        self._pieces[-1].extend(octets)

    def literal(self, value: bytes, *, binary: bool = False) -> None:
        self.raw(b"~" if binary else b"", b"{%d%b}\r\n" % (len(value), b"+" if self._plus else b""))
        if not self._plus:
            self._pieces.append([])
        self.raw(value)

    def string(self, value: bytes) -> None:
        rendered = render_string(value)
        if rendered.startswith(b"{"):
            self.literal(value)
        else:
            self.raw(rendered)

    def mailbox(self, name: str) -> None:
        self.string(name.encode() if self._utf8 else encode_utf7(name))

    def command(self, command: Command) -> None:  # noqa: C901, PLR0912 - one branch per command
        match command:
            case Bare():
                self.raw(command.encode("ascii"))
            case Authenticate(mechanism, initial):
                self.raw(b"AUTHENTICATE ", mechanism.encode("ascii"))
                if initial is not None:
                    self.raw(b" ", initial)
            case Login(user, password):
                self.raw(b"LOGIN ")
                self.string(user)
                self.raw(b" ")
                self.string(password)
            case Enable(capabilities):
                self.raw(b"ENABLE ", " ".join(capabilities).encode("ascii"))
            case Compress(mechanism):
                self.raw(b"COMPRESS ", mechanism.encode("ascii"))
            case Language(ranges):
                self.raw(b"LANGUAGE", *(b" " + render_string(name.encode("ascii")) for name in ranges))
            case Id():
                self._id(command)
            case Select():
                self._select(command)
            case Create(mailbox, uses):
                self._named(b"CREATE ", mailbox)
                if uses:
                    self.raw(b" (USE (", " ".join(uses).encode("ascii"), b"))")
            case Delete(mailbox):
                self._named(b"DELETE ", mailbox)
            case Rename(mailbox, target):
                self._named(b"RENAME ", mailbox)
                self._named(b" ", target)
            case Subscribe(mailbox, subscribed):
                self._named(b"SUBSCRIBE " if subscribed else b"UNSUBSCRIBE ", mailbox)
            case ListMailboxes():
                self._list(command)
            case Status(mailbox, items):
                self._named(b"STATUS ", mailbox)
                self.raw(b" (", " ".join(items).encode("ascii"), b")")
            case Append() | Replace():
                self._append(command)
            case GetQuota(root):
                self._named(b"GETQUOTA ", root)
            case SetAcl() | DeleteAcl() | GetAcl() | ListRights() | MyRights():
                self._acl(command)
            case GetQuotaRoot(mailbox):
                self._named(b"GETQUOTAROOT ", mailbox)
            case SetQuota(root, limits):
                self._named(b"SETQUOTA ", root)
                pairs = " ".join(f"{resource} {limit}" for resource, limit in limits)
                self.raw(b" (", pairs.encode("ascii"), b")")
            case GetMetadata() | SetMetadata():
                self._metadata(command)
            case Notify():
                self._notify(command)
            case _:
                self._message_command(command)

    def _named(self, word: bytes, mailbox: str) -> None:
        self.raw(word)
        self.mailbox(mailbox)

    def _message_command(self, command: UidExpunge | Search | Sort | Thread | Fetch | Store | Copy) -> None:
        match command:
            case UidExpunge(sequence):
                self.raw(b"UID EXPUNGE ", bytes(sequence))
            case Search() | Sort() | Thread():
                self._search(command)
            case Fetch(sequence, items, uid):
                self._numbered(b"FETCH ", sequence, uid=uid)
                self.raw(b" (", b" ".join(map(render_item, items)), b")")
                self._modifiers(command)
            case Store(sequence, mode, flags, silent, uid, unchanged_since):
                self._numbered(b"STORE ", sequence, uid=uid)
                if unchanged_since is not None:
                    self.raw(b" (UNCHANGEDSINCE %d)" % unchanged_since)
                name = mode.encode("ascii") + (b"FLAGS.SILENT" if silent else b"FLAGS")
                self.raw(b" ", name, b" (", " ".join(flags).encode("ascii"), b")")
            case Copy(sequence, mailbox, uid, move):
                self._numbered(b"MOVE " if move else b"COPY ", sequence, uid=uid)
                self._named(b" ", mailbox)

    def _modifiers(self, command: Fetch) -> None:
        words = []
        if command.changed_since is not None:
            words.append(b"CHANGEDSINCE %d" % command.changed_since)
        if command.vanished:
            words.append(b"VANISHED")
        if command.partial is not None:
            words.append(b"PARTIAL " + bytes(command.partial))
        if words:
            self.raw(b" (", b" ".join(words), b")")

    def _select(self, command: Select) -> None:
        self._named(b"EXAMINE " if command.read_only else b"SELECT ", command.mailbox)
        words = [b"CONDSTORE"] if command.condstore else []
        if command.resync is not None:
            known = command.resync.known
            numbers = b"%d %d" % (command.resync.uid_validity, command.resync.modseq)
            words.append(b"QRESYNC (" + numbers + (b"" if known is None else b" " + bytes(known)) + b")")
        if words:
            self.raw(b" (", b" ".join(words), b")")

    def _numbered(self, word: bytes, sequence: SequenceSet, *, uid: bool) -> None:
        self.raw(b"UID " if uid else b"", word, bytes(sequence))

    def _id(self, command: Id) -> None:
        if command.fields is None:
            self.raw(b"ID NIL")
            return
        self.raw(b"ID (")
        for number, (name, value) in enumerate(command.fields):
            self.raw(b" " if number else b"")
            self.string(name)
            self.raw(b" " if value is not None else b" NIL")
            if value is not None:
                self.string(value)
        self.raw(b")")

    def _list(self, command: ListMailboxes) -> None:
        self.raw(b"LSUB " if command.lsub else b"LIST ")
        if command.extended:
            self.raw(b"(", " ".join(sorted(command.selection)).encode("ascii"), b") ")
        self.mailbox(command.reference)
        self.raw(b" (" if command.extended else b" ")
        for number, pattern in enumerate(command.patterns):
            self._named(b" " if number else b"", pattern)
        self.raw(b")" if command.extended else b"")
        returns = [option.value for option in sorted(command.returns)]
        if command.status:
            returns.append("STATUS (" + " ".join(command.status) + ")")
        if command.metadata:
            returns.append("METADATA (" + " ".join(command.metadata) + ")")
        if returns:
            self.raw(b" RETURN (", " ".join(returns).encode("ascii"), b")")

    def _acl(self, command: SetAcl | DeleteAcl | GetAcl | ListRights | MyRights) -> None:
        self._named(type(command).__name__.upper().encode("ascii") + b" ", command.mailbox)
        if isinstance(command, SetAcl | DeleteAcl | ListRights):
            self.raw(b" ")
            self.string(command.identifier.encode())
        if isinstance(command, SetAcl):
            self.raw(b" ")
            self.string((command.mode + command.letters).encode("ascii"))

    def _metadata(self, command: GetMetadata | SetMetadata) -> None:
        if isinstance(command, GetMetadata):
            limit = "" if command.max_size is None else f" MAXSIZE {command.max_size}"
            self._named(f"GETMETADATA (DEPTH {command.depth}{limit}) ".encode("ascii"), command.mailbox)
            self.raw(b" (", " ".join(command.entries).encode("ascii"), b")")
            return
        self._named(b"SETMETADATA ", command.mailbox)
        for at, (name, value) in enumerate(command.values):
            self.raw(b" " if at else b" (", name.encode("ascii"), b" ")
            if value is None:
                self.raw(b"NIL")
            elif b"\0" in value:
                self.literal(value, binary=True)
            else:
                self.string(value)
        self.raw(b")")

    def _notify(self, command: Notify) -> None:
        if not command.groups:
            self.raw(b"NOTIFY NONE")
            return
        self.raw(b"NOTIFY SET", b" STATUS" if command.status else b"")
        for group in command.groups:
            self.raw(b" (", group.filter.encode("ascii"))
            for at, name in enumerate(group.mailboxes):
                self._named(b" " if at else b" (", name)
            self.raw(b")" if group.mailboxes else b"")
            words = [event.encode("ascii") for event in sorted(group.events)]
            words += [name.encode("ascii") for name in group.unknown]
            if group.items:
                items = b"(" + b" ".join(map(render_item, group.items)) + b")"
                words[words.index(b"MessageNew")] += b" " + items
            self.raw(b" (" + b" ".join(words) + b"))" if words else b" NONE)")

    def _append(self, command: Append | Replace) -> None:
        if isinstance(command, Append):
            self._named(b"APPEND ", command.mailbox)
            messages = command.messages
        else:
            number = b"*" if command.number is None else b"%d" % command.number
            self._named((b"UID " if command.uid else b"") + b"REPLACE " + number + b" ", command.mailbox)
            messages = (command.message,)
        for message in messages:
            self._message(message)

    def _message(self, message: NewMessage) -> None:
        self.raw(b" (", " ".join(message.flags).encode("ascii"), b") ")
        if message.date_ms is not None:
            self.raw(render_date_time(message.date_ms), b" ")
        if len(message.parts) == 1 and not isinstance(message.parts[0], MessageUrl):
            self._octets(message.parts[0])
            return
        for at, part in enumerate(message.parts):
            self.raw(b" " if at else b"CATENATE (")
            if isinstance(part, MessageUrl):
                self.raw(b"URL ")
                self.string(part.text.encode())
            else:
                self.raw(b"TEXT ")
                self._octets(part)
        self.raw(b")")

    def _octets(self, literal: Literal) -> None:
        octets = bytes(literal)
        self.literal(octets, binary=b"\0" in octets)

    def _search(self, command: Search | Sort | Thread) -> None:
        self.raw(b"UID " if command.uid else b"", type(command).__name__.upper().encode("ascii"), b" ")
        if not isinstance(command, Thread) and command.returns is not None:
            returns = [option.encode("ascii") for option in sorted(command.returns.options)]
            if command.returns.partial is not None:
                returns.append(b"PARTIAL " + bytes(command.returns.partial))
            self.raw(b"RETURN (", b" ".join(returns), b") ")
        if isinstance(command, Search):
            plain = all(text.isascii() for text in _texts(command.key))
            self.raw(b"" if plain else b"CHARSET UTF-8 ")
        elif isinstance(command, Sort):
            order = ("REVERSE " * key.reverse + key.field for key in command.order)
            self.raw(b"(", " ".join(order).encode("ascii"), b") UTF-8 ")
        else:
            self.raw(command.algorithm.encode("ascii"), b" UTF-8 ")
        self._key(command.key)

    def _key(self, key: SearchKey) -> None:  # noqa: C901, PLR0912 - one branch per key
        match key:
            case All():
                self.raw(b"ALL")
            case HasFlag(flag):
                known = _FLAG_KEYS.get(flag)
                self.raw(b"KEYWORD " + flag.encode("ascii") if known is None else known)
            case Header(field, text):
                self.raw(field.encode("ascii") if field in _FIELD_KEYS else b"HEADER ")
                if field not in _FIELD_KEYS:
                    self.string(field.encode("ascii"))
                self.raw(b" ")
                self.string(text.encode())
            case Body(text) | Text(text):
                self.raw(b"BODY " if isinstance(key, Body) else b"TEXT ")
                self.string(text.encode())
            case Date(source, relation, day):
                self.raw(f"{source}{relation} ".encode("ascii"), render_date(day))
            case Within(seconds, older):
                self.raw(b"OLDER %d" % seconds if older else b"YOUNGER %d" % seconds)
            case HasObjectId(kind, identifier):
                self.raw(f"{kind} {identifier}".encode("ascii"))
            case Larger(size) | Smaller(size):
                self.raw(b"LARGER %d" % size if isinstance(key, Larger) else b"SMALLER %d" % size)
            case Numbers(sequence, uid):
                self.raw(b"UID " if uid else b"", bytes(sequence))
            case ModSeq(modseq):
                self.raw(b"MODSEQ %d" % modseq)
            case Not(inner):
                self.raw(b"NOT ")
                self._key(inner)
            case Or(left, right):
                self.raw(b"OR ")
                self._key(left)
                self.raw(b" ")
                self._key(right)
            case And(keys):
                for number, inner in enumerate(keys):
                    self.raw(b" " if number else b"(")
                    self._key(inner)
                self.raw(b")")


def _texts(key: SearchKey) -> list[str]:
    values = msgspec.to_builtins(key, builtin_types=(dt.date,))
    found: list[str] = []
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    return found
