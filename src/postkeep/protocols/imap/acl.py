"""Access control lists (RFC 4314): the commands as values, the letters, and what answers look like."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from postkeep.protocols.imap.strings import render_mailbox, render_string

LETTERS: Final = "lrswipkxtea"
"""Lookup, read, seen, write flags, insert, post, create, delete mailbox, delete messages, expunge,
administer (section 2.1)."""
OBSOLETE: Final = {"c": "kx", "d": "et"}
"""What the rights of RFC 2086 stand for here (section 2.1.1)."""


class AclMode(StrEnum):
    """What SETACL does with the letters."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


class SetAcl(msgspec.Struct, frozen=True):
    """SETACL (section 3.1)."""

    mailbox: str
    identifier: str
    mode: AclMode
    letters: str
    """As sent."""


class DeleteAcl(msgspec.Struct, frozen=True):
    """DELETEACL (section 3.2)."""

    mailbox: str
    identifier: str


class GetAcl(msgspec.Struct, frozen=True):
    """GETACL (section 3.3)."""

    mailbox: str


class ListRights(msgspec.Struct, frozen=True):
    """LISTRIGHTS (section 3.4)."""

    mailbox: str
    identifier: str


class MyRights(msgspec.Struct, frozen=True):
    """MYRIGHTS (section 3.5)."""

    mailbox: str


def shown(letters: str) -> str:
    """Return rights as answers show them: with an obsolete letter wherever one of its members is there."""
    return letters + "".join(old for old, members in OBSOLETE.items() if set(members) & set(letters))


def plain(letters: str) -> str:
    """Return the rights that letters of a command stand for, in their order; ValueError for one unknown."""
    wanted = set("".join(OBSOLETE.get(letter, letter) for letter in letters))
    if not wanted <= set(LETTERS):
        raise ValueError("an unknown right")
    return "".join(letter for letter in LETTERS if letter in wanted)


def render_acl(mailbox: str, entries: Iterable[tuple[str, str]], *, utf8: bool) -> bytes:
    """Write ACL (section 3.6): identifiers with their letters."""
    words = [b"* ACL", render_mailbox(mailbox, utf8=utf8)]
    for identifier, letters in entries:
        words += [render_string(identifier.encode()), render_string(shown(letters).encode("ascii"))]
    return b" ".join(words) + b"\r\n"


def render_list_rights(
    mailbox: str, identifier: str, required: str, optional: Iterable[str], *, utf8: bool
) -> bytes:
    """Write LISTRIGHTS (section 3.7): what an identifier always has, then groups granted together."""
    words = [b"* LISTRIGHTS", render_mailbox(mailbox, utf8=utf8), render_string(identifier.encode())]
    words += [render_string(required.encode("ascii"))]
    words += [group.encode("ascii") for group in optional]
    return b" ".join(words) + b"\r\n"
