"""Administration of the directory: companies, domains, people, groups, addresses, app passwords.

Called by the steward with the operator's staff ticket. Each change is one transaction, takes the directory
one version on, and stands in the ledger without a name or an address.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from postkeep.base.address import Address, parse_address, parse_domain
from postkeep.base.errors import ConflictError, InvalidInputError, LimitError, NotFoundError
from postkeep.base.ids import ID_BYTES, NOBODY, new_id
from postkeep.protocols.sasl.scram import SALT_BYTES
from postkeep.services.authority import api
from postkeep.services.authority.passwords import Credential, Passwords
from postkeep.services.authority.routes import GROUP_MEMBERS_MAX
from postkeep.services.authority.sealing import PrincipalNames, SealedText, TenantNames
from postkeep.services.authority.state import AuthorityState
from postkeep.services.kms.api import SignedPublicKey
from postkeep.stores.authority_access import CredentialRow
from postkeep.stores.authority_directory import AddressRow, PrincipalRow, SealedAddress, TenantRow
from postkeep.tickets.clear import Grant

NAME_CHARACTERS_MAX: Final = 200
"""Characters of a company's, person's or device's name."""

APP_PASSWORDS_MAX: Final = 32
"""App passwords of one user: each is tried at a sign-in."""

PROTOCOLS: Final = frozenset({"imap", "submission"})
REVOCABLE: Final = frozenset({"session", "user", "tenant", "instance"})


class Administration:
    """The administrative methods."""

    def __init__(self, state: AuthorityState, passwords: Passwords) -> None:
        self._state = state
        self._passwords = passwords

    # --- companies ---

    async def create_tenant(self, grant: Grant, request: api.CreateTenant) -> api.TenantInfo:
        """Make a company. Repeating it with the same identifier and domain changes nothing."""
        tenant, domain = _identifier(request.tenant), parse_domain(request.domain)
        if request.queue_key.tenant != tenant:
            raise InvalidInputError("the queue's key is another tenant's")
        owner = (await self._state.directory.domains([domain])).get(domain)
        if owner != tenant:
            key = request.queue_key
            names = TenantNames(_name(request.name or domain))
            row = TenantRow(
                tenant,
                "active",
                self._state.seal.seal(names, "tenants", tenant),
                key.principal,
                key.generation,
                key.public_key,
                key.signature,
                self._state.clock.now_ms(),
            )
            self._state.changed(
                await self._state.directory.add_tenant(row, domain), grant, "tenant.create", tenant=tenant
            )
        (info,) = await self._tenant_infos([await self._state.directory.tenant(tenant)])
        return info

    async def list_tenants(self, _grant: Grant, _request: api.ListTenants) -> api.TenantList:
        """List companies by name."""
        infos = await self._tenant_infos(await self._state.directory.tenants())
        return api.TenantList(sorted(infos, key=lambda info: (info.name.casefold(), info.tenant)))

    async def find_tenant(self, _grant: Grant, request: api.FindTenant) -> api.TenantInfo:
        """Find the company that owns a domain."""
        tenant = await self._owner_of(parse_domain(request.domain))
        (info,) = await self._tenant_infos([await self._state.directory.tenant(tenant)])
        return info

    async def add_domain(self, grant: Grant, request: api.AddDomain) -> api.Done:
        """Give a company one more domain."""
        version = await self._state.directory.add_domain(parse_domain(request.domain), request.tenant)
        self._state.changed(version, grant, "domain.add", tenant=request.tenant)
        return api.Done()

    async def remove_domain(self, grant: Grant, request: api.RemoveDomain) -> api.Done:
        """Take a domain away; refused while addresses use it."""
        domain = parse_domain(request.domain)
        tenant = await self._owner_of(domain)
        version = await self._state.directory.remove_domain(domain)
        self._state.changed(version, grant, "domain.remove", tenant=tenant)
        return api.Done()

    # --- people and groups ---

    async def create_user(self, grant: Grant, request: api.CreateUser) -> api.UserInfo:
        """Make a person. Repeating it with the same identifier and address changes nothing."""
        tenant, principal = _identifier(request.tenant), _identifier(request.principal)
        key = request.public_key
        if (key.tenant, key.principal) != (tenant, principal):
            raise InvalidInputError("the public key is another principal's")
        _check_quota(request.quota_bytes)
        address = await self._free_address(request.address, tenant, principal)
        if address is not None:
            salt = secrets.token_bytes(SALT_BYTES)
            names = PrincipalNames(str(address), _name(request.name), salt)
            credential = None
            if request.password is not None:
                made = await self._passwords.make(request.password, salt, names.scram_iterations)
                credential = self._credential_row(tenant, principal, "password", made)[:6]
            version = await self._state.directory.add_principal(
                self._principal_row(tenant, principal, "user", names, request.quota_bytes, key),
                self._address_row(address, tenant, principal, is_primary=True),
                credential,
            )
            self._state.changed(version, grant, "user.create", tenant=tenant, principal=principal)
        return await self._info(await self._state.directory.principal(principal))

    async def create_group(self, grant: Grant, request: api.CreateGroup) -> api.UserInfo:
        """Make a group."""
        tenant, principal = _identifier(request.tenant), _identifier(request.principal)
        members = self._members(principal, request.members)
        address = await self._free_address(request.address, tenant, principal)
        if address is not None:
            names = PrincipalNames(str(address), _name(request.name))
            version = await self._state.directory.add_principal(
                self._principal_row(tenant, principal, "group", names, None, None),
                self._address_row(address, tenant, principal, is_primary=True),
                None,
                members,
            )
            self._state.changed(version, grant, "group.create", tenant=tenant, principal=principal)
        return await self._info(await self._state.directory.principal(principal))

    async def set_members(self, grant: Grant, request: api.SetMembers) -> api.Done:
        """Replace a group's members."""
        row = await self._of_kind(request.principal, "group")
        members = self._members(row.principal, request.members)
        version = await self._state.directory.set_members(row.tenant, row.principal, members)
        self._state.changed(version, grant, "group.members", tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def find(self, _grant: Grant, request: api.Find) -> api.UserInfo:
        """Find the user or group that owns an address."""
        lookup = self._state.seal.lookup(parse_address(request.address))
        row = (await self._state.directory.owners([lookup])).get(lookup)
        if row is None:
            raise NotFoundError("nobody has this address", public_text="There is no such address.")
        return await self._info(row)

    async def list_principals(self, _grant: Grant, request: api.ListPrincipals) -> api.PrincipalList:
        """List a company's users or groups, by address."""
        infos = await self._infos(await self._state.directory.principals(request.tenant, request.kind))
        return api.PrincipalList(sorted(infos, key=lambda info: info.address))

    async def set_password(self, grant: Grant, request: api.SetPassword) -> api.Done:
        """Set a user's password and end the user's sessions."""
        row = await self._of_kind(request.principal, "user")
        names = self._names(row)
        made = await self._passwords.make(request.password, names.scram_salt, names.scram_iterations)
        revocation = api.Revoke("user", row.principal.hex())
        await self._state.tell(
            self._state.access.replace_password(
                self._credential_row(row.tenant, row.principal, "password", made),
                revocation=(revocation.scope, revocation.subject, self._state.clock.now_ms),
            )
        )
        self._state.note_revocation(revocation, grant)
        self._state.note_change(grant, "user.password", tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def set_status(self, grant: Grant, request: api.SetStatus) -> api.Done:
        """Enable or disable a user or group; disabling ends live sessions."""
        if request.status not in {"active", "disabled"}:
            raise InvalidInputError("a status is `active` or `disabled`")
        row = await self._state.directory.principal(request.principal)
        version = await self._state.directory.set_status(row.principal, request.status)
        if request.status == "disabled":
            await self._state.revoke(grant, api.Revoke("user", row.principal.hex()))
        note = f"{row.kind}.{request.status}"
        self._state.changed(version, grant, note, tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def set_quota(self, grant: Grant, request: api.SetQuota) -> api.Done:
        """Set or lift a user's quota; the vault is told by the steward."""
        _check_quota(request.quota_bytes)
        row = await self._of_kind(request.principal, "user")
        version = await self._state.directory.set_quota(row.principal, request.quota_bytes)
        self._state.changed(version, grant, "user.quota", tenant=row.tenant, principal=row.principal)
        return api.Done()

    # --- addresses ---

    async def create_alias(self, grant: Grant, request: api.CreateAlias) -> api.Done:
        """Give a user or group one more address."""
        row = await self._state.directory.principal(request.principal)
        address = await self._free_address(request.address, row.tenant, row.principal)
        if address is not None:
            version = await self._state.directory.add_alias(
                self._address_row(address, row.tenant, row.principal, is_primary=False)
            )
            self._state.changed(version, grant, "alias.create", tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def delete_alias(self, grant: Grant, request: api.DeleteAlias) -> api.Done:
        """Take an alias away; a primary address stays."""
        lookup = self._state.seal.lookup(parse_address(request.address))
        row = (await self._state.directory.owners([lookup])).get(lookup)
        if row is None:
            raise NotFoundError("no such alias", public_text="There is no such address.")
        addresses = await self._state.directory.addresses_of([row.principal])
        if any(item.lookup == lookup and item.is_primary for item in addresses):
            raise ConflictError("a primary address", public_text="This is a primary address, not an alias.")
        version = await self._state.directory.remove_alias(lookup)
        self._state.changed(version, grant, "alias.delete", tenant=row.tenant, principal=row.principal)
        return api.Done()

    async def grant_address(self, grant: Grant, request: api.GrantAddress) -> api.Done:
        """Let a user send as one more address, of the user's own company."""
        row = await self._of_kind(request.principal, "user")
        address = parse_address(request.address)
        if (await self._state.directory.domains([address.domain])).get(address.domain) != row.tenant:
            raise NotFoundError(
                "not a domain of the user's company", public_text="The domain is not the company's."
            )
        lookup = self._state.seal.lookup(address)
        sealed = self._state.seal.seal(SealedText(str(address)), "sender_grants", row.principal, lookup)
        version = await self._state.directory.add_sender_grant(
            row.tenant, SealedAddress(row.principal, lookup, sealed)
        )
        self._state.changed(version, grant, "user.sender", tenant=row.tenant, principal=row.principal)
        return api.Done()

    # --- app passwords ---

    async def create_app_password(self, grant: Grant, request: api.CreateAppPassword) -> api.AppPassword:
        """Make one more password for one device; the answer alone shows it."""
        row = await self._of_kind(request.principal, "user")
        if not set(request.protocols) <= PROTOCOLS:
            raise InvalidInputError("a protocol is `imap` or `submission`")
        held = await self._state.access.credentials(row.principal)
        if request.id and any(item.id == _identifier(request.id) for item in held):
            await self.delete_app_password(grant, api.DeleteAppPassword(row.principal, request.id))
            held = await self._state.access.credentials(row.principal)
        if sum(item.kind == "app" for item in held) >= APP_PASSWORDS_MAX:
            raise LimitError(f"at most {APP_PASSWORDS_MAX} app passwords")
        names = self._names(row)
        password, made = await self._passwords.make_app(
            names.scram_salt,
            names.scram_iterations,
            _name(request.name),
            request.protocols,
            self._state.seal.app_key,
        )
        credential = self._credential_row(row.tenant, row.principal, "app", made, request.id)
        await self._state.access.add_credential(credential)
        self._state.note_change(grant, "app_password.create", tenant=row.tenant, principal=row.principal)
        return self._app_password(credential, made, password)

    async def list_app_passwords(self, _grant: Grant, request: api.ListAppPasswords) -> api.AppPasswordList:
        """List a user's app passwords, oldest first, without the passwords."""
        rows = await self._state.access.credentials(request.principal)
        return api.AppPasswordList(
            [
                self._app_password(
                    row, self._state.seal.open(row.sealed, Credential, "credentials", row.principal, row.id)
                )
                for row in rows
                if row.kind == "app"
            ]
        )

    async def delete_app_password(self, grant: Grant, request: api.DeleteAppPassword) -> api.Done:
        """Take an app password away and end the sessions opened with it."""
        row = await self._of_kind(request.principal, "user")
        for session in await self._state.access.remove_credential(row.principal, request.id, "app"):
            await self._state.revoke(grant, api.Revoke("session", session.hex()))
        self._state.note_change(grant, "app_password.delete", tenant=row.tenant, principal=row.principal)
        return api.Done()

    # --- revocation ---

    async def revoke(self, grant: Grant, request: api.Revoke) -> api.Done:
        """Void everything issued to a session, user, tenant or module instance."""
        if request.scope not in REVOCABLE:
            raise InvalidInputError("no such scope")
        if request.scope != "instance":
            try:
                _identifier(bytes.fromhex(request.subject))
            except ValueError as exc:
                raise InvalidInputError("not an identifier") from exc
        await self._state.revoke(grant, request)
        return api.Done()

    # --- inside ---

    async def _owner_of(self, domain: str) -> bytes:
        tenant = (await self._state.directory.domains([domain])).get(domain)
        if tenant is None:
            raise NotFoundError("no such domain", public_text="There is no such domain.")
        return tenant

    async def _of_kind(self, principal: bytes, kind: str) -> PrincipalRow:
        row = await self._state.directory.principal(principal)
        if row.kind != kind:
            raise InvalidInputError(f"not a {kind}")
        return row

    async def _free_address(self, text: str, tenant: bytes, principal: bytes) -> Address | None:
        """Return an address that may be given out; None if this very principal has it already."""
        address = parse_address(text)
        if (await self._state.directory.domains([address.domain])).get(address.domain) != tenant:
            raise NotFoundError(
                "not a domain of this company", public_text="The domain is not the company's."
            )
        lookup = self._state.seal.lookup(address)
        owner = (await self._state.directory.owners([lookup])).get(lookup)
        if owner is None:
            return address
        if owner.principal != principal:
            raise ConflictError("the address is taken", public_text="The address exists already.")
        return None

    def _address_row(
        self, address: Address, tenant: bytes, principal: bytes, *, is_primary: bool
    ) -> AddressRow:
        lookup = self._state.seal.lookup(address)
        sealed = self._state.seal.seal(SealedText(str(address)), "addresses", lookup)
        return AddressRow(lookup, tenant, principal, is_primary, address.domain, sealed)

    def _principal_row(  # noqa: PLR0917 - a row's fields in the row's order
        self,
        tenant: bytes,
        principal: bytes,
        kind: str,
        names: PrincipalNames,
        quota_bytes: int | None,
        key: SignedPublicKey | None,
    ) -> PrincipalRow:
        return PrincipalRow(
            tenant,
            principal,
            kind,
            "active",
            self._state.seal.seal(names, "principals", tenant, principal),
            quota_bytes,
            key.generation if key else None,
            key.public_key if key else None,
            key.signature if key else None,
            self._state.clock.now_ms(),
        )

    def _credential_row(
        self, tenant: bytes, principal: bytes, kind: str, made: Credential, identifier: bytes = b""
    ) -> CredentialRow:
        credential = _identifier(identifier) if identifier else new_id()
        sealed = self._state.seal.seal(made, "credentials", principal, credential)
        return CredentialRow(tenant, principal, credential, kind, sealed, self._state.clock.now_ms())

    def _members(self, group: bytes, texts: Sequence[str]) -> list[SealedAddress]:
        if len(texts) > GROUP_MEMBERS_MAX:
            raise LimitError(f"at most {GROUP_MEMBERS_MAX} members")
        seal = self._state.seal
        members = {}
        for address in map(parse_address, texts):
            lookup = seal.lookup(address)
            sealed = seal.seal(SealedText(str(address)), "members", group, lookup)
            members[lookup] = SealedAddress(group, lookup, sealed)
        return list(members.values())

    def _names(self, row: PrincipalRow) -> PrincipalNames:
        return self._state.seal.open(row.sealed, PrincipalNames, "principals", row.tenant, row.principal)

    def _app_password(self, row: CredentialRow, made: Credential, password: str = "") -> api.AppPassword:
        return api.AppPassword(
            row.id, made.name, list(made.protocols), row.created_ms, row.last_used_ms, password
        )

    async def _tenant_infos(self, rows: Sequence[TenantRow]) -> list[api.TenantInfo]:
        domains = await self._state.directory.domains_of([row.tenant for row in rows])
        users = await self._state.directory.user_counts()
        return [
            api.TenantInfo(
                row.tenant,
                self._state.seal.open(row.sealed, TenantNames, "tenants", row.tenant).name,
                [domain for tenant, domain in domains if tenant == row.tenant],
                row.status,
                users.get(row.tenant, 0),
                row.created_ms,
            )
            for row in rows
        ]

    async def _info(self, row: PrincipalRow) -> api.UserInfo:
        (info,) = await self._infos([row])
        return info

    async def _infos(self, rows: Sequence[PrincipalRow]) -> list[api.UserInfo]:
        """Describe principals, with two questions to the database for all of them."""
        seal, directory = self._state.seal, self._state.directory
        principals = [row.principal for row in rows]
        aliases = _by_principal(
            (item.principal, seal.open(item.sealed, SealedText, "addresses", item.lookup).text)
            for item in await directory.addresses_of(principals)
            if not item.is_primary
        )
        members = _by_principal(
            (item.principal, seal.open(item.sealed, SealedText, "members", item.principal, item.lookup).text)
            for item in await directory.members_of(principals)
        )
        infos = []
        for row in rows:
            names = self._names(row)
            infos.append(
                api.UserInfo(
                    tenant=row.tenant,
                    principal=row.principal,
                    kind=row.kind,
                    address=names.address,
                    name=names.name,
                    status=row.status,
                    aliases=sorted(aliases.get(row.principal, [])),
                    members=sorted(members.get(row.principal, [])),
                    quota_bytes=row.quota_bytes,
                    created_ms=row.created_ms,
                    last_sign_in_ms=row.last_sign_in_ms,
                    has_mailbox=row.public_key is not None,
                )
            )
        return infos


def _by_principal(pairs: Iterable[tuple[bytes, str]]) -> dict[bytes, list[str]]:
    grouped: dict[bytes, list[str]] = {}
    for principal, text in pairs:
        grouped.setdefault(principal, []).append(text)
    return grouped


def _identifier(value: bytes) -> bytes:
    if len(value) != ID_BYTES or value == NOBODY:
        raise InvalidInputError("not an identifier")
    return value


def _name(text: str) -> str:
    if len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInputError(public_text=f"A name has at most {NAME_CHARACTERS_MAX} printable characters.")
    return text


def _check_quota(quota_bytes: int | None) -> None:
    if quota_bytes is not None and not 0 <= quota_bytes < 2**63:
        raise InvalidInputError(public_text="The quota is out of range.")
