"""STORE, COPY, MOVE and APPEND: what changes messages."""

import asyncio
from typing import Final

from postkeep.base.errors import NotFoundError, PostkeepError, QuotaError
from postkeep.crypto.message import wrap_keys
from postkeep.faces.imap.limits import APPEND_BYTES_MAX
from postkeep.faces.imap.replies import CommandError, family, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.updates import announce_expunged, render_flag_updates
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Append, Copy, Store, StoreMode
from postkeep.protocols.imap.sequence import render_ranges, spans_of
from postkeep.services.delivery.seal import seal_parts
from postkeep.services.vault.api import Append as AppendRequest
from postkeep.services.vault.api import CopyMessages, Deposit, Placement, StoreFlags

_MODES = {StoreMode.REPLACE: "replace", StoreMode.ADD: "add", StoreMode.REMOVE: "remove"}
THREAD_FROM_BYTES: Final = 256 * 1024
"""Larger messages are sealed in a thread, so that other clients don't wait for them."""


async def store(session: Session, tag: bytes, command: Store) -> Completion:
    """Answer STORE and UID STORE."""
    del tag
    selected = session.need_selected()
    selected.need_writable()
    account = session.need_account()
    session.condstore |= command.unchanged_since is not None
    runs = selected.positions(command.sequence, uid=command.uid)
    if not runs:
        return Completion(completed("STORE"))
    view = selected.view
    stored = await account.keepers.vault.store_flags(
        StoreFlags(
            account.principal,
            selected.mailbox,
            view.uid_ranges(runs),
            _MODES[command.mode],
            command.flags,
            command.unchanged_since,
        ),
        ticket=account.ticket,
    )
    selected.apply_own(stored.rows)
    flags = selected.flags_line()
    await session.send(flags or b"")
    answered = {row.uid for row in stored.rows}
    if not command.silent:
        positions = [at for run in runs for at in run if view.uids[at] in answered]
        await session.send(render_flag_updates(session, selected, positions))
    elif session.condstore:
        await session.send(
            b"".join(
                b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (at + 1, view.uids[at], view.modseqs[at])
                for run in runs
                for at in run
                if view.uids[at] in answered
            ),
        )
    if stored.modified:
        modified = sorted(stored.modified)
        if not command.uid:
            found = (view.position(uid) for uid in modified)
            modified = [at + 1 for at in found if at is not None]
        ranges = render_ranges(spans_of(modified)).decode("ascii")
        return Completion(Text.SOME_CHANGED, f"MODIFIED {ranges}")
    missing = sum(map(len, runs)) - len(answered)
    if missing > 0 and not command.uid:
        raise CommandError(Text.SOME_EXPUNGED, "EXPUNGEISSUED")
    return Completion(completed("STORE"))


async def copy(session: Session, tag: bytes, command: Copy) -> Completion:
    """Answer COPY, MOVE and their UID forms (RFC 3501 section 6.4.7, 6851, 4315)."""
    del tag
    selected = session.need_selected()
    account = session.need_account()
    if command.move:
        selected.need_writable()
    word = "MOVE" if command.move else "COPY"
    target = (await account.tree()).find(command.mailbox)
    if target is None or not target.row.selectable:
        raise no_such_mailbox(try_create=True)
    view = selected.view
    runs = selected.positions(command.sequence, uid=command.uid)
    if not runs:
        return Completion(completed(word))
    try:
        copied = await account.keepers.vault.copy(
            CopyMessages(
                account.principal,
                selected.mailbox,
                target.row.id,
                view.uid_ranges(runs),
                command.move,
            ),
            ticket=account.ticket,
        )
    except NotFoundError as exc:
        raise no_such_mailbox(try_create=True) from exc
    if not copied.pairs:
        raise CommandError(Text.ALL_EXPUNGED, "EXPUNGEISSUED")
    sources = render_ranges(spans_of(source for source, _ in copied.pairs)).decode("ascii")
    targets = render_ranges(spans_of(made for _, made in copied.pairs)).decode("ascii")
    code = f"COPYUID {copied.uid_validity} {sources} {targets}"
    within = target.row.id == selected.mailbox
    selected.dirty |= within
    if not command.move:
        return Completion(completed("COPY"), code)
    await session.send(responses.status(b"*", "OK", Text.MOVED, code))
    if not within:
        view.vanish((source, source) for source, _ in copied.pairs)
    await session.send(announce_expunged(selected))
    return Completion(completed("MOVE"))


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
