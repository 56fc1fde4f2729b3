"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314): who may do what with a mailbox.

An identifier is the address of a colleague. The vault keeps the letters and kms the keys; both are asked with
the ticket of who gives, and neither trusts what this face says of it.
"""

from typing import Final

from postkeep.base.errors import NotFoundError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.names import Named
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.acl import (
    LETTERS,
    AclMode,
    DeleteAcl,
    GetAcl,
    ListRights,
    MyRights,
    SetAcl,
    plain,
    render_acl,
    render_list_rights,
    shown,
)
from postkeep.services.authority.colleagues_api import Colleague
from postkeep.services.vault.giving import give
from postkeep.services.vault.rights_api import GetRights, Right, SetRights

_SEEN_BY: Final = frozenset("lrikxa")
"""With any of these a mailbox is there for somebody (RFC 4314 section 4)."""


async def set_acl(session: Session, tag: bytes, command: SetAcl) -> Completion:
    """Answer SETACL."""
    del tag
    account = session.need_account()
    found = await _administered(account, command.mailbox)
    try:
        letters = plain(command.letters)
    except ValueError as exc:
        raise CommandError(Text.NO_SUCH_RIGHT, bad=True) from exc
    colleague = await _colleague(account, found, command.identifier)
    if command.mode is not AclMode.REPLACE:
        held = {right.reader: right.letters for right in await _rights(account, found)}
        before = set(held.get(colleague.principal, ""))
        after = before | set(letters) if command.mode is AclMode.ADD else before - set(letters)
        letters = "".join(letter for letter in LETTERS if letter in after)
    await _give(account, found, colleague.principal, letters)
    return Completion(completed("SETACL"))


async def delete_acl(session: Session, tag: bytes, command: DeleteAcl) -> Completion:
    """Answer DELETEACL: whoever it was has no rights on the mailbox any more."""
    del tag
    account = session.need_account()
    found = await _administered(account, command.mailbox)
    colleague = await _colleague(account, found, command.identifier)
    await _give(account, found, colleague.principal, "")
    return Completion(completed("DELETEACL"))


async def _give(account: Account, found: Named, reader: bytes, letters: str) -> None:
    request = SetRights(found.owner or account.principal, found.row.id, reader, letters)
    await give(account.keepers.vault, account.keepers.kms, request, account.ticket)


async def get_acl(session: Session, tag: bytes, command: GetAcl) -> Completion:
    """Answer GETACL: the owner first, who has all rights."""
    del tag
    account = session.need_account()
    found = await _administered(account, command.mailbox)
    owner = found.owner or account.principal
    held = {right.reader: right.letters for right in await _rights(account, found) if right.letters}
    known = await account.shared.find(principals=[owner, *held])
    addresses = {colleague.principal: colleague.address for colleague in known.found}
    entries = {owner: LETTERS} | held
    shown_as = [(addresses[who], letters) for who, letters in entries.items() if who in addresses]
    await session.send(render_acl(found.name, shown_as, utf8=session.utf8))
    return Completion(completed("GETACL"))


async def list_rights(session: Session, tag: bytes, command: ListRights) -> Completion:
    """Answer LISTRIGHTS: the owner has all, to others each may be given by itself."""
    del tag
    account = session.need_account()
    found = await _administered(account, command.mailbox)
    known = await account.shared.find(addresses=[command.identifier])
    owner = found.owner or account.principal
    is_owner = known.asked.get(command.identifier) == owner
    required, optional = (shown(LETTERS), "") if is_owner else ("", shown(LETTERS))
    line = render_list_rights(found.name, command.identifier, required, optional, utf8=session.utf8)
    await session.send(line)
    return Completion(completed("LISTRIGHTS"))


async def my_rights(session: Session, tag: bytes, command: MyRights) -> Completion:
    """Answer MYRIGHTS."""
    del tag
    found = (await session.need_account().tree()).find(command.mailbox)
    if found is None or not _SEEN_BY & set(found.rights):
        raise no_such_mailbox()
    await session.send(responses.my_rights(found.name, shown(found.rights), utf8=session.utf8))
    return Completion(completed("MYRIGHTS"))


async def create_shared(account: Account, name: str) -> Completion:
    """Make a mailbox below somebody else's."""
    if (await account.tree()).find(name) is not None:
        raise CommandError(Text.NAME_TAKEN, "ALREADYEXISTS")
    try:
        made = await account.shared.make(name, account.ticket)
    except NotFoundError as exc:
        raise CommandError(Text.OTHERS_NAMES, "CANNOT") from exc
    return Completion(completed("CREATE"), f"MAILBOXID ({made.hex()})")


async def _administered(account: Account, name: str) -> Named:
    """Find a mailbox whose rights one may give; raise CommandError."""
    found = (await account.tree()).find(name)
    if found is None or not _SEEN_BY & set(found.rights):
        raise no_such_mailbox()
    if "a" not in found.rights:
        raise CommandError(Text.NO_RIGHT, "NOPERM")
    return found


async def _rights(account: Account, found: Named) -> list[Right]:
    request = GetRights(found.owner or account.principal, found.row.id)
    return (await account.keepers.vault.rights(request, ticket=account.ticket)).rights


async def _colleague(account: Account, found: Named, identifier: str) -> Colleague:
    """Find whom an identifier means: a person of the company, and not the owner."""
    known = await account.shared.find(addresses=[identifier])
    colleague = next((one for one in known.found if one.principal == known.asked.get(identifier)), None)
    if colleague is None or colleague.kind != "user":
        raise CommandError(Text.NO_COLLEAGUE, "CANNOT")
    if colleague.principal == (found.owner or account.principal):
        raise CommandError(Text.OWNERS_RIGHTS, "CANNOT")
    return colleague
