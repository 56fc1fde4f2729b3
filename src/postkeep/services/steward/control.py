"""Acts that go through several keepers, in an order in which a crash leaves nothing half open.

Making: keys first, then the directory, so that nobody is found who has no key; what a crash interrupts is
finished, or undone, before the next act. Removing is a destruction order (`orders`). Each act stands in the
ledger before it is done.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from postkeep.base.address import Address, parse_address, parse_domain
from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError, PostkeepError
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.crypto.context import context
from postkeep.model.audit import EventName
from postkeep.services.authority import api as directory
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.api import Discard, ProvisionPrincipal, ProvisionTenant
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward.api import Gone
from postkeep.services.steward.pending import Act, Begun, Pending
from postkeep.services.vault.api import SetQuota
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.rules import CLI


def queue_principal(tenant: bytes) -> bytes:
    """Return the principal whose key a tenant's outbound queue is sealed to: derived, so never lost."""
    return hashlib.sha256(context("queue principal", tenant)).digest()[:ID_BYTES]


@dataclass(frozen=True, slots=True)
class Operator:
    """On whose word it is done."""

    ticket: bytes
    """The staff ticket narrowed to this steward."""
    session: bytes
    root_ticket: str
    token: bytes = b""
    """The identifier of what the command makes; empty: any."""
    again: bool = False
    """The command was sent before, and may have been done in part or as a whole."""
    staff: bytes = NOBODY
    """The staff member who asks; NOBODY: the machine's own operator."""

    @property
    def actor(self) -> str:
        """Who asks, as events name it."""
        return "operator" if self.staff == NOBODY else self.staff.hex()

    def new_id(self) -> bytes:
        """Name what the command makes, alike whenever it is sent."""
        return self.token or new_id()


class Removals(Protocol):
    """Destruction orders as the removal of people and companies needs them; `orders.Orders` is one."""

    async def remove(
        self, operator: Operator, tenant: bytes, principal: bytes, words: tuple[str, ...] = ()
    ) -> Gone:
        """Destroy a person, or (NOBODY) a company, until the keys are gone."""

    async def removed_meanwhile(self, operator: Operator, words: tuple[str, ...]) -> Gone | None:
        """Say what the command of these words, which had to wait for approvals, has destroyed since."""

    async def removed(self, operator: Operator) -> Gone:
        """Say what this very command, sent before, has destroyed; go on with it where it was cut off."""


class Control:
    """Companies and people: made and removed as a whole."""

    def __init__(  # noqa: PLR0917 - the keepers, and what is under way
        self,
        authority: AuthorityClient,
        kms: KmsClient,
        vault: VaultClient,
        trail: Trail,
        pending: Pending,
        removals: Removals,
    ) -> None:
        self._removals = removals
        self._authority = authority
        self._kms = kms
        self._vault = vault
        self._trail = trail
        self._pending = pending
        self._one_at_a_time = asyncio.Lock()
        """What is found pending under it was interrupted, and is not being worked on."""

    async def record(
        self,
        operator: Operator,
        act: str,
        *,
        tenant: bytes = NOBODY,
        principal: bytes = NOBODY,
        objects: Sequence[bytes] = (),
    ) -> None:
        """Have an administrative act in the ledger before it is done; UnavailableError if that fails.

        `objects`: identifiers of what else it is done to; none, where there are such: to all of them.
        """
        await self._trail.record(
            EventName.ADMIN,
            note=act,
            tenant=tenant.hex() if tenant != NOBODY else "",
            principal=principal.hex() if principal != NOBODY else "",
            session=operator.session.hex(),
            ticket=operator.root_ticket,
            actor=operator.actor,
            module=CLI,
            count=len(objects),
            digest=hashlib.sha256(b"".join(objects)).hexdigest() if objects else "",
        )

    async def create_tenant(self, operator: Operator, domain_text: str, name: str) -> directory.TenantInfo:
        """Make a company: its keys, its queue's key, its entry in the directory."""
        domain = parse_domain(domain_text)
        async with self._one_at_a_time:
            await self._resume(operator)
            begun = Begun(Act.CREATE_TENANT, operator.new_id(), NOBODY)
            found = await self._tenant_of(operator, domain)
            if found is not None and not (operator.again and found.tenant == begun.tenant):
                raise ConflictError(public_text=f"The domain {domain} belongs to a company already.")
            if found is not None:
                await self._settle_creation(operator, begun)
                return found
            await self.record(operator, "tenant_create", tenant=begun.tenant)
            self._pending.begin(begun)
            try:
                await self._kms.provision_tenant(ProvisionTenant(begun.tenant), ticket=operator.ticket)
                key = await self._kms.provision_principal(
                    ProvisionPrincipal(begun.tenant, queue_principal(begun.tenant), queue=True),
                    ticket=operator.ticket,
                )
                info = await self._authority.create_tenant(
                    directory.CreateTenant(begun.tenant, domain, name or domain, key), ticket=operator.ticket
                )
            except PostkeepError as error:
                await self._undo(operator, begun, error)
                raise
            self._pending.finish(begun)
            return info

    async def delete_tenant(self, operator: Operator, domain: str) -> Gone:
        """Remove a company with everything it has, and destroy its keys: an order like any other."""
        words = ("tenant_delete", domain)
        async with self._one_at_a_time:
            await self._resume(operator)
            gone = await self._removals.removed_meanwhile(operator, words)
            if gone is not None:
                return gone
            info = await self._tenant_of(operator, parse_domain(domain))
            if info is None:
                if operator.again:
                    return await self._removals.removed(operator)
                raise NotFoundError(public_text="There is no such domain.")
            await self.record(operator, "tenant_delete", tenant=info.tenant)
            return await self._removals.remove(operator, info.tenant, NOBODY, words)

    async def create_user(
        self, operator: Operator, address_text: str, name: str, password: str | None, quota_bytes: int | None
    ) -> directory.UserInfo:
        """Make a person: a key pair, an entry in the directory, a limit in the vault."""
        address = parse_address(address_text)
        async with self._one_at_a_time:
            await self._resume(operator)
            company = await self._tenant_of(operator, address.domain)
            if company is None:
                raise NotFoundError(
                    public_text=f"No company has the domain {address.domain}. "
                    f"Create one first: postkeep tenant create {address.domain}"
                )
            tenant = company.tenant
            begun = Begun(Act.CREATE_USER, tenant, operator.new_id())
            made = await self._made_already(operator, address, begun.principal)
            if made is not None:
                await self._settle_creation(operator, begun)
                return made
            await self.record(operator, "user_create", tenant=tenant, principal=begun.principal)
            self._pending.begin(begun)
            try:
                key = await self._kms.provision_principal(
                    ProvisionPrincipal(tenant, begun.principal), ticket=operator.ticket
                )
                request = directory.CreateUser(
                    tenant, begun.principal, str(address), name, password, quota_bytes, key
                )
                info = await self._authority.create_user(request, ticket=operator.ticket)
                await self._set_limit(operator, begun, quota_bytes)
            except PostkeepError as error:
                await self._undo(operator, begun, error)
                raise
            self._pending.finish(begun)
            return info

    async def delete_user(self, operator: Operator, address_text: str) -> Gone:
        """Remove a person with all mail, and destroy the keys: an order like any other."""
        words = ("user_delete", address_text)
        async with self._one_at_a_time:
            await self._resume(operator)
            gone = await self._removals.removed_meanwhile(operator, words)
            if gone is not None:
                return gone
            try:
                info = await self._find_with_mail(operator, address_text)
            except NotFoundError:
                if operator.again:
                    return await self._removals.removed(operator)
                raise
            await self.record(operator, "user_delete", tenant=info.tenant, principal=info.principal)
            return await self._removals.remove(operator, info.tenant, info.principal, words)

    async def _find_with_mail(self, operator: Operator, address_text: str) -> directory.UserInfo:
        """Find a person, or a group with a mailbox."""
        info = await self.find(operator, address_text)
        kind = "group" if info.kind == "group" and info.has_mailbox else "user"
        return await self.find(operator, address_text, kind=kind)

    async def set_quota(self, operator: Operator, address: str, quota_bytes: int | None) -> None:
        """Change a person's limit in the directory and in the vault."""
        info = await self.find(operator, address, kind="user")
        await self.record(operator, "user_quota", tenant=info.tenant, principal=info.principal)
        await self._authority.set_quota(
            directory.SetQuota(info.principal, quota_bytes), ticket=operator.ticket
        )
        await self._vault.set_quota(
            SetQuota(info.tenant, info.principal, quota_bytes), ticket=operator.ticket
        )

    async def find(self, operator: Operator, address_text: str, *, kind: str = "") -> directory.UserInfo:
        """Find who has an address; with `kind`, insist on that kind and on its primary address."""
        address = parse_address(address_text)
        info = await self._authority.find(directory.Find(str(address)), ticket=operator.ticket)
        if kind and (info.kind != kind or parse_address(info.address).key != address.key):
            what = f"an alias of a {info.kind}" if info.kind == kind else f"a {info.kind}"
            raise InvalidInputError(public_text=f"{address} is {what}, not a {kind}.")
        return info

    # --- the steps ---

    async def _tenant_of(self, operator: Operator, domain: str) -> directory.TenantInfo | None:
        try:
            return await self._authority.find_tenant(directory.FindTenant(domain), ticket=operator.ticket)
        except NotFoundError:
            return None

    async def _made_already(
        self, operator: Operator, address: Address, principal: bytes
    ) -> directory.UserInfo | None:
        """Return what this command has made when it was sent before; ConflictError if others have it."""
        try:
            found = await self._authority.find(directory.Find(str(address)), ticket=operator.ticket)
        except NotFoundError:
            return None
        if operator.again and found.principal == principal:
            return found
        raise ConflictError(public_text=f"The address {address} is taken.")

    async def _set_limit(self, operator: Operator, begun: Begun, quota_bytes: int | None) -> None:
        if quota_bytes is not None:
            await self._vault.set_quota(
                SetQuota(begun.tenant, begun.principal, quota_bytes), ticket=operator.ticket
            )

    async def _undo(self, operator: Operator, begun: Begun, error: PostkeepError) -> None:
        """Undo a creation that was refused; where a keeper is away, leave it to the next act."""
        if not error.temporary:
            await self._settle_creation(operator, begun)

    async def _resume(self, operator: Operator) -> None:
        """Settle what was interrupted.

        A creation that this very command has begun is left as it is: the command goes on with it. Removals
        that an earlier release has begun become orders.
        """
        for begun in self._pending.all():
            if operator.again and operator.token == begun.made:
                continue
            if begun.act in {Act.DELETE_TENANT, Act.DELETE_USER}:
                with contextlib.suppress(NotFoundError):  # its keys have gone already: the last step
                    await self._removals.remove(dataclasses.replace(operator, token=b""), *begun[1:])
                self._pending.finish(begun)
            else:
                await self._settle_creation(operator, begun)

    async def _settle_creation(self, operator: Operator, begun: Begun) -> None:
        """Finish what the directory knows; destroy the keys of what it does not know."""
        ticket = operator.ticket
        tenants = (await self._authority.list_tenants(directory.ListTenants(), ticket=ticket)).tenants
        known = any(tenant.tenant == begun.tenant for tenant in tenants)
        if begun.act is Act.CREATE_USER and known:
            listed = await self._authority.list_principals(
                directory.ListPrincipals(begun.tenant, "user"), ticket=ticket
            )
            info = next((one for one in listed.principals if one.principal == begun.principal), None)
            known = info is not None
            if info is not None:
                await self._set_limit(operator, begun, info.quota_bytes)
        if not known:
            await self._kms.discard(
                Discard(begun.tenant, b"" if begun.principal == NOBODY else begun.principal), ticket=ticket
            )
        self._pending.finish(begun)
