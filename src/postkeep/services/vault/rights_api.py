"""Rights on mailboxes of others, as values on the wire. The letters are those of RFC 4314 section 2.1."""

from typing import Final

import msgspec

from postkeep.services.vault.api import MailboxRow, NewEpoch

LETTERS: Final = "lrswipkxtea"
"""lookup, read, keep seen, write flags, insert, post, create mailboxes, delete mailbox, delete messages,
expunge, administer: in the order in which they are kept."""


class SetRights(msgspec.Struct, frozen=True):
    """`vault.set_rights`: replace a reader's rights, for the owner and who has `a`."""

    principal: bytes
    """The owner."""
    mailbox: bytes
    """Empty: all of the owner's mailboxes, but for those that have rights of their own for the reader."""
    reader: bytes
    letters: str
    """Empty: none."""
    until_ms: int | None = None
    """Void from this moment on, milliseconds since the epoch; None: no end."""


class RightsSet(msgspec.Struct, frozen=True):
    """What the reader has now on anything of the owner's: all letters together, and their latest end."""

    letters: str
    until_ms: int | None = None


class GetRights(msgspec.Struct, frozen=True):
    """`vault.rights`: everybody's rights on a mailbox (empty: on anything of the owner's), for the owner and
    who has `a`."""

    principal: bytes
    mailbox: bytes = b""


class Right(msgspec.Struct, frozen=True):
    """The rights of one reader that are in force."""

    reader: bytes
    letters: str
    mailbox: bytes
    """Empty: they are those on all of the owner's mailboxes."""
    until_ms: int | None = None


class RightsList(msgspec.Struct, frozen=True):
    """Ordered by reader."""

    rights: list[Right]


class ListShared(msgspec.Struct, frozen=True):
    """`vault.shared`: the mailboxes of others that the principal has rights on."""

    principal: bytes


class SharedMailbox(msgspec.Struct, frozen=True):
    """A mailbox of somebody else; the name is sealed to that owner's keys."""

    owner: bytes
    row: MailboxRow
    letters: str


class SharedList(msgspec.Struct, frozen=True):
    """Ordered by owner."""

    mailboxes: list[SharedMailbox]
    versions: dict[bytes, int] = {}
    """Of the owners' lists, as `vault.change_mailboxes` asks for them."""
    until_ms: int | None = None
    """The earliest end of any of them, milliseconds since the epoch: ask again then."""


class Rewrapped(msgspec.Struct, frozen=True, array_like=True):
    """A message with its keys wrapped for the owner of the mailbox that it is copied to."""

    uid: int
    body: bytes
    epoch: bytes
    index: int
    wraps: bytes


class CopyAcross(msgspec.Struct, frozen=True):
    """`vault.copy_across`: copy messages to a mailbox of another principal. Answers `Copied`.

    The sealed body is the same; who has opened a message's keys wraps them for the other's epoch.
    """

    principal: bytes
    mailbox: bytes
    owner: bytes
    target: bytes
    messages: list[Rewrapped]
    epochs: list[NewEpoch]


class OpenShared(msgspec.Struct, frozen=True):
    """`vault.open_shared`: give the first manager of a new shared mailbox all rights on it. Idempotent."""

    tenant: bytes
    principal: bytes
    manager: bytes
