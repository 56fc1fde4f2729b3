"""Custody of keys: the steward gets the grant and opens the way; secrets never pass through it."""

from postkeep.base.address import parse_domain
from postkeep.base.ids import NOBODY
from postkeep.services.authority.api import FindTenant
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms.client import KmsClient
from postkeep.services.kms.custody_api import (
    CheckCustody,
    Custodian,
    OpenCustody,
    OpenReseal,
    custody_subject,
    reseal_subject,
)
from postkeep.services.steward.api import Done
from postkeep.services.steward.approvals import Approvals
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.custody_api import CustodyOpened, KeyReseal, TenantCustody, TenantCustodyShow
from postkeep.services.steward.desk import Methods

CUSTODY = "custody"


class CustodyDesk:
    """The methods of `custody_api`."""

    def __init__(
        self, control: Control, authority: AuthorityClient, approvals: Approvals, kms: KmsClient
    ) -> None:
        self._authority = authority
        self._control = control
        self._approvals = approvals
        self._kms = kms

    def methods(self) -> Methods:
        """Return the methods."""
        return {
            "key_reseal": (KeyReseal, self.key_reseal),
            "tenant_custody": (TenantCustody, self.tenant_custody),
            "tenant_custody_show": (TenantCustodyShow, self.tenant_custody_show),
        }

    async def key_reseal(self, operator: Operator, request: KeyReseal) -> Done:
        """Have kms expect a change of the root key's seal; ApprovalNeededError under dual control."""
        subject = reseal_subject(request.kind)
        summary = f"Seal the root key by: {request.kind.value}"
        grant = await self._approvals.grant_for(operator, CUSTODY, NOBODY, NOBODY, subject, summary)
        await self._control.record(operator, "key_reseal")
        await self._kms.open_reseal(OpenReseal(request.kind, request.key_digest), ticket=grant.token)
        await self._approvals.done(grant)
        return Done()

    async def tenant_custody(self, operator: Operator, request: TenantCustody) -> CustodyOpened:
        """Have kms expect a change of a tenant's custody; ApprovalNeededError under dual control."""
        tenant = await self._tenant(operator, request.domain)
        subject = custody_subject(tenant, request.custodian)
        to = (
            f"the company's own key ({request.custodian.kind})"
            if request.custodian.kind
            else "no further key"
        )
        summary = f"Wrap a company's key under {to}"
        grant = await self._approvals.grant_for(operator, CUSTODY, tenant, NOBODY, subject, summary)
        await self._control.record(operator, "tenant_custody", tenant=tenant)
        opening = OpenCustody(tenant, request.custodian, request.key_digest)
        await self._kms.open_custody(opening, ticket=grant.token)
        await self._approvals.done(grant)
        return CustodyOpened(tenant)

    async def tenant_custody_show(self, operator: Operator, request: TenantCustodyShow) -> Custodian:
        """Say who has custody of a tenant's key; with `ask`, the custodian is asked at once."""
        tenant = await self._tenant(operator, request.domain)
        if request.ask:
            await self._control.record(operator, "tenant_custody_check", tenant=tenant)
        return await self._kms.check_custody(CheckCustody(tenant, request.ask), ticket=operator.ticket)

    async def _tenant(self, operator: Operator, domain_text: str) -> bytes:
        found = await self._authority.find_tenant(
            FindTenant(parse_domain(domain_text)), ticket=operator.ticket
        )
        return found.tenant
