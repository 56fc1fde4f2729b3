"""APPEND: what clients put into mailboxes."""

import asyncio
from typing import Final

from postkeep.base.errors import NotFoundError, PostkeepError, QuotaError
from postkeep.crypto.message import wrap_keys
from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.replies import CommandError, family, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.commands import Append
from postkeep.services.delivery.seal import seal_parts
from postkeep.services.vault.api import Append as AppendRequest
from postkeep.services.vault.api import Deposit, Placement

THREAD_FROM_BYTES: Final = 256 * 1024
"""Larger messages are sealed in a thread, so that other clients don't wait for them."""


async def append(session: Session, tag: bytes, command: Append) -> Completion:
    """Answer APPEND (RFC 3501 section 6.3.11, 4315): seal the message here, and store it."""
    del tag
    account = session.need_account()
    if len(command.message) > APPEND_BYTES_MAX:
        raise CommandError(Text.MESSAGE_TOO_LARGE, "TOOBIG")
    target = (await account.tree()).find(command.mailbox)
    if target is None or not target.row.selectable:
        raise no_such_mailbox(try_create=True)
    message = bytes(command.message)
    if len(message) < THREAD_FROM_BYTES:
        parts = seal_parts(account.tenant, message)
    else:
        parts = await asyncio.to_thread(seal_parts, account.tenant, message)
    epoch, step = account.book.take(account.public_key)
    writer = epoch.writer
    placement = Placement(
        account.principal,
        writer.epoch,
        step.index,
        wrap_keys(parts.keys, step, parts.tenant, parts.body, account.principal, writer.epoch),
        mailbox=target.row.id,
        role="",
        flags=command.flags,
        internal_date_ms=command.date_ms or 0,
    )
    deposit = Deposit(parts.tenant, parts.body, parts.content, parts.summary, parts.size, [placement])
    answer = await account.keepers.vault.append(
        AppendRequest([deposit], [] if epoch.acknowledged else [epoch.announcement]),
        ticket=account.ticket,
    )
    (result,) = answer.results
    if result.error:
        raise _append_error(result.error)
    epoch.acknowledged = True
    (placed,) = result.placed
    if session.selected is not None and session.selected.mailbox == placed.mailbox:
        session.selected.dirty = True
    return Completion(completed("APPEND"), f"APPENDUID {placed.uid_validity} {placed.uid}")


def _append_error(code: str) -> PostkeepError:
    if family(code) == QuotaError.code:
        return QuotaError()
    if family(code) == NotFoundError.code:
        return no_such_mailbox(try_create=True)
    return PostkeepError(f"append failed: {code}", code=code, public_text=Text.NOT_STORED)
