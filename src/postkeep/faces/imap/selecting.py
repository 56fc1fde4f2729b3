"""SELECT, EXAMINE and what belongs to a selected mailbox: NOOP, CHECK, IDLE, CLOSE, UNSELECT, EXPUNGE."""

from collections.abc import Sequence

from postkeep.faces.imap.names import ROLE_USES, Named
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session, State
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.updates import announce_expunged, read_changes, take_in
from postkeep.faces.imap.view import runs_of
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Select, UidExpunge
from postkeep.protocols.imap.sequence import Ranges
from postkeep.services.vault.api import Expunge


async def select(session: Session, tag: bytes, command: Select) -> Completion:
    """Answer SELECT and EXAMINE; a failure leaves nothing selected (RFC 3501 section 6.3.1)."""
    del tag
    account = session.need_account()
    closed = session.selected is not None
    session.selected = None
    session.state = State.AUTHENTICATED
    session.condstore |= command.condstore
    if closed and (session.rev2 or session.condstore):
        await session.send(responses.status(b"*", "OK", Text.CLOSED, "CLOSED"))
    found = (await account.tree()).find(command.mailbox)
    if found is None:
        raise no_such_mailbox()
    if not found.row.selectable:
        raise CommandError(Text.NOT_SELECTABLE, "CANNOT")
    selected = Selected(found.row.id, found.name, read_only=command.read_only)
    await session.wakeups.watch(session)
    page = await read_changes(session, selected)
    if not session.rev2:  # IMAP4rev2 has no \Recent
        selected.recent_from = session.wakeups.claim_recent(
            selected.mailbox, page.mailbox.uid_next, read_only=command.read_only
        )
    selected.view.apply(page.rows)
    selected.view.synced = page.mailbox.highest_modseq
    await session.send(_describe(session, selected, found, page.mailbox.uid_validity, page.mailbox.uid_next))
    session.selected = selected
    session.state = State.SELECTED
    if command.read_only:
        return Completion(completed("EXAMINE"), "READ-ONLY")
    return Completion(completed("SELECT"), "READ-WRITE")


def _describe(session: Session, selected: Selected, found: Named, uid_validity: int, uid_next: int) -> bytes:
    view = selected.view
    lines = [
        selected.flags_line() or b"",
        responses.status(b"*", "OK", Text.PERMANENT_FLAGS, selected.permanent_flags()),
        responses.untagged(f"{len(view)} EXISTS"),
    ]
    if session.rev2:
        uses = [ROLE_USES[found.row.role]] if found.row.role in ROLE_USES else []
        lines.append(responses.listing(uses, found.name, utf8=True))
    else:
        lines.append(responses.untagged(f"{selected.recent_count()} RECENT"))
        unseen = view.first_unseen()
        if unseen is not None:
            lines.append(responses.status(b"*", "OK", Text.FIRST_UNSEEN, f"UNSEEN {unseen}"))
    lines.append(responses.status(b"*", "OK", Text.UIDS_VALID, f"UIDVALIDITY {uid_validity}"))
    lines.append(responses.status(b"*", "OK", Text.NEXT_UID, f"UIDNEXT {uid_next}"))
    lines.append(responses.status(b"*", "OK", Text.CHANGES_COUNTED, f"HIGHESTMODSEQ {view.synced or 1}"))
    return b"".join(lines)


async def noop(session: Session, tag: bytes, command: object) -> Completion:
    """Answer NOOP and CHECK: everything is durable already, and what is new follows at the border."""
    del session, tag, command
    return Completion(completed("NOOP"))


async def idle(session: Session, tag: bytes, command: object) -> Completion:
    """Begin IDLE (RFC 2177); the connection ends it when DONE arrives."""
    del command
    await session.send(responses.continuation(b"idling"))
    session.idling = tag
    if session.selected is not None:
        await session.push()
    return Completion("")


async def close(session: Session, tag: bytes, command: object) -> Completion:
    """Answer CLOSE: remove what is flagged as deleted, without a word about each."""
    del tag, command
    selected = session.need_selected()
    if not selected.read_only:
        await _expunge(session, selected, None)
    leave(session)
    return Completion(completed("CLOSE"))


async def unselect(session: Session, tag: bytes, command: object) -> Completion:
    """Answer UNSELECT (RFC 3691)."""
    del tag, command
    leave(session)
    return Completion(completed("UNSELECT"))


def leave(session: Session) -> None:
    """Go back to the authenticated state."""
    session.selected = None
    session.state = State.AUTHENTICATED


async def expunge(session: Session, tag: bytes, command: object) -> Completion:
    """Answer EXPUNGE."""
    del tag, command
    selected = session.need_selected()
    selected.need_writable()
    return await _announce(session, selected, None)


async def uid_expunge(session: Session, tag: bytes, command: UidExpunge) -> Completion:
    """Answer UID EXPUNGE (RFC 4315)."""
    del tag
    selected = session.need_selected()
    selected.need_writable()
    runs = selected.positions(command.sequence, uid=True)
    return await _announce(session, selected, selected.view.uid_ranges(runs))


async def _announce(session: Session, selected: Selected, uids: Ranges | None) -> Completion:
    page = await read_changes(session, selected)  # \Deleted set by others a moment ago counts
    await session.send(take_in(session, selected, page, expunge=True))
    if uids is None or uids:
        await _expunge(session, selected, uids)
    await session.send(announce_expunged(selected))
    return Completion(completed("EXPUNGE"))


async def _expunge(session: Session, selected: Selected, uids: Ranges | None) -> None:
    account = session.need_account()
    deleted = list(selected.view.deleted_uids())
    if uids is None and not deleted:
        return
    limit = _within(selected, deleted) if uids is None else uids
    answer = await account.keepers.vault.expunge(
        Expunge(account.principal, selected.mailbox, limit),
        ticket=account.ticket,
    )
    selected.view.vanish((uid, uid) for uid in answer.uids)


def _within(selected: Selected, deleted: Sequence[int]) -> Ranges:
    """Return ranges of just the messages that this client has seen as deleted."""
    view = selected.view
    found = (view.position(uid) for uid in deleted)
    return view.uid_ranges(runs_of(at for at in found if at is not None))
