"""The vault's methods, as values on the wire. Callers use `postkeep.services.vault.client`.

The vault sees ciphertext, sizes, flags and counts. Everything named `sealed` or `wraps` is opaque to it.
"""

import msgspec

from postkeep.model.categories import Label
from postkeep.model.warrant import Warrant
from postkeep.services.vault.mailbox_api import MailboxRow as MailboxRow  # noqa: PLC0414 - part of this api
from postkeep.services.vault.mailbox_api import SealedName as SealedName  # noqa: PLC0414 - part of this api
from postkeep.services.vault.rows_api import Rows

WRAPS_BYTES = 96
"""Two wrapped message keys of 48 bytes: content, then metadata. Kept in an erasable slot, never in a row."""

# --- Writing ---


class NewEpoch(msgspec.Struct, frozen=True):
    """An epoch secret sealed to a principal by a writer; sent until the vault has acknowledged it once."""

    tenant: bytes
    principal: bytes
    epoch: bytes
    sealed: bytes


class Placement(msgspec.Struct, frozen=True):
    """One copy of a message: in whose mailbox, and that principal's wrapped keys."""

    principal: bytes
    epoch: bytes
    index: int
    wraps: bytes
    mailbox: bytes = b""
    """Empty: the mailbox with the role below, made if it is not there."""
    role: str = "inbox"
    flags: tuple[str, ...] = ()
    internal_date_ms: int = 0
    """0: now."""


class QueueItem(msgspec.Struct, frozen=True):
    """One destination of an outbound message; `envelope` is sealed to the queue's key."""

    id: bytes
    destination: str
    """The recipients' domain in A-label form: what the relay schedules by."""
    principal: bytes
    """The queue principal whose key it is sealed to."""
    epoch: bytes
    index: int
    wraps: bytes
    envelope: bytes
    recipients: int
    not_before_ms: int = 0


class Deposit(msgspec.Struct, frozen=True):
    """One body, stored once per tenant, with every placement of it there. Retrying it is harmless."""

    tenant: bytes
    body: bytes
    """Identifier made by the writer; a second deposit with the same one changes nothing."""
    content: bytes
    """Sealed (C2SP chunked-encryption) RFC 5322 message."""
    summary: bytes
    """Sealed envelope, body structure and offsets."""
    size: int
    """Octets of the message in the clear (RFC822.SIZE)."""
    placements: list[Placement]
    label: Label = Label.INTERNAL
    queue: list[QueueItem] = []
    text: bytes = b""
    """Sealed search text; empty: it has none, and searches read the content."""


class DepositBatch(msgspec.Struct, frozen=True):
    """`vault.deposit`: durable and visible when answered. Each deposit succeeds or fails by itself."""

    deposits: list[Deposit]
    epochs: list[NewEpoch]


class Placed(msgspec.Struct, frozen=True):
    """Where a placement went."""

    mailbox: bytes
    uid_validity: int
    uid: int
    modseq: int


class DepositResult(msgspec.Struct, frozen=True):
    """`error` empty: all placements stand. Otherwise its code, and nothing of this deposit was stored."""

    placed: list[Placed]
    error: str = ""
    full: list[bytes] = []
    """With `over_quota`: the principals whose quota it does not fit in."""


class DepositResults(msgspec.Struct, frozen=True):
    """In the order of the deposits."""

    results: list[DepositResult]


class Replaced(msgspec.Struct, frozen=True):
    """A message whose place others take."""

    principal: bytes
    mailbox: bytes
    uid: int


class Append(msgspec.Struct, frozen=True):
    """`vault.append`: IMAP APPEND, all or nothing; every placement belongs to the ticket's principal."""

    deposits: list[Deposit]
    epochs: list[NewEpoch]
    replaces: Replaced | None = None
    """A message that goes in the same transaction, as by an expunge; gone already: `not_found.message`."""


class Submit(msgspec.Struct, frozen=True):
    """`vault.submit`: a user's outbound message to Sent, to local recipients and to the queue, in one
    transaction."""

    deposits: list[Deposit]
    epochs: list[NewEpoch]


# --- Mailboxes ---


class ListMailboxes(msgspec.Struct, frozen=True):
    """`vault.mailboxes`: every mailbox of the principal; the six with a role are made on first sight."""

    principal: bytes
    known: int = 0
    """The version whose names the caller has opened already: is it still that, none is sent again."""
    mailboxes: list[bytes] | None = None
    """With `known` still right: whose rows are wanted (None: all). Otherwise all come."""
    deleted_sizes: bool = False
    """Fill in `MailboxRow.deleted_size`."""


class MailboxList(msgspec.Struct, frozen=True):
    """`version` changes with every creation, renaming, deletion and subscription."""

    mailboxes: list[MailboxRow]
    version: int
    entries_version: int = 0
    """What `vault.entries` would say."""


class MailboxChange(msgspec.Struct, frozen=True):
    """One change to a mailbox. A field left None stays as it is."""

    id: bytes
    """For `create`, made by the caller."""
    create: bool = False
    delete: bool = False
    name: SealedName | None = None
    role: str | None = None
    subscribed: bool | None = None
    selectable: bool | None = None


class ChangeMailboxes(msgspec.Struct, frozen=True):
    """`vault.change_mailboxes`: all or nothing, and only if the list is still at `version`; names are
    sealed, so it is the caller that has seen that a new one is free. Stale: `conflict`."""

    principal: bytes
    version: int
    changes: list[MailboxChange]
    epochs: list[NewEpoch] = []


# --- Messages ---


class SealedSummary(msgspec.Struct, frozen=True, array_like=True):
    """What it takes, beside the epoch, to open a message's summary."""

    uid: int
    body: bytes
    epoch: bytes
    index: int
    wraps: bytes
    summary: bytes


class FetchSummaries(msgspec.Struct, frozen=True):
    """`vault.summaries`: sealed summaries and wraps of these UIDs; UIDs that are gone are left out."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]


class SummaryList(msgspec.Struct, frozen=True):
    """By UID."""

    summaries: list[SealedSummary]


class Range(msgspec.Struct, frozen=True, array_like=True):
    """Part of a sealed body, in octets of ciphertext; `length` 0: to its end."""

    uid: int
    offset: int = 0
    length: int = 0


class FetchContent(msgspec.Struct, frozen=True):
    """`vault.content`: sealed bytes. Answers stop after 16 MiB; ask again for what is missing."""

    principal: bytes
    mailbox: bytes
    ranges: list[Range]


class SealedContent(msgspec.Struct, frozen=True, array_like=True):
    """The bytes asked for, and what it takes to open them."""

    uid: int
    body: bytes
    epoch: bytes
    index: int
    wraps: bytes
    offset: int
    total: int
    """Octets of the whole sealed body."""
    head: bytes
    """The first 56 octets of the sealed body (salt and commitment), whatever range was asked for."""
    data: bytes


class ContentList(msgspec.Struct, frozen=True):
    """In the order asked."""

    parts: list[SealedContent]


class StoreFlags(msgspec.Struct, frozen=True):
    """`vault.store_flags`: change flags; `unchanged_since` as in RFC 7162 section 3.1.3."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]]
    mode: str
    """`add`, `remove` or `replace`."""
    flags: tuple[str, ...]
    unchanged_since: int | None = None


class Stored(msgspec.Struct, frozen=True):
    """The rows as they are now, and the UIDs refused because they had changed."""

    columns: Rows
    modified: list[int]
    highest_modseq: int


class Expunge(msgspec.Struct, frozen=True):
    """`vault.expunge`: remove messages flagged as deleted among `uids` (None: all). When answered, their
    wrapped keys are overwritten: nothing on the disk opens them any more."""

    principal: bytes
    mailbox: bytes
    uids: list[tuple[int, int]] | None = None


class Expunged(msgspec.Struct, frozen=True):
    """The UIDs that are gone."""

    uids: list[int]
    highest_modseq: int


class CopyMessages(msgspec.Struct, frozen=True):
    """`vault.copy`: copy, or with `move` move, messages to another mailbox of the same principal."""

    principal: bytes
    mailbox: bytes
    target: bytes
    uids: list[tuple[int, int]]
    move: bool = False


class Copied(msgspec.Struct, frozen=True):
    """Pairs of (source UID, target UID), ascending."""

    uid_validity: int
    pairs: list[tuple[int, int]]
    highest_modseq: int
    """Of the source mailbox (it changes with `move`)."""


class FetchEpochs(msgspec.Struct, frozen=True):
    """`vault.epochs`: sealed epoch secrets of the principal; None: all of them."""

    principal: bytes
    epochs: list[bytes] | None = None


class EpochRow(msgspec.Struct, frozen=True, array_like=True):
    """A sealed epoch secret."""

    epoch: bytes
    sealed: bytes


class EpochList(msgspec.Struct, frozen=True):
    """In no particular order."""

    epochs: list[EpochRow]


class ReplaceEpochs(msgspec.Struct, frozen=True):
    """`vault.replace_epochs`: store the cheaper forms that kms handed back."""

    principal: bytes
    epochs: list[EpochRow]


class OldEpochs(msgspec.Struct, frozen=True):
    """`vault.old_epochs`: sealed epochs of a principal under keys older than a generation."""

    tenant: bytes
    principal: bytes
    generation: int
    limit: int


class OldEpochList(msgspec.Struct, frozen=True):
    """Some of them, and how many there are in all."""

    epochs: list[EpochRow]
    left: int


class ResealEpochs(msgspec.Struct, frozen=True):
    """`vault.reseal_epochs`: store epochs that kms has sealed to a principal's newer key."""

    tenant: bytes
    principal: bytes
    epochs: list[EpochRow]


class GetQuota(msgspec.Struct, frozen=True):
    """`vault.quota`."""

    principal: bytes


class Quota(msgspec.Struct, frozen=True):
    """What the principal uses, in octets and messages, and the limit in octets (None: none)."""

    used_bytes: int
    messages: int
    limit_bytes: int | None


class SetQuota(msgspec.Struct, frozen=True):
    """`vault.set_quota`."""

    tenant: bytes
    principal: bytes
    limit_bytes: int | None


# --- Waking up ---


class Watch(msgspec.Struct, frozen=True):
    """`vault.watch`: from now on this connection hears of changes to the principal's mailboxes."""

    principal: bytes


class Unwatch(msgspec.Struct, frozen=True):
    """`vault.unwatch`."""

    principal: bytes


class NextChanges(msgspec.Struct, frozen=True):
    """`vault.next_changes`: wait up to `wait_seconds` for changes to anything watched on this connection."""

    wait_seconds: float = 30.0


class Changed(msgspec.Struct, frozen=True, array_like=True):
    """A mailbox has moved on to `highest_modseq`. An empty mailbox: the mailbox list has changed."""

    principal: bytes
    mailbox: bytes
    highest_modseq: int


class Changes(msgspec.Struct, frozen=True):
    """Latest state per mailbox; several changes become one."""

    changes: list[Changed]


# --- Removal and upkeep (steward) ---


class RemovePrincipal(msgspec.Struct, frozen=True):
    """`vault.remove_principal`: drop every mailbox of a principal and overwrite the wrapped keys."""

    warrant: Warrant
    queued: bool = False
    """Also what the principal has sent and still waits to go out, as far as its copy in Sent shows it."""


class RemoveTenant(msgspec.Struct, frozen=True):
    """`vault.remove_tenant`: drop everything of a tenant and overwrite the wrapped keys."""

    warrant: Warrant


class Removed(msgspec.Struct, frozen=True):
    """How many messages went."""

    messages: int


class Maintain(msgspec.Struct, frozen=True):
    """`vault.maintain`: find orphans, compact packs with more than this share of dead bytes."""

    dead_share_max: float = 0.3
    pack_limit: int = 4


class Maintained(msgspec.Struct, frozen=True):
    """What was found and done."""

    orphan_bytes: int
    packs_compacted: int
    bytes_reclaimed: int
    slots_erased: int


class CheckStore(msgspec.Struct, frozen=True):
    """`vault.check`: walk every row: counts right, bytes there, slots there."""


class StoreReport(msgspec.Struct, frozen=True):
    """Empty `problems`: consistent."""

    mailboxes: int
    messages: int
    bodies: int
    problems: list[str]


class Done(msgspec.Struct, frozen=True):
    """The call has done its work and has nothing else to say."""
