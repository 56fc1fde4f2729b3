"""A mailbox as the vault tells of it."""

import msgspec


class SealedName(msgspec.Struct, frozen=True):
    """A mailbox name sealed under one index of an epoch's metadata chain."""

    epoch: bytes
    index: int
    sealed: bytes


class MailboxRow(msgspec.Struct, frozen=True):
    """A mailbox. `name` None: it has its role's usual name."""

    id: bytes
    role: str
    """`inbox`, `sent`, `drafts`, `trash`, `junk`, `archive` or empty."""
    name: SealedName | None
    subscribed: bool
    selectable: bool
    uid_validity: int
    uid_next: int
    highest_modseq: int
    messages: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int = 0
    """Octets of the messages flagged as deleted, where it was asked for."""
