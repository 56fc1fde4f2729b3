"""The steward's methods: what an operator asks for, turned into calls to the keepers with the operator's
own ticket."""

from typing import Final

from postkeep.base.address import parse_address, parse_domain
from postkeep.base.errors import ConflictError, InvalidInputError
from postkeep.services.authority import api as directory
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.ledger.api import Entries, Head
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.queue.api import QueueAct, QueueList
from postkeep.services.steward import api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.vault.api import CheckStore
from postkeep.services.vault.client import VaultClient

LEDGER_ENTRIES_MAX: Final = 1000  # entries in one answer: some 300 KB
QUEUE_ACTS: Final = frozenset({"retry", "hold", "release", "delete"})
PROTOCOLS: Final = frozenset({"imap", "submission"})


class StewardService:
    """One method per line of `steward.*` in the table of rules."""

    def __init__(
        self, control: Control, authority: AuthorityClient, vault: VaultClient, ledger: LedgerClient
    ) -> None:
        self._control = control
        self._authority = authority
        self._vault = vault
        self._ledger = ledger

    def methods(self) -> Methods:
        """Return the methods by name."""
        return {
            "tenant_create": (api.TenantCreate, self.tenant_create),
            "tenant_show": (api.TenantShow, self.tenant_show),
            "tenant_list": (api.TenantAll, self.tenant_list),
            "tenant_delete": (api.TenantDelete, self.tenant_delete),
            "domain_add": (api.DomainAdd, self.domain_add),
            "domain_delete": (api.DomainDelete, self.domain_delete),
            "user_create": (api.UserCreate, self.user_create),
            "user_show": (api.UserShow, self.user_show),
            "user_list": (api.UserAll, self.user_list),
            "user_status": (api.UserStatus, self.user_status),
            "user_password": (api.UserPassword, self.user_password),
            "user_quota": (api.UserQuota, self.user_quota),
            "user_delete": (api.UserDelete, self.user_delete),
            "alias_create": (api.AliasCreate, self.alias_create),
            "alias_delete": (api.AliasDelete, self.alias_delete),
            "group_create": (api.GroupCreate, self.group_create),
            "group_members": (api.GroupMembers, self.group_members),
            "group_delete": (api.GroupDelete, self.group_delete),
            "address_grant": (api.AddressGrant, self.address_grant),
            "app_password_create": (api.AppPasswordCreate, self.app_password_create),
            "app_password_list": (api.AppPasswordAll, self.app_password_list),
            "app_password_delete": (api.AppPasswordDelete, self.app_password_delete),
            "queue_list": (api.QueueAll, self.queue_list),
            "queue_act": (api.QueueChange, self.queue_act),
            "ledger_head": (api.LedgerHead, self.ledger_head),
            "ledger_read": (api.LedgerRead, self.ledger_read),
            "store_check": (api.StoreCheck, self.store_check),
        }

    # --- companies ---

    async def tenant_create(self, operator: Operator, request: api.TenantCreate) -> directory.TenantInfo:
        """Make a company."""
        return await self._control.create_tenant(operator, request.domain, request.name)

    async def tenant_show(self, operator: Operator, request: api.TenantShow) -> directory.TenantInfo:
        """Show a company."""
        return await self._tenant(operator, request.domain)

    async def tenant_list(self, operator: Operator, _request: api.TenantAll) -> api.Tenants:
        """List the companies."""
        found = await self._authority.list_tenants(directory.ListTenants(), ticket=operator.ticket)
        return api.Tenants(found.tenants)

    async def tenant_delete(self, operator: Operator, request: api.TenantDelete) -> api.Gone:
        """Remove a company."""
        return await self._control.delete_tenant(operator, request.domain)

    async def domain_add(self, operator: Operator, request: api.DomainAdd) -> api.Done:
        """Give a company one more domain."""
        info = await self._tenant(operator, request.tenant_domain)
        if operator.again and parse_domain(request.domain) in info.domains:
            return api.Done()
        await self._control.record(operator, "domain_add", tenant=info.tenant)
        await self._authority.add_domain(
            directory.AddDomain(info.tenant, parse_domain(request.domain)), ticket=operator.ticket
        )
        return api.Done()

    async def domain_delete(self, operator: Operator, request: api.DomainDelete) -> api.Done:
        """Take a domain away."""
        info = await self._tenant(operator, request.domain)
        await self._control.record(operator, "domain_delete", tenant=info.tenant)
        await self._authority.remove_domain(
            directory.RemoveDomain(parse_domain(request.domain)), ticket=operator.ticket
        )
        return api.Done()

    # --- people ---

    async def user_create(self, operator: Operator, request: api.UserCreate) -> directory.UserInfo:
        """Make a person."""
        return await self._control.create_user(
            operator, request.address, request.name, request.password, request.quota_bytes
        )

    async def user_show(self, operator: Operator, request: api.UserShow) -> directory.UserInfo:
        """Show who has an address."""
        return await self._control.find(operator, request.address)

    async def user_list(self, operator: Operator, request: api.UserAll) -> api.Users:
        """List people or groups."""
        if request.domain:
            tenants = [(await self._tenant(operator, request.domain)).tenant]
        else:
            found = await self._authority.list_tenants(directory.ListTenants(), ticket=operator.ticket)
            tenants = [info.tenant for info in found.tenants]
        users: list[directory.UserInfo] = []
        for tenant in tenants:
            listed = await self._authority.list_principals(
                directory.ListPrincipals(tenant, request.kind), ticket=operator.ticket
            )
            users += listed.principals
        return api.Users(users)

    async def user_status(self, operator: Operator, request: api.UserStatus) -> api.Done:
        """Let somebody in, or keep out."""
        info = await self._control.find(operator, request.address)
        await self._record(operator, f"user_{request.status}", info)
        await self._authority.set_status(
            directory.SetStatus(info.principal, request.status), ticket=operator.ticket
        )
        return api.Done()

    async def user_password(self, operator: Operator, request: api.UserPassword) -> api.Done:
        """Set a password."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "user_password", info)
        await self._authority.set_password(
            directory.SetPassword(info.principal, request.password), ticket=operator.ticket
        )
        return api.Done()

    async def user_quota(self, operator: Operator, request: api.UserQuota) -> api.Done:
        """Set a limit."""
        await self._control.set_quota(operator, request.address, request.quota_bytes)
        return api.Done()

    async def user_delete(self, operator: Operator, request: api.UserDelete) -> api.Gone:
        """Remove a person."""
        return await self._control.delete_user(operator, request.address)

    # --- addresses ---

    async def alias_create(self, operator: Operator, request: api.AliasCreate) -> api.Done:
        """Add an address."""
        info = await self._control.find(operator, request.target)
        await self._record(operator, "alias_create", info)
        await self._authority.create_alias(
            directory.CreateAlias(str(parse_address(request.address)), info.principal),
            ticket=operator.ticket,
        )
        return api.Done()

    async def alias_delete(self, operator: Operator, request: api.AliasDelete) -> api.Done:
        """Take an address away."""
        info = await self._control.find(operator, request.address)
        await self._record(operator, "alias_delete", info)
        await self._authority.delete_alias(
            directory.DeleteAlias(str(parse_address(request.address))), ticket=operator.ticket
        )
        return api.Done()

    async def group_create(self, operator: Operator, request: api.GroupCreate) -> directory.UserInfo:
        """Make a group."""
        address = parse_address(request.address)
        info = await self._tenant(operator, address.domain)
        principal = operator.new_id()
        await self._control.record(operator, "group_create", tenant=info.tenant, principal=principal)
        return await self._authority.create_group(
            directory.CreateGroup(
                info.tenant, principal, str(address), request.name, _addresses(request.members)
            ),
            ticket=operator.ticket,
        )

    async def group_members(self, operator: Operator, request: api.GroupMembers) -> api.Done:
        """Replace a group's members."""
        info = await self._control.find(operator, request.address, kind="group")
        await self._record(operator, "group_members", info)
        await self._authority.set_members(
            directory.SetMembers(info.principal, _addresses(request.members)), ticket=operator.ticket
        )
        return api.Done()

    async def group_delete(self, operator: Operator, request: api.GroupDelete) -> api.Done:
        """Remove a group."""
        info = await self._control.find(operator, request.address, kind="group")
        if info.has_mailbox:
            raise ConflictError(
                public_text=f"The group has a mailbox: destroy it with postkeep user delete {info.address}."
            )
        await self._record(operator, "group_delete", info)
        await self._authority.delete_group(directory.DeleteGroup(info.principal), ticket=operator.ticket)
        return api.Done()

    async def address_grant(self, operator: Operator, request: api.AddressGrant) -> api.Done:
        """Let a user send as another address."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "address_grant", info)
        await self._authority.grant_address(
            directory.GrantAddress(info.principal, str(parse_address(request.sender))),
            ticket=operator.ticket,
        )
        return api.Done()

    # --- app passwords ---

    async def app_password_create(
        self, operator: Operator, request: api.AppPasswordCreate
    ) -> directory.AppPassword:
        """Make an app password; its answer holds it."""
        if not request.protocols or not PROTOCOLS.issuperset(request.protocols):
            raise InvalidInputError(public_text="The protocols are: imap, submission.")
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "app_password_create", info)
        return await self._authority.create_app_password(
            directory.CreateAppPassword(info.principal, request.name, request.protocols, operator.token),
            ticket=operator.ticket,
        )

    async def app_password_list(self, operator: Operator, request: api.AppPasswordAll) -> api.AppPasswords:
        """List app passwords, without the passwords."""
        info = await self._control.find(operator, request.address, kind="user")
        listed = await self._authority.list_app_passwords(
            directory.ListAppPasswords(info.principal), ticket=operator.ticket
        )
        return api.AppPasswords(listed.passwords)

    async def app_password_delete(self, operator: Operator, request: api.AppPasswordDelete) -> api.Done:
        """Void an app password."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._record(operator, "app_password_delete", info)
        await self._authority.delete_app_password(
            directory.DeleteAppPassword(info.principal, request.id), ticket=operator.ticket
        )
        return api.Done()

    # --- queue, ledger, store ---

    async def queue_list(self, operator: Operator, request: api.QueueAll) -> api.QueueItems:
        """List what waits to go out."""
        tenant = (await self._tenant(operator, request.domain)).tenant if request.domain else None
        listed = await self._vault.queue_list(QueueList(tenant, request.limit), ticket=operator.ticket)
        return api.QueueItems(listed.rows)

    async def queue_act(self, operator: Operator, request: api.QueueChange) -> api.Counted:
        """Retry, hold, release or delete."""
        if request.act not in QUEUE_ACTS:
            raise InvalidInputError(public_text="The acts are: retry, hold, release, delete.")
        await self._control.record(operator, f"queue_{request.act}", objects=request.ids)
        acted = await self._vault.queue_act(QueueAct(request.act, request.ids), ticket=operator.ticket)
        return api.Counted(acted.count)

    async def ledger_head(self, operator: Operator, _request: api.LedgerHead) -> api.LedgerState:
        """Say where the ledger stands."""
        head = await self._ledger.head(Head(), ticket=operator.ticket)
        return api.LedgerState(head.origin, head.size, head.root)

    async def ledger_read(self, operator: Operator, request: api.LedgerRead) -> api.LedgerEntries:
        """Read entries."""
        count = min(max(request.count, 0), LEDGER_ENTRIES_MAX)
        start = request.start
        if start < 0:
            head = await self._ledger.head(Head(), ticket=operator.ticket)
            start = max(0, head.size + start)
        listed = await self._ledger.entries(Entries(start, count), ticket=operator.ticket)
        return api.LedgerEntries(listed.start, listed.entries)

    async def store_check(self, operator: Operator, _request: api.StoreCheck) -> api.StoreState:
        """Have the vault walk its rows."""
        report = await self._vault.check(CheckStore(), ticket=operator.ticket)
        return api.StoreState(report.mailboxes, report.messages, report.bodies, report.problems)

    async def _tenant(self, operator: Operator, domain: str) -> directory.TenantInfo:
        return await self._authority.find_tenant(
            directory.FindTenant(parse_domain(domain)), ticket=operator.ticket
        )

    async def _record(self, operator: Operator, act: str, info: directory.UserInfo) -> None:
        await self._control.record(operator, act, tenant=info.tenant, principal=info.principal)


def _addresses(texts: list[str]) -> list[str]:
    return [str(parse_address(text)) for text in texts]
