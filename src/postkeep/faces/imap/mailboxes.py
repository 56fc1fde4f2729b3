"""CREATE, DELETE, RENAME, SUBSCRIBE and NAMESPACE: changing the tree of mailboxes."""

from collections.abc import Iterable

import msgspec

from postkeep.faces.imap.account import Account
from postkeep.faces.imap.acl import create_shared
from postkeep.faces.imap.changing_list import change_list
from postkeep.faces.imap.entries import subscribe_lone
from postkeep.faces.imap.names import (
    INBOX,
    ROLE_NAMES,
    SEPARATOR,
    Named,
    Tree,
    canonical,
    is_valid,
    parents,
)
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.selecting import leave
from postkeep.faces.imap.session import Completion, Session
from postkeep.faces.imap.sharing import is_shared_name
from postkeep.faces.imap.special_use import role_of
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import Create, Delete, Rename, Subscribe
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.vault.api import CopyMessages, MailboxChange

_UID_MAX = 0xFFFF_FFFF


async def create(session: Session, tag: bytes, command: Create) -> Completion:
    """Answer CREATE: the mailbox, and the levels above it that are not there yet."""
    del tag
    account = session.need_account()
    name = canonical(command.mailbox)
    if not is_valid(name):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")
    if is_shared_name(name):
        return await create_shared(account, name)
    role = role_of(" ".join(command.uses).encode("ascii"))
    made: list[bytes] = []

    async def attempt(tree: Tree) -> None:
        existing = tree.find(name)
        if existing is not None and existing.row.selectable:
            raise CommandError(Text.NAME_TAKEN, "ALREADYEXISTS")
        if role and tree.with_role(role) is not None:
            raise CommandError(Text.USE_TAKEN, "USEATTR")
        changes, epochs = _missing(account, tree, [*parents(name), name])
        if existing is not None:
            changes.append(MailboxChange(existing.row.id, selectable=True))
        elif role:
            changes[-1] = msgspec.structs.replace(changes[-1], role=role)
        await account.change(tree, changes, epochs)
        made[:] = [changes[-1].id]

    await change_list(account, attempt)
    if session.rev2 and name != command.mailbox:  # RFC 9051 section 6.3.4
        await session.send(responses.listing([], name, utf8=True, old_name=command.mailbox))
    return Completion(completed("CREATE"), f"MAILBOXID ({made[0].hex()})")  # RFC 8474 section 4.1


def _missing(
    account: Account, tree: Tree, levels: Iterable[str]
) -> tuple[list[MailboxChange], list[OpenEpoch]]:
    """Return the changes that make those levels that are not there yet, in order."""
    changes: list[MailboxChange] = []
    epochs: list[OpenEpoch] = []
    for level in levels:
        if tree.find(level) is None:
            change, epoch = account.new_mailbox(level)
            changes.append(msgspec.structs.replace(change, role=usual_role(tree, level)))
            epochs.append(epoch)
    return changes, epochs


def usual_role(tree: Tree, name: str) -> str | None:
    """Return the role of whoever makes a mailbox under a role's usual name while nothing has the role: the
    next message for it would otherwise make another mailbox of that name."""
    for role, usual in ROLE_NAMES.items():
        if usual == name and tree.with_role(role) is None:
            return role
    return None


async def delete(session: Session, tag: bytes, command: Delete) -> Completion:
    """Answer DELETE. The level stays visible while there are mailboxes below it."""
    del tag
    account = session.need_account()

    async def attempt(tree: Tree) -> None:
        found = tree.find(command.mailbox)
        if found is None:
            raise no_such_mailbox()
        if found.owner:
            await account.shared.remove(found, account.ticket)
            return
        if found.row.role == "inbox":
            raise CommandError(Text.INBOX_STAYS, "CANNOT")
        if not found.row.selectable and tree.below(found.name):
            raise CommandError(Text.HAS_CHILDREN, "HASCHILDREN")
        if found.row.subscribed:
            await subscribe_lone(account, add={found.name}, remove=set())
        await account.change(tree, [MailboxChange(found.row.id, delete=True)])
        if session.selected is not None and session.selected.mailbox == found.row.id:
            leave(session)

    await change_list(account, attempt)
    return Completion(completed("DELETE"))


async def rename(session: Session, tag: bytes, command: Rename) -> Completion:
    """Answer RENAME: the mailbox and all below it; INBOX gives its messages away and stays."""
    del tag
    account = session.need_account()
    target = canonical(command.target)
    if not is_valid(target):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")

    source = canonical(command.mailbox)
    if is_shared_name(source) or is_shared_name(target):
        raise CommandError(Text.OTHERS_NAMES, "CANNOT")

    async def attempt(tree: Tree) -> None:
        _check_rename(tree, source, target)
        changes, epochs = _missing(account, tree, parents(target))
        found = tree.find(source)
        if found is not None and found.row.role == "inbox":
            await _empty_inbox(account, tree, found, target, (changes, epochs))
            return
        renamed = [*([] if found is None else [found]), *tree.below(source)]
        left = {named.name for named in renamed if named.row.subscribed}
        if left:  # a subscription is to a name, and stays with it
            await subscribe_lone(account, add=left, remove=set())
        for named in renamed:
            name = target + named.name[len(source) :]
            sealed, epoch = account.seal_mailbox_name(named.row.id, name)
            role = None if named.row.role else usual_role(tree, name)
            changes.append(MailboxChange(named.row.id, name=sealed, role=role))
            epochs.append(epoch)
        await account.change(tree, changes, epochs)

    await change_list(account, attempt)
    if session.rev2 and (target, source) != (command.target, command.mailbox):
        await session.send(responses.listing([], target, utf8=True, old_name=command.mailbox))
    return Completion(completed("RENAME"))


def _check_rename(tree: Tree, source: str, target: str) -> None:
    """Raise CommandError where a mailbox and those below it can't get that name."""
    moved = tree.below(source)
    if tree.find(source) is None and not moved:
        raise no_such_mailbox()
    if target in tree.by_name or target in tree.with_children:
        raise CommandError(Text.NAME_TAKEN, "ALREADYEXISTS")
    if source == INBOX:
        return
    if target.startswith(source + SEPARATOR):
        raise CommandError(Text.BELOW_ITSELF, "CANNOT")
    if not all(is_valid(target + named.name[len(source) :]) for named in moved):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")


async def _empty_inbox(
    account: Account,
    tree: Tree,
    inbox: Named,
    target: str,
    above: tuple[list[MailboxChange], list[OpenEpoch]],
) -> None:
    """Rename INBOX: a new mailbox gets its messages, mailboxes below it stay (RFC 3501 section 6.3.5)."""
    changes, epochs = above
    made, epoch = account.new_mailbox(target)
    await account.change(tree, [*changes, made], [*epochs, epoch])
    filled = await account.named(INBOX)
    if filled is not None and filled.row.messages:
        await account.keepers.vault.copy(
            CopyMessages(account.principal, inbox.row.id, made.id, [(1, _UID_MAX)], move=True),
            ticket=account.ticket,
        )


async def subscribe(session: Session, tag: bytes, command: Subscribe) -> Completion:
    """Answer SUBSCRIBE and UNSUBSCRIBE, of any name: a subscription needs no mailbox and outlives it
    (RFC 3501 section 6.3.6)."""
    del tag
    account = session.need_account()
    name = canonical(command.mailbox)
    if not is_valid(name):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")

    async def attempt(tree: Tree) -> None:
        found = tree.find(name)
        if found is not None and found.owner:
            found = None  # the owner's subscription is another matter
        if found is not None and found.row.subscribed != command.subscribed:
            await account.change(tree, [MailboxChange(found.row.id, subscribed=command.subscribed)])
        if not command.subscribed and name in tree.lone:
            await subscribe_lone(account, add=set(), remove={name})
        elif command.subscribed and found is None and name not in tree.lone:
            await subscribe_lone(account, add={name}, remove=set())

    await change_list(account, attempt)
    return Completion(completed("SUBSCRIBE" if command.subscribed else "UNSUBSCRIBE"))


async def namespace(session: Session, tag: bytes, command: object) -> Completion:
    """Answer NAMESPACE (RFC 2342)."""
    del tag, command
    await session.send(responses.namespace())
    return Completion(completed("NAMESPACE"))
