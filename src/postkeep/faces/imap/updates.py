"""Telling a client what has changed in its selected mailbox, when it may be told (RFC 3501 section 5.2)."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.base.errors import UnavailableError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.lines import Line, Messages
from postkeep.faces.imap.loading import read_updates
from postkeep.faces.imap.row_blocks import columns_in
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Border, Session
from postkeep.faces.imap.uid_runs import pairs
from postkeep.protocols.imap.fetch import Attribute
from postkeep.protocols.imap.sequence import render_ranges
from postkeep.services.vault.rows_api import Rows, UpdatePage

_FLAGS: Final = (Attribute.FLAGS,)
_FLAGS_MODSEQ: Final = (Attribute.FLAGS, Attribute.MODSEQ)
_MODSEQ: Final = (Attribute.MODSEQ,)


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
        await session.send(announce_expunged(session, selected))


async def synchronise(session: Session, *, expunge: bool) -> None:
    """Bring the view up to date and say so; `expunge`: message numbers may change now.

    Raises CommandError where the mailbox has been deleted meanwhile.
    """
    selected = session.need_selected()
    selected.dirty = False
    account = session.need_account()
    if selected.place.principal != account.principal:  # the vault tells of it on from when it is shown
        await account.tree()
    updates = await _read(session, selected, account)
    await session.send(take_in(session, selected, updates, expunge=expunge))


async def _read(session: Session, selected: Selected, account: Account) -> Sequence[UpdatePage]:
    """Ask the vault what is new; clients of one person that idle in a mailbox, and knew the same of it, and
    were woken by the same change, ask together."""
    known, announced = selected.view.synced, selected.announced
    if not session.idling or announced <= known:
        return await read_updates(account, selected, known)
    key = account.principal, selected.place.principal, selected.mailbox, known, announced
    return await session.wakeups.shared(key, lambda: read_updates(account, selected, known))


def take_in(session: Session, selected: Selected, updates: Sequence[UpdatePage], *, expunge: bool) -> bytes:
    """Apply what is new; return the untagged responses: FLAGS, EXPUNGE, FETCH, EXISTS, RECENT."""
    view = selected.view
    told: list[tuple[Rows, list[int]]] = []
    added = 0
    for page in updates:
        view.vanish(pairs(page.vanished))
        changes = view.apply(page.rows)
        told.append((page.rows, changes.updated))
        added += changes.added
    view.reach(updates[0].mailbox.highest_modseq)
    lines = [selected.flags_line()]
    if expunge:
        lines.append(announce_expunged(session, selected))
    lines += (render_changes(session, selected, rows, updated) for rows, updated in told if updated)
    if added:
        lines.append(b"* %d EXISTS\r\n" % len(view))
        if not session.utf8:
            lines.append(b"* %d RECENT\r\n" % selected.recent_count())
    return b"".join(lines)


def announce_expunged(session: Session, selected: Selected) -> bytes:
    """Drop what is gone from the view; return EXPUNGE responses, or VANISHED (RFC 7162 section 3.2.10)."""
    removed = selected.view.expunge()
    if session.qresync or session.uid_only:
        return b"* VANISHED " + render_ranges(removed.uids) + b"\r\n" if removed.uids else b""
    return b"".join(b"* %d EXPUNGE\r\n" % number * times for number, times in removed.numbers)


def render_changes(
    session: Session, selected: Selected, rows: Rows, places: Iterable[int] | None = None
) -> bytes:
    """Write FETCH with the flags of messages, MODSEQ too once the client has asked for that extension.

    `places`: which rows of the answer; None: all.
    """
    return _render(session, selected, rows, places, _FLAGS_MODSEQ if session.condstore else _FLAGS)


def render_modseqs(session: Session, selected: Selected, rows: Rows) -> bytes:
    """Write FETCH with the modseqs of messages."""
    return _render(session, selected, rows, None, _MODSEQ)


def _render(
    session: Session,
    selected: Selected,
    rows: Rows,
    places: Iterable[int] | None,
    items: Sequence[Attribute],
) -> bytes:
    columns = columns_in(rows)
    numbers = selected.view.numbers(columns.uids)
    if places is not None or 0 in numbers:
        wanted = range(len(rows)) if places is None else places
        kept = [at for at in wanted if numbers[at]]
        columns = columns.pick(kept)
        numbers = array("I", (numbers[at] for at in kept))
    line = Line(items if session.uid_only else (Attribute.UID, *items), uid_only=session.uid_only)
    return line.write(Messages(selected, numbers, columns.uids, columns, rows.flag_sets))
