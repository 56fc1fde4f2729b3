"""STORE, COPY and MOVE: what changes messages."""

from postkeep.base.errors import NotFoundError
from postkeep.faces.imap.copying_across import copy_across
from postkeep.faces.imap.progress import Progress
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.updates import announce_expunged, render_changes, render_modseqs, synchronise
from postkeep.faces.imap.view import batches
from postkeep.protocols.imap.commands import Copy, Store, StoreMode
from postkeep.protocols.imap.sequence import render_ranges, spans_of
from postkeep.services.vault.api import CopyMessages, Stored, StoreFlags
from postkeep.services.vault.rows_api import ROWS_MAX

_MODES = {StoreMode.REPLACE: "replace", StoreMode.ADD: "add", StoreMode.REMOVE: "remove"}


async def store(session: Session, tag: bytes, command: Store) -> Completion:
    """Answer STORE and UID STORE."""
    selected = session.need_selected()
    selected.need_writable()
    session.condstore |= command.unchanged_since is not None
    session.check_numbers(uid=command.uid)
    runs = selected.positions(command.sequence, uid=command.uid)
    count = sum(map(len, runs))
    progress = Progress(session, tag, count)
    modified: list[int] = []
    done = answered = 0
    for batch in batches(runs, ROWS_MAX):
        stored = await _store_some(session, selected, command, batch)
        modified += stored.modified
        answered += len(stored.columns)
        done += sum(map(len, batch))
        await progress.at(done)
    if modified:
        modified.sort()
        if not command.uid:
            modified = [number for number in selected.view.numbers(modified) if number]
        ranges = render_ranges(spans_of(modified)).decode("ascii")
        return Completion(Text.SOME_CHANGED, f"MODIFIED {ranges}")
    if answered < count and not command.uid:
        raise CommandError(Text.SOME_EXPUNGED, "EXPUNGEISSUED")
    return Completion(completed("STORE"))


async def _store_some(session: Session, selected: Selected, command: Store, runs: list[range]) -> Stored:
    """Change the flags of as many messages as one call takes, and tell the client."""
    account, view, place = session.need_account(), selected.view, selected.place
    stored = await account.keepers.vault.store_flags(
        StoreFlags(
            place.principal,
            place.mailbox,
            view.uid_ranges(runs),
            _MODES[command.mode],
            command.flags,
            command.unchanged_since,
        ),
        ticket=account.ticket,
    )
    view.apply_own(stored.columns, stored.highest_modseq)
    await session.send(selected.flags_line())
    if not command.silent:
        await session.send(render_changes(session, selected, stored.columns))
    elif session.condstore:
        await session.send(render_modseqs(session, selected, stored.columns))
    return stored


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
    view, place = selected.view, selected.place
    session.check_numbers(uid=command.uid)
    runs = selected.positions(command.sequence, uid=command.uid)
    if not runs:
        return Completion(completed(word))
    try:
        if (target.owner or account.principal) != place.principal:
            copied = await copy_across(account, place, target, view.uid_spans(runs), move=command.move)
        else:
            copied = await account.keepers.vault.copy(
                CopyMessages(
                    place.principal, place.mailbox, target.row.id, view.uid_ranges(runs), command.move
                ),
                ticket=account.ticket,
            )
    except NotFoundError as exc:
        raise no_such_mailbox(try_create=True) from exc
    if not copied.pairs:
        raise CommandError(Text.ALL_EXPUNGED, "EXPUNGEISSUED")
    went = spans_of(source for source, _ in copied.pairs)
    sources = render_ranges(went).decode("ascii")
    targets = render_ranges(spans_of(made for _, made in copied.pairs)).decode("ascii")
    code = f"COPYUID {copied.uid_validity} {sources} {targets}"
    within = target.row.id == selected.mailbox
    selected.dirty |= within
    if not command.move:
        return Completion(completed("COPY"), code)
    await session.send(session.say(b"*", "OK", Text.MOVED, code))
    if not within:
        view.vanish(went)
    await session.send(announce_expunged(session, selected))
    if not session.qresync:
        return Completion(completed("MOVE"))
    await synchronise(session, expunge=True)  # the value covers nothing untold (RFC 7162 section 3.2.7)
    return Completion(completed("MOVE"), f"HIGHESTMODSEQ {view.synced or 1}")
