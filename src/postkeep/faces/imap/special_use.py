"""Giving a mailbox a special use, and taking it away (RFC 6154 section 4)."""

from typing import TYPE_CHECKING

from postkeep.faces.imap.changing_list import change_list
from postkeep.faces.imap.names import ROLE_USES, Tree
from postkeep.faces.imap.replies import CommandError, no_such_mailbox
from postkeep.faces.imap.texts import Text
from postkeep.services.delivery.epochs import OpenEpoch
from postkeep.services.vault.api import MailboxChange, SealedName

if TYPE_CHECKING:
    from postkeep.faces.imap.account import Account

_ROLES = {use.lower(): role for role, use in ROLE_USES.items()}


def role_of(uses: bytes | None) -> str:
    """Return the role that a list of special uses stands for, empty for none; raises CommandError for those
    that can't be given: more than one, or one that stands for a view of messages kept elsewhere."""
    words = (uses or b"").decode("ascii", "replace").lower().split()
    if not words:
        return ""
    role = _ROLES.get(words[0])
    if role is None or len(words) > 1:
        raise CommandError(Text.USE_UNFIT, "USEATTR")
    return role


async def change_use(account: "Account", mailbox: bytes, uses: bytes | None) -> None:
    """Give a mailbox this special use instead of the one that it has."""
    role = role_of(uses)

    async def attempt(tree: Tree) -> None:
        named = next((named for named in tree.by_name.values() if named.row.id == mailbox), None)
        if named is None:
            raise no_such_mailbox()
        if named.row.role == role:
            return
        if named.row.role == "inbox":
            raise CommandError(Text.USE_UNFIT, "USEATTR")
        if role and tree.with_role(role) is not None:
            raise CommandError(Text.USE_TAKEN, "USEATTR")
        # A mailbox that had the usual name of its role keeps it as a name of its own.
        name: SealedName
        epoch: OpenEpoch
        name, epoch = account.seal_mailbox_name(mailbox, named.name)
        await account.change(tree, [MailboxChange(mailbox, role=role, name=name)], [epoch])

    await change_list(account, attempt)
