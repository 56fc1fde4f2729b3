"""Where a mailbox lies and what this account may do in it: one's own, or another's that is shared."""

from dataclasses import dataclass
from typing import Final

from postkeep.faces.imap.keyring import Keyring

ALL_RIGHTS: Final = frozenset("lrswipkxtea")
"""RFC 4314 section 2.1: what one has in one's own mailboxes."""

CHANGING_RIGHTS: Final = frozenset("swtie")
"""Any of them makes a mailbox more than read-only (RFC 4314 section 5.2)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A mailbox of a principal. Calls to the vault name that principal; the ticket stays the account's."""

    principal: bytes
    mailbox: bytes
    keyring: Keyring
    """Opens the epochs of that principal."""
    rights: frozenset[str] = ALL_RIGHTS
    """Letters of RFC 4314."""
