"""Stage 7: one body for one company, sealed, with the keys wrapped for every principal that gets a copy.

The parts (content, summary, search text) are sealed apart from the wraps: for a large message they are made
in a thread while the loop serves others, and the steps of the epochs are taken on the loop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postkeep.base.ids import new_id
from postkeep.crypto.message import (
    MessageKeys,
    new_message_keys,
    seal_content,
    seal_envelope,
    seal_summary,
    seal_text,
    wrap_keys,
)
from postkeep.model.categories import Label
from postkeep.services.delivery import searchtext
from postkeep.services.delivery.copies import Outbound
from postkeep.services.delivery.epochs import EpochBook, OpenEpoch
from postkeep.services.delivery.summary import encode, summarize
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.queue.envelope import VERSION, QueueEnvelope
from postkeep.services.queue.envelope import encode as encode_envelope
from postkeep.services.vault.api import Deposit, Placement, QueueItem


class SealedParts(NamedTuple):
    """A message's parts under its keys, bound to the company and the body's name."""

    tenant: bytes
    body: bytes
    keys: MessageKeys
    content: bytes
    summary: bytes
    size: int
    text: bytes = b""


class Target(NamedTuple):
    """One mailbox that gets a copy."""

    key: SignedPublicKey
    role: str = "inbox"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedDeposit:
    """What the vault gets, and the epochs that it must know for it."""

    deposit: Deposit
    epochs: tuple[OpenEpoch, ...]


def seal_parts(tenant: bytes, message: bytes, body: bytes = b"") -> SealedParts:
    """Summarise a message, make its search text, and seal its parts under new keys, as a body of this name
    (empty: of a new one)."""
    body = body or new_id()
    keys = new_message_keys()
    summary = summarize(message)
    text = searchtext.encode(searchtext.text_of(message, summary))
    return SealedParts(
        tenant,
        body,
        keys,
        seal_content(keys, tenant, body, message),
        seal_summary(keys, tenant, body, encode(summary)),
        len(message),
        seal_text(keys, tenant, body, text),
    )


def place(
    parts: SealedParts, targets: Iterable[Target], book: EpochBook, label: Label, received_ms: int
) -> SealedDeposit:
    """Wrap the message's keys for every target."""
    epochs: list[OpenEpoch] = []
    placements: list[Placement] = []
    for target in targets:
        epoch, step = book.take(target.key)
        writer = epoch.writer
        wraps = wrap_keys(parts.keys, step, parts.tenant, parts.body, writer.principal, writer.epoch)
        epochs.append(epoch)
        placements.append(
            Placement(
                principal=writer.principal,
                epoch=writer.epoch,
                index=step.index,
                wraps=wraps,
                role=target.role,
                flags=target.flags,
                internal_date_ms=received_ms,
            )
        )
    deposit = Deposit(
        parts.tenant,
        parts.body,
        parts.content,
        parts.summary,
        parts.size,
        placements,
        label,
        text=parts.text,
    )
    return SealedDeposit(deposit, tuple(epochs))


class Needs(NamedTuple):
    """What an outbound message asks of the servers on its way (RFC 3461, 6152, 6531)."""

    ret: str = ""
    envid: str = ""
    body: str = ""
    smtputf8: bool = False
    requires: tuple[str, ...] = ()


def enqueue(
    sealed: SealedDeposit,
    parts: SealedParts,
    outbound: Sequence[Outbound],
    needs: Needs,
    queue_key: SignedPublicKey,
    *,
    book: EpochBook,
) -> SealedDeposit:
    """Add queue items to a deposit: one per destination, each with its envelope sealed to the queue's key."""
    items: list[QueueItem] = []
    epochs = list(sealed.epochs)
    for destination in outbound:
        epoch, step = book.take(queue_key)
        writer = epoch.writer
        item = new_id()
        needed = needs if destination.is_ascii else needs._replace(smtputf8=True)
        envelope = QueueEnvelope(VERSION, destination.reverse_path, destination.recipients, *needed)
        epochs.append(epoch)
        items.append(
            QueueItem(
                id=item,
                destination=destination.destination,
                principal=writer.principal,
                epoch=writer.epoch,
                index=step.index,
                wraps=wrap_keys(parts.keys, step, parts.tenant, parts.body, writer.principal, writer.epoch),
                envelope=seal_envelope(parts.keys, parts.tenant, parts.body, item, encode_envelope(envelope)),
                recipients=len(destination.recipients),
            )
        )
    deposit = sealed.deposit
    return SealedDeposit(
        Deposit(
            deposit.tenant,
            deposit.body,
            deposit.content,
            deposit.summary,
            deposit.size,
            deposit.placements,
            deposit.label,
            items,
            deposit.text,
        ),
        tuple(epochs),
    )
