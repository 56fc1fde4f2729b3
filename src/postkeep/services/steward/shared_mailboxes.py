"""Mailboxes of groups: made with the one person who manages them first. Nothing of it reads mail.

The steps are those of a person's creation: keys, then the vault, then the directory, from when on mail comes
in. Each may be done again, and another manager is refused by the keepers themselves.
"""

from postkeep.base.errors import ConflictError
from postkeep.services.authority.api import OpenGroupMailbox
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.api import ProvisionPrincipal
from postkeep.services.kms.client import KmsClient
from postkeep.services.steward.api import Done, GroupMailbox
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.rights_api import OpenShared


class SharedMailboxDesk:
    """`steward.group_mailbox`."""

    def __init__(
        self, control: Control, authority: AuthorityClient, kms: KmsClient, vault: VaultClient
    ) -> None:
        self._control = control
        self._authority = authority
        self._kms = kms
        self._vault = vault

    def methods(self) -> Methods:
        """Return the methods by name."""
        return {"group_mailbox": (GroupMailbox, self.group_mailbox)}

    async def group_mailbox(self, operator: Operator, request: GroupMailbox) -> Done:
        """Make the mailbox."""
        group = await self._control.find(operator, request.address, kind="group")
        manager = await self._control.find(operator, request.manager, kind="user")
        if group.tenant != manager.tenant:
            raise ConflictError(public_text="Who manages the mailbox is a person of the same company.")
        await self._control.record(
            operator,
            "group_mailbox",
            tenant=group.tenant,
            principal=group.principal,
            objects=[manager.principal],
        )
        wanted = ProvisionPrincipal(group.tenant, group.principal, manager=manager.principal)
        key = await self._kms.provision_principal(wanted, ticket=operator.ticket)
        opened = OpenShared(group.tenant, group.principal, manager.principal)
        await self._vault.open_shared(opened, ticket=operator.ticket)
        await self._authority.open_mailbox(OpenGroupMailbox(group.principal, key), ticket=operator.ticket)
        return Done()
