"""Mailbox names: what each mailbox is called, what contains what, which names a pattern matches. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from postkeep.services.vault.api import MailboxRow

SEPARATOR: Final = "/"
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


class Named(msgspec.Struct, frozen=True):
    """A mailbox with its name in the clear."""

    name: str
    row: MailboxRow


def canonical(name: str) -> str:
    """Return the one spelling of a name: INBOX in capitals (RFC 3501 section 5.1), no trailing separator."""
    first, separator, rest = name.rstrip(SEPARATOR).partition(SEPARATOR)
    return (INBOX if first.upper() == INBOX else first) + separator + rest


def is_valid(name: str) -> bool:
    """Whether a mailbox can have this (canonical) name: no empty level, no wildcard."""
    return bool(name) and all(name.split(SEPARATOR)) and not set(name) & set("*%")


def parents(name: str) -> list[str]:
    """Return the names above a name, the highest first."""
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:depth]) for depth in range(1, len(levels))]


class Tree:
    """All mailboxes of a person at one version of the list."""

    def __init__(self, mailboxes: Iterable[Named], version: int) -> None:
        self.by_name = {named.name: named for named in sorted(mailboxes, key=lambda named: named.name)}
        self.version = version
        self.with_children = {above for name in self.by_name for above in parents(name)}

    def find(self, name: str) -> Named | None:
        """Find a mailbox by any spelling of its name."""
        return self.by_name.get(canonical(name))

    def below(self, name: str) -> list[Named]:
        """Return the mailboxes anywhere below a name."""
        prefix = name + SEPARATOR
        return [named for named in self.by_name.values() if named.name.startswith(prefix)]

    def all_names(self) -> list[str]:
        """Return every name, and those that only exist as a level above others, INBOX first."""
        names = sorted(self.by_name.keys() | self.with_children)
        return sorted(names, key=lambda name: name != INBOX)


class Pattern:
    """A LIST pattern: `*` matches anything, `%` anything within one level.

    Matched by running all its states at once, one bit each: no pattern takes longer than its length.
    """

    def __init__(self, text: str) -> None:
        pattern = _collapse(text)
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
        wild = self._stars | self._percents
        states = 1 | (1 & wild) << 1
        for char in name:
            kept = states & (self._stars if char == SEPARATOR else wild)
            states = (states & self._literals.get(char, 0)) << 1 | kept
            states |= (states & wild) << 1
            if not states:
                break
        if states & self._accept:
            return True
        is_inbox = name == INBOX or name.startswith(INBOX + SEPARATOR)
        return is_inbox and self._folded is not None and self._folded.matches(name)


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
