"""REPLACE: a message that takes the place of another, at one stroke (RFC 8508)."""

from postkeep.base.errors import NotFoundError
from postkeep.faces.imap.appending import announcements, find_target, seal_new
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap.commands import Replace
from postkeep.protocols.imap.sequence import parse_sequence
from postkeep.services.vault.api import Append, Replaced
from postkeep.services.vault.replacing import MESSAGE_GONE


async def replace(session: Session, tag: bytes, command: Replace) -> Completion:
    """Answer REPLACE and UID REPLACE; the old message's EXPUNGE comes behind the new one's APPENDUID."""
    del tag
    session.check_numbers(uid=command.uid)
    selected = session.need_selected()
    selected.need_writable()
    account = session.need_account()
    replaced = Replaced(selected.place.principal, selected.mailbox, _uid(session, command))
    target = await find_target(account, command.mailbox)
    deposit, epoch = await seal_new(session, target, command.message)
    request = Append([deposit], announcements([epoch]), replaced)
    try:
        answer = await account.keepers.vault.append(request, ticket=account.ticket)
    except NotFoundError as exc:
        selected.dirty = True
        if exc.code == MESSAGE_GONE:
            raise CommandError(Text.ALL_EXPUNGED, "EXPUNGEISSUED") from exc
        raise no_such_mailbox(try_create=True) from exc
    epoch.acknowledged = True
    selected.dirty = True
    (placed,) = answer.results[0].placed
    code = f"APPENDUID {placed.uid_validity} {placed.uid}"
    await session.send(session.say(b"*", "OK", Text.REPLACED, code))
    return Completion(completed("REPLACE"))


def _uid(session: Session, command: Replace) -> int:
    """Return the UID of the message named; raise CommandError where there is none."""
    selected = session.need_selected()
    named = b"*" if command.number is None else b"%d" % command.number
    runs = selected.positions(parse_sequence(named), uid=command.uid)
    if not runs:
        raise CommandError(Text.NO_MESSAGE)
    return selected.view.uid_at(runs[0][0])
