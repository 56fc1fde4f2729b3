"""The vault's methods for destruction orders and legal holds, on the wire: the steward calls them."""

import msgspec

from postkeep.crypto.fingerprint import Fingerprint
from postkeep.model.warrant import Warrant


class LookOver(msgspec.Struct, frozen=True):
    """`vault.outline`: what the vault can see of a person's mail; with `mailbox`, its messages too."""

    tenant: bytes
    principal: bytes
    mailbox: bytes = b""
    after_uid: int = 0


class MailboxOutline(msgspec.Struct, frozen=True):
    """A mailbox, its name unread."""

    id: bytes
    role: str
    messages: int
    size: int
    uid_next: int


class MessageOutline(msgspec.Struct, frozen=True, array_like=True):
    """A message, its content and summary unread. `body` identifies its deposit in the ledger."""

    uid: int
    internal_ms: int
    size: int
    body: bytes


class Outline(msgspec.Struct, frozen=True):
    """All mailboxes; of one of them the messages, by UID, a thousand at most."""

    mailboxes: list[MailboxOutline]
    messages: list[MessageOutline]


class Mark(msgspec.Struct, frozen=True):
    """`vault.mark`: take fingerprints of some wraps before they are destroyed.

    Of the messages that a warrant names; otherwise of a person's, or of a tenant's.
    """

    warrant: Warrant
    salt: bytes


class Marked(msgspec.Struct, frozen=True):
    """Fingerprints, and of how many messages they were chosen."""

    prints: list[Fingerprint]
    total: int


class Destroy(msgspec.Struct, frozen=True):
    """`vault.destroy`: remove messages by UID ranges, overwrite their wraps; of a mailbox, itself too."""

    warrant: Warrant


class DestroyCategory(msgspec.Struct, frozen=True):
    """`vault.destroy_category`: of a tenant, `content`: what messages say becomes unreadable, what they were
    about stays; `operations`: nothing of its mail waits to go out any more."""

    warrant: Warrant


class Purge(msgspec.Struct, frozen=True):
    """`vault.purge`: give back what deleted things take up; with `packs`, rewrite every pack that has any."""

    packs: bool = True


class Hold(msgspec.Struct, frozen=True):
    """`vault.hold`: from now on nothing of this is destroyed. Empty: all of the principal's, the tenant's."""

    tenant: bytes
    hold: bytes
    kind: str
    principal: bytes = b""
    mailbox: bytes = b""
    until_ms: int | None = None


class ReleaseHold(msgspec.Struct, frozen=True):
    """`vault.release_hold`."""

    tenant: bytes
    hold: bytes
