"""SELECT, EXAMINE and what belongs to a selected mailbox: NOOP, CHECK, IDLE, CLOSE, UNSELECT, EXPUNGE."""

from postkeep.base.errors import NotFoundError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.names import ROLE_USES, Named
from postkeep.faces.imap.place import CHANGING_RIGHTS, Place
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.resync import resynchronise
from postkeep.faces.imap.selected import Selected
from postkeep.faces.imap.session import Completion, Session, State
from postkeep.faces.imap.texts import Text, completed
from postkeep.faces.imap.updates import announce_expunged, synchronise
from postkeep.faces.imap.view import View
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Select, UidExpunge
from postkeep.protocols.imap.sequence import Ranges
from postkeep.services.vault.api import Expunge
from postkeep.services.vault.rows_api import Opened, OpenMailbox


async def select(session: Session, tag: bytes, command: Select) -> Completion:
    """Answer SELECT and EXAMINE; a failure leaves nothing selected (RFC 3501 section 6.3.1)."""
    del tag
    account = session.need_account()
    closed = session.selected is not None
    session.selected = None
    session.state = State.AUTHENTICATED
    if command.resync is not None and not session.qresync:
        raise CommandError(Text.ENABLE_QRESYNC, bad=True)
    session.condstore |= command.condstore
    if closed and (session.utf8 or session.condstore):
        await session.send(session.say(b"*", "OK", Text.CLOSED, "CLOSED"))
    found = (await account.tree()).find(command.mailbox)
    if found is None:
        raise no_such_mailbox()
    if not found.row.selectable:
        raise CommandError(Text.NOT_SELECTABLE, "CANNOT")
    await session.wakeups.watch(session)
    place = account.place_of(found)
    opened = await _open(account, place)
    view = View(opened.runs, opened.keywords, opened.mailbox.highest_modseq)
    read_only = command.read_only or place.rights.isdisjoint(CHANGING_RIGHTS)
    selected = Selected(place, found.name, view, read_only=read_only)
    if not session.utf8:  # IMAP4rev2 has no \Recent
        selected.recent_from = session.wakeups.claim_recent(
            selected.mailbox, opened.mailbox.uid_next, read_only=read_only
        )
    await session.send(_describe(session, selected, found, opened))
    if command.resync is not None and command.resync.uid_validity == opened.mailbox.uid_validity:
        await session.send(await resynchronise(session, selected, command.resync))
    session.selected = selected
    session.state = State.SELECTED
    word = completed("EXAMINE" if command.read_only else "SELECT")
    return Completion(word, "READ-ONLY" if read_only else "READ-WRITE")


async def _open(account: Account, place: Place) -> Opened:
    try:
        return await account.keepers.vault.select(
            OpenMailbox(place.principal, place.mailbox), ticket=account.ticket
        )
    except NotFoundError as exc:
        raise no_such_mailbox() from exc


def _describe(session: Session, selected: Selected, found: Named, opened: Opened) -> bytes:
    view = selected.view
    row = opened.mailbox
    lines = [
        selected.flags_line(),
        session.say(b"*", "OK", Text.PERMANENT_FLAGS, selected.permanent_flags()),
        responses.untagged(f"{len(view)} EXISTS"),
    ]
    if session.utf8:
        uses = [ROLE_USES[found.row.role]] if found.row.role in ROLE_USES else []
        lines.append(responses.listing(uses, found.name, utf8=True))
    else:
        lines.append(responses.untagged(f"{selected.recent_count()} RECENT"))
        unseen = view.position(opened.first_unseen)
        if unseen is not None and not session.uid_only:
            lines.append(session.say(b"*", "OK", Text.FIRST_UNSEEN, f"UNSEEN {unseen + 1}"))
    lines.append(session.say(b"*", "OK", Text.UIDS_VALID, f"UIDVALIDITY {row.uid_validity}"))
    lines.append(session.say(b"*", "OK", Text.NEXT_UID, f"UIDNEXT {row.uid_next}"))
    lines.append(session.say(b"*", "OK", Text.MAILBOX_ID, f"MAILBOXID ({row.id.hex()})"))
    lines.append(session.say(b"*", "OK", Text.CHANGES_COUNTED, f"HIGHESTMODSEQ {view.synced or 1}"))
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
        session.selected.view.rest()
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
    await synchronise(session, expunge=True)  # \Deleted set by others a moment ago counts
    if uids is None or uids:
        await _expunge(session, selected, uids)
    await session.send(announce_expunged(session, selected))
    if not session.qresync:
        return Completion(completed("EXPUNGE"))
    # The value must cover nothing that the client has not been told of (RFC 7162 section 3.2.7).
    await synchronise(session, expunge=True)
    return Completion(completed("EXPUNGE"), f"HIGHESTMODSEQ {selected.view.synced or 1}")


async def _expunge(session: Session, selected: Selected, uids: Ranges | None) -> None:
    """Remove what is flagged as deleted, of the messages that this client knows of and no others."""
    view = selected.view
    if not len(view):
        return
    account = session.need_account()
    place = selected.place
    answer = await account.keepers.vault.expunge(
        Expunge(place.principal, place.mailbox, [(1, view.last_uid)] if uids is None else uids),
        ticket=account.ticket,
    )
    view.vanish((uid, uid) for uid in answer.uids)
