"""APPEND: what clients put into mailboxes. A message is sealed here, and the vault stores all or none."""

import asyncio
from collections.abc import Sequence
from typing import Final

from postkeep.base.errors import NotFoundError
from postkeep.crypto.message import wrap_keys
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.catenating import catenate
from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.names import Named
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.rights import settable
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.commands import Append, MessageUrl, NewMessage
from postkeep.protocols.imap.reader import Literal
from postkeep.protocols.imap.sequence import render_ranges, spans_of
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.delivery.seal import SealedParts, seal_parts
from postkeep.services.vault.api import Append as AppendRequest
from postkeep.services.vault.api import Deposit, NewEpoch, Placement

THREAD_FROM_BYTES: Final = 256 * 1024
"""Larger messages are sealed in a thread, so that other clients don't wait for them."""


async def append(session: Session, tag: bytes, command: Append) -> Completion:
    """Answer APPEND (RFC 3501 section 6.3.11, 3502, 4315, 4469, 6855): all of its messages, or none."""
    del tag
    account = session.need_account()
    target = await find_target(account, command.mailbox)
    deposits, epochs = [], []
    for message in command.messages:
        deposit, epoch = await seal_new(session, target, message)
        deposits.append(deposit)
        epochs.append(epoch)
    request = AppendRequest(deposits, announcements(epochs))
    try:
        answer = await account.keepers.vault.append(request, ticket=account.ticket)
    except NotFoundError as exc:
        raise no_such_mailbox(try_create=True) from exc
    for epoch in epochs:
        epoch.acknowledged = True
    if session.selected is not None and session.selected.mailbox == target.row.id:
        session.selected.dirty = True
    placed = [item for result in answer.results for item in result.placed]
    uids = render_ranges(spans_of(item.uid for item in placed)).decode("ascii")
    return Completion(completed("APPEND"), f"APPENDUID {placed[0].uid_validity} {uids}")


async def find_target(account: Account, mailbox: str) -> Named:
    """Return the mailbox that messages are to go to; raise CommandError with TRYCREATE."""
    target = (await account.tree()).find(mailbox)
    if target is None or not target.row.selectable:
        raise no_such_mailbox(try_create=True)
    return target


async def seal_new(session: Session, target: Named, message: NewMessage) -> tuple[Deposit, OpenEpoch]:
    """Seal a message for a mailbox; the vault must be told of the epoch until it has acknowledged it."""
    account = session.need_account()
    parts = await _seal(account, await _octets(session, message.parts))
    epoch, step = account.take(target.owner)
    writer = epoch.writer
    placement = Placement(
        writer.principal,
        writer.epoch,
        step.index,
        wrap_keys(parts.keys, step, parts.tenant, parts.body, writer.principal, writer.epoch),
        mailbox=target.row.id,
        role="",
        flags=settable(message.flags, target.rights),
        internal_date_ms=message.date_ms or 0,
    )
    deposit = Deposit(
        parts.tenant, parts.body, parts.content, parts.summary, parts.size, [placement], text=parts.text
    )
    return deposit, epoch


def announcements(epochs: Sequence[OpenEpoch]) -> list[NewEpoch]:
    """Return what the vault has not acknowledged of some epochs, each once."""
    unknown = {epoch.writer.epoch: epoch for epoch in epochs if not epoch.acknowledged}
    return [epoch.announcement for epoch in unknown.values()]


async def _octets(session: Session, parts: Sequence[Literal | MessageUrl]) -> bytes:
    """Put a message together. What came over the wire is let go of: from here on there is one copy of it."""
    (first, *others) = parts
    if others or isinstance(first, MessageUrl):
        selected = session.selected.place if session.selected is not None else None
        octets = await catenate(session.need_account(), selected, parts)
    else:
        octets = bytes(first)
    for part in parts:
        if isinstance(part, bytearray):
            part.clear()
    return octets


async def _seal(account: Account, message: bytes) -> SealedParts:
    if not message:
        raise CommandError(Text.MESSAGE_EMPTY, "CANNOT")
    if len(message) > APPEND_BYTES_MAX:
        raise CommandError(Text.MESSAGE_TOO_LARGE, "TOOBIG")
    if len(message) < THREAD_FROM_BYTES:
        return seal_parts(account.tenant, message)
    return await asyncio.to_thread(seal_parts, account.tenant, message)
