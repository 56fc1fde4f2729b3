"""Mailbox names: what each mailbox is called, what contains what, which names a pattern matches. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

import msgspec

from postkeep.protocols.imap.acl import LETTERS
from postkeep.protocols.imap.limits import MAILBOX_NAME_BYTES_MAX
from postkeep.services.vault.api import MailboxRow

NAME_LEVELS_MAX: Final = 32
"""Levels of one name: each is a mailbox that CREATE may have to make."""
SEPARATOR: Final = "/"
OTHERS: Final = "Other Users"
SHARED: Final = "Shared"
NAMESPACES: Final = (OTHERS, SHARED)
"""What stands before the addresses of people, and of groups, whose mailboxes are shared (RFC 2342)."""
INBOX: Final = "INBOX"
ROLE_NAMES: Final = {
    "inbox": INBOX,
    "sent": "Sent",
    "drafts": "Drafts",
    "trash": "Trash",
    "junk": "Junk",
    "archive": "Archive",
}
ROLE_USES: Final = {
    "sent": "\\Sent",
    "drafts": "\\Drafts",
    "trash": "\\Trash",
    "junk": "\\Junk",
    "archive": "\\Archive",
}
_UNFIT: Final = re.compile("[*%\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # RFC 9051 section 5.1


class Named(msgspec.Struct, frozen=True):
    """A mailbox with its name in the clear."""

    name: str
    row: MailboxRow
    owner: bytes = b""
    """Whose it is; empty: one's own."""
    rights: str = LETTERS
    """What may be done with it (RFC 4314 section 2.1)."""


def canonical(name: str) -> str:
    """Return the one spelling of a name: composed (NFC, RFC 9051 section 5.1), INBOX in capitals (RFC 3501
    section 5.1), no trailing separator."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    first, separator, rest = name.rstrip(SEPARATOR).partition(SEPARATOR)
    return (INBOX if first.upper() == INBOX else first) + separator + rest


def is_valid(name: str) -> bool:
    """Whether a mailbox can have this (canonical) name: no empty level, not too long or deep, no wildcard, no
    control character, not of another namespace (RFC 3501 section 5.1.2)."""
    return (
        bool(name)
        and all(name.split(SEPARATOR))
        and name.count(SEPARATOR) < NAME_LEVELS_MAX
        and len(name.encode("utf-8", "surrogatepass")) <= MAILBOX_NAME_BYTES_MAX
        and not name.startswith("#")
        and not _UNFIT.search(name)
    )


def parents(name: str) -> list[str]:
    """Return the names above a name, the highest first."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:depth]) for depth in range(1, len(levels))]


def levels_above(names: Iterable[str]) -> set[str]:
    """Return every level above any of the names."""
    found: set[str] = set()
    for name in names:
        at = name.rfind(SEPARATOR)
        while at > 0 and (above := name[:at]) not in found:
            found.add(above)
            at = name.rfind(SEPARATOR, 0, at)
    return found


class Tree:
    """All mailboxes of a person at one version of the list. The counts in the rows may be older."""

    def __init__(self, mailboxes: Iterable[Named], version: int, lone: frozenset[str] = frozenset()) -> None:
        self.by_name = _unique(sorted(mailboxes, key=lambda named: named.name))
        self.version = version
        self.lone = lone
        """Names that are subscribed to though there is no mailbox, or was none (RFC 3501 section 6.3.6)."""
        self.with_children = levels_above(self.by_name)
        self._all_names: list[str] = []

    def find(self, name: str) -> Named | None:
        """Find a mailbox by any spelling of its name."""
        return self.by_name.get(canonical(name))

    def with_role(self, role: str) -> Named | None:
        """Find the mailbox with a special use."""
        return next((named for named in self.by_name.values() if named.row.role == role), None)

    def below(self, name: str) -> list[Named]:
        """Return the mailboxes anywhere below a name."""
        prefix = name + SEPARATOR
        return [named for named in self.by_name.values() if named.name.startswith(prefix)]

    def all_names(self) -> list[str]:
        """Return every name, and those that only exist as a level above others, INBOX first."""
        if not self._all_names:
            self._all_names = sorted(self.by_name.keys() | self.with_children)
            if INBOX in self.by_name:
                self._all_names.remove(INBOX)
                self._all_names.insert(0, INBOX)
        return self._all_names

    def is_subscribed(self, name: str) -> bool:
        """Whether a (canonical) name is on the list of subscriptions."""
        named = self.by_name.get(name)
        return name in self.lone or (named is not None and named.row.subscribed)

    def subscriptions(self) -> set[str]:
        """Return all names on the list of subscriptions."""
        return {name for name, named in self.by_name.items() if named.row.subscribed} | self.lone

    def refresh(self, rows: Iterable[MailboxRow]) -> None:
        """Take in newer counts of mailboxes; one that is not in the tree is left out."""
        places = {named.row.id: named for named in self.by_name.values()}
        for row in rows:
            named = places.get(row.id)
            if named is not None:
                self.by_name[named.name] = msgspec.structs.replace(named, row=row)


def _unique(mailboxes: Iterable[Named]) -> dict[str, Named]:
    """Give a mailbox another name to be shown by whose name another has: two clients can make one each, as
    names are sealed, and a mailbox with a role is made under its usual name whatever there is."""
    by_name: dict[str, Named] = {}
    for named in mailboxes:
        name, number = named.name, 2
        while name in by_name:
            name, number = f"{named.name} ({number})", number + 1
        by_name[name] = named if name == named.name else msgspec.structs.replace(named, name=name)
    return by_name


class Pattern:
    """A LIST pattern: `*` matches anything, `%` anything within one level.

    Matched by running all its states at once, one bit each: no pattern takes longer than its length. The
    common ones, a name and then one wildcard or none, are compared as they are.
    """

    def __init__(self, text: str) -> None:
        pattern = _collapse(text if text.isascii() else unicodedata.normalize("NFC", text))
        self._prefix = pattern.rstrip("*%")
        self._wild = pattern[len(self._prefix) :]
        self._is_plain = not set(self._prefix) & set("*%")
        self._literals: dict[str, int] = {}
        self._stars = self._percents = 0
        for at, char in enumerate(pattern):
            if char == "*":
                self._stars |= 1 << at
            elif char == "%":
                self._percents |= 1 << at
            else:
                self._literals[char] = self._literals.get(char, 0) | 1 << at
        self._accept = 1 << len(pattern)
        self._folded = Pattern(folded) if (folded := _fold_inbox(pattern)) != pattern else None

    def matches(self, name: str) -> bool:
        """Whether the pattern matches all of a name."""
        if self._matches(name):
            return True
        is_inbox = name == INBOX or name.startswith(INBOX + SEPARATOR)
        return is_inbox and self._folded is not None and self._folded.matches(name)

    def _matches(self, name: str) -> bool:
        if self._is_plain:
            if not name.startswith(self._prefix):
                return False
            rest = len(self._prefix)
            return self._wild == "*" or (name.find(SEPARATOR, rest) < 0 if self._wild else len(name) == rest)
        wild = self._stars | self._percents
        states = 1 | (1 & wild) << 1
        for char in name:
            kept = states & (self._stars if char == SEPARATOR else wild)
            states = (states & self._literals.get(char, 0)) << 1 | kept
            states |= (states & wild) << 1
            if not states:
                break
        return bool(states & self._accept)


def _collapse(text: str) -> str:
    collapsed: list[str] = []
    for char in text:
        if collapsed and char in "*%" and collapsed[-1] in "*%":
            if char == "*":
                collapsed[-1] = "*"
        else:
            collapsed.append(char)
    return "".join(collapsed)


def _fold_inbox(pattern: str) -> str:
    """Return a pattern that begins like INBOX in another case with those letters in capitals."""
    length = 0
    while length < len(INBOX) and pattern[length : length + 1].upper() == INBOX[length]:
        length += 1
    rest = pattern[length:]
    if length == len(INBOX) and (not rest or rest[0] in "/*%"):
        return INBOX + rest
    if 0 < length < len(INBOX) and rest[:1] in {"*", "%"}:
        return INBOX[:length] + rest
    return pattern
