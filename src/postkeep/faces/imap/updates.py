"""Telling a client what has changed in its selected mailbox, when it may be told (RFC 3501 section 5.2)."""

from collections.abc import Iterable

import msgspec

from postkeep.base.errors import NotFoundError, UnavailableError
from postkeep.faces.imap.replies import CommandError
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Border, Session
from postkeep.faces.imap.texts import Text
from postkeep.faces.imap.view import View
from postkeep.protocols.imap.sequence import spans_of
from postkeep.services.vault.api import Sync, SyncPage


async def at_border(session: Session, border: Border) -> None:
    """Tell the client what is new in the selected mailbox, if it may be told now."""
    selected = session.selected
    if selected is None or not border & (Border.CHANGES | Border.EXPUNGES):
        return
    expunge = bool(border & Border.EXPUNGES)
    if border & Border.ALWAYS or selected.dirty or not session.wakeups.is_reliable():
        try:
            await synchronise(session, expunge=expunge)
        except UnavailableError:  # the command itself is done, and a NO would have it done again
            selected.dirty = True
    elif expunge:
        await session.send(announce_expunged(selected))


async def read_changes(session: Session, selected: Selected) -> SyncPage:
    """Ask the vault what is new; raises CommandError where the mailbox has been deleted meanwhile."""
    selected.dirty = False
    known = selected.view.synced
    page = await _sync(session, selected, known)
    if known >= page.vanished_since:
        return page
    # The vault has forgotten which messages went since we looked: compare with what is there.
    page = await _sync(session, selected, 0)
    there = {row.uid for row in page.rows}
    gone = [uid for uid in selected.view.uids if uid not in there]
    return msgspec.structs.replace(page, vanished=spans_of(gone))


async def _sync(session: Session, selected: Selected, since: int) -> SyncPage:
    account = session.need_account()
    try:
        return await account.keepers.vault.sync(
            Sync(account.principal, selected.mailbox, since),
            ticket=account.ticket,
        )
    except NotFoundError as exc:
        raise CommandError(Text.MAILBOX_DELETED, "NONEXISTENT") from exc


async def synchronise(session: Session, *, expunge: bool) -> None:
    """Bring the view up to date and say so; `expunge`: message numbers may change now."""
    selected = session.need_selected()
    page = await read_changes(session, selected)
    await session.send(take_in(session, selected, page, expunge=expunge))


def take_in(session: Session, selected: Selected, page: SyncPage, *, expunge: bool) -> bytes:
    """Apply a page; return the untagged responses: FLAGS, EXPUNGE, FETCH, EXISTS, RECENT."""
    view = selected.view
    view.vanish(page.vanished)
    changes = view.apply(page.rows)
    view.synced = max(view.synced, page.mailbox.highest_modseq)
    lines: list[bytes] = []
    flags = selected.flags_line()
    if flags is not None:
        lines.append(flags)
    updated = [view.uids[at] for at in changes.updated]
    if expunge:
        lines.append(announce_expunged(selected))
    lines.append(render_flag_updates(session, selected, _positions(view, updated)))
    if changes.added:
        lines.append(b"* %d EXISTS\r\n" % len(view))
        if not session.rev2:
            lines.append(b"* %d RECENT\r\n" % selected.recent_count())
    return b"".join(lines)


def announce_expunged(selected: Selected) -> bytes:
    """Drop what is gone from the view; return the EXPUNGE responses."""
    return b"".join(b"* %d EXPUNGE\r\n" % number for number in selected.view.expunge())


def render_flag_updates(session: Session, selected: Selected, positions: Iterable[int]) -> bytes:
    """Write FETCH with the flags of messages, MODSEQ too once the client has asked for that extension."""
    view = selected.view
    if session.condstore:
        return b"".join(
            b"* %d FETCH (UID %d FLAGS %b MODSEQ (%d))\r\n"
            % (at + 1, view.uids[at], selected.render_flags(at), view.modseqs[at])
            for at in positions
        )
    return b"".join(
        b"* %d FETCH (UID %d FLAGS %b)\r\n" % (at + 1, view.uids[at], selected.render_flags(at))
        for at in positions
    )


def _positions(view: View, uids: Iterable[int]) -> list[int]:
    found = (view.position(uid) for uid in uids)
    return [at for at in found if at is not None]
