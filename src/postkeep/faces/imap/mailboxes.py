"""LIST, LSUB, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, NAMESPACE and quota: the tree of mailboxes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

from postkeep.base.errors import ConflictError
from postkeep.faces.imap.account import Account
from postkeep.faces.imap.limits import APPEND_BYTES_MAX, CONFLICT_RETRIES, CONFLICT_WAIT_SECONDS
from postkeep.faces.imap.names import (
    INBOX,
    ROLE_USES,
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
from postkeep.faces.imap.texts import Text, completed
from postkeep.protocols.imap import responses
from postkeep.protocols.imap.commands import (
    Create,
    Delete,
    GetQuota,
    GetQuotaRoot,
    Rename,
    Status,
    StatusItem,
    Subscribe,
)
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.vault.api import CopyMessages, MailboxChange, MailboxRow
from postkeep.services.vault.api import GetQuota as QuotaRequest

_USE_ROLES = {use: role for role, use in ROLE_USES.items()}
_UID_MAX = 0xFFFF_FFFF
_STORAGE_UNIT_BYTES = 1024  # RFC 9208 section 5.1


def status_values(row: MailboxRow, items: tuple[StatusItem, ...]) -> dict[StatusItem, int]:
    """Return what STATUS tells of a mailbox."""
    values = {
        StatusItem.MESSAGES: row.messages,
        StatusItem.RECENT: 0,
        StatusItem.UIDNEXT: row.uid_next,
        StatusItem.UIDVALIDITY: row.uid_validity,
        StatusItem.UNSEEN: row.unseen,
        StatusItem.DELETED: row.deleted,
        StatusItem.SIZE: row.size,
        StatusItem.HIGHESTMODSEQ: max(row.highest_modseq, 1),
        StatusItem.APPENDLIMIT: APPEND_BYTES_MAX,
    }
    return {item: values[item] for item in items}


async def status(session: Session, tag: bytes, command: Status) -> Completion:
    """Answer STATUS."""
    del tag
    found = (await session.need_account().tree()).find(command.mailbox)
    if found is None or not found.row.selectable:
        raise no_such_mailbox()
    session.condstore |= StatusItem.HIGHESTMODSEQ in command.items
    values = status_values(found.row, command.items)
    await session.send(responses.mailbox_status(found.name, values, utf8=session.utf8))
    return Completion(completed("STATUS"))


async def _change(account: Account, attempt: Callable[[Tree], Awaitable[None]]) -> None:
    """Read the list and change it, again while others get in between."""
    for number in range(CONFLICT_RETRIES):
        try:
            await attempt(await account.tree())
        except ConflictError:
            await asyncio.sleep(random.uniform(0, CONFLICT_WAIT_SECONDS * (number + 1)))  # noqa: S311 - no secret
        else:
            return
    raise CommandError(Text.MAILBOXES_BUSY, "INUSE")


async def create(session: Session, tag: bytes, command: Create) -> Completion:
    """Answer CREATE: the mailbox, and the levels above it that are not there yet."""
    del tag
    account = session.need_account()
    name = canonical(command.mailbox)
    if not is_valid(name):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")
    roles = [_USE_ROLES.get(use) for use in command.uses]
    if None in roles or len(roles) > 1:
        raise CommandError(Text.USE_UNFIT, "USEATTR")

    async def attempt(tree: Tree) -> None:
        changes: list[MailboxChange] = []
        epochs: list[OpenEpoch] = []
        existing = tree.find(name)
        if existing is not None and existing.row.selectable:
            raise CommandError(Text.NAME_TAKEN, "ALREADYEXISTS")
        if roles and any(named.row.role == roles[0] for named in tree.by_name.values()):
            raise CommandError(Text.USE_TAKEN, "USEATTR")
        for level in [*parents(name), name]:
            found = tree.find(level)
            if found is None:
                made, epoch = account.new_mailbox(level)
                if level == name and roles:
                    made = msgspec.structs.replace(made, role=roles[0])
                changes.append(made)
                epochs.append(epoch)
            elif level == name:
                changes.append(MailboxChange(found.row.id, selectable=True))
        await account.change(tree, changes, epochs)

    await _change(account, attempt)
    return Completion(completed("CREATE"))


async def delete(session: Session, tag: bytes, command: Delete) -> Completion:
    """Answer DELETE. The level stays visible while there are mailboxes below it."""
    del tag
    account = session.need_account()

    async def attempt(tree: Tree) -> None:
        found = tree.find(command.mailbox)
        if found is None:
            raise no_such_mailbox()
        if found.row.role == "inbox":
            raise CommandError(Text.INBOX_STAYS, "CANNOT")
        if not found.row.selectable and tree.below(found.name):
            raise CommandError(Text.HAS_CHILDREN, "HASCHILDREN")
        await account.change(tree, [MailboxChange(found.row.id, delete=True)])
        if session.selected is not None and session.selected.mailbox == found.row.id:
            leave(session)

    await _change(account, attempt)
    return Completion(completed("DELETE"))


async def rename(session: Session, tag: bytes, command: Rename) -> Completion:
    """Answer RENAME: the mailbox and all below it; INBOX gives its messages away and stays."""
    del tag
    account = session.need_account()
    target = canonical(command.target)
    if not is_valid(target):
        raise CommandError(Text.NAME_UNFIT, "CANNOT")

    async def attempt(tree: Tree) -> None:
        source = canonical(command.mailbox)
        found = tree.find(source)
        moved = tree.below(source)
        if found is None and not moved:
            raise no_such_mailbox()
        if target in tree.by_name or target in tree.with_children:
            raise CommandError(Text.NAME_TAKEN, "ALREADYEXISTS")
        if target.startswith(source + SEPARATOR) and source != INBOX:
            raise CommandError(Text.BELOW_ITSELF, "CANNOT")
        changes: list[MailboxChange] = []
        epochs: list[OpenEpoch] = []
        for level in parents(target):
            if tree.find(level) is None:
                made, epoch = account.new_mailbox(level)
                changes.append(made)
                epochs.append(epoch)
        if found is not None and found.row.role == "inbox":
            await _empty_inbox(account, tree, found, target, (changes, epochs))
            return
        for named in [*([found] if found is not None else []), *moved]:
            name = target + named.name[len(source) :]
            sealed, epoch = account.seal_mailbox_name(named.row.id, name)
            changes.append(MailboxChange(named.row.id, name=sealed))
            epochs.append(epoch)
        await account.change(tree, changes, epochs)

    await _change(account, attempt)
    return Completion(completed("RENAME"))


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
    if inbox.row.messages:
        await account.keepers.vault.copy(
            CopyMessages(account.principal, inbox.row.id, made.id, [(1, _UID_MAX)], move=True),
            ticket=account.ticket,
        )


async def subscribe(session: Session, tag: bytes, command: Subscribe) -> Completion:
    """Answer SUBSCRIBE and UNSUBSCRIBE."""
    del tag
    account = session.need_account()

    async def attempt(tree: Tree) -> None:
        found = tree.find(command.mailbox)
        if found is None:
            raise no_such_mailbox()
        if found.row.subscribed != command.subscribed:
            await account.change(tree, [MailboxChange(found.row.id, subscribed=command.subscribed)])

    await _change(account, attempt)
    return Completion(completed("SUBSCRIBE") if command.subscribed else "UNSUBSCRIBE completed.")


async def namespace(session: Session, tag: bytes, command: object) -> Completion:
    """Answer NAMESPACE (RFC 2342)."""
    del tag, command
    await session.send(responses.namespace())
    return Completion(completed("NAMESPACE"))


async def get_quota(session: Session, tag: bytes, command: GetQuota) -> Completion:
    """Answer GETQUOTA: there is one root, with the empty name."""
    del tag
    if command.root:
        raise CommandError(Text.NO_QUOTA_ROOT, "NONEXISTENT")
    await _send_quota(session)
    return Completion(completed("GETQUOTA"))


async def get_quota_root(session: Session, tag: bytes, command: GetQuotaRoot) -> Completion:
    """Answer GETQUOTAROOT."""
    del tag
    found = (await session.need_account().tree()).find(command.mailbox)
    if found is None:
        raise no_such_mailbox()
    await session.send(responses.quota_root(found.name, "", utf8=session.utf8))
    await _send_quota(session)
    return Completion(completed("GETQUOTAROOT"))


async def _send_quota(session: Session) -> None:
    account = session.need_account()
    quota = await account.keepers.vault.quota(QuotaRequest(account.principal), ticket=account.ticket)
    used = -(-quota.used_bytes // _STORAGE_UNIT_BYTES)
    limit = None if quota.limit_bytes is None else quota.limit_bytes // _STORAGE_UNIT_BYTES
    await session.send(responses.quota("", used, limit))
