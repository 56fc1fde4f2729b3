"""The steward's methods for destruction orders: an operator's words turned into identifiers."""

from typing import Final

import msgspec

from postkeep.base.address import parse_domain
from postkeep.base.clock import Clock
from postkeep.base.errors import ConflictError, InvalidInputError, NotFoundError
from postkeep.base.ids import NOBODY, parse_id
from postkeep.model.categories import Category
from postkeep.model.warrant import Unit
from postkeep.services.authority import api as directory
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.destruction.order import Marks, Order
from postkeep.services.steward import orders_api as api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.orders import Orders
from postkeep.services.vault.client import VaultClient
from postkeep.services.vault.destruction_api import LookOver, MailboxOutline, Outline
from postkeep.stores.steward_orders import OrderRows

DESTROYABLE: Final = (Category.CONTENT, Category.OPERATIONS)
"""Categories that can be destroyed alone, for a company: what its mail says; what of it waits to go out."""
WHY_NOT: Final = {
    Category.METADATA: "Headers are part of the content, so without metadata alone every address and subject "
    "could still be read. Destroy content, a mailbox, a person or the company.",
    Category.ACCOUNT: "Accounts belong to persons: destroy a person, or the company.",
    Category.SECRET: "Keys are destroyed with what they open: destroy a person, or the company.",
    Category.AUDIT: "The ledger forgets nothing, so that it can prove everything else. Personal values in it "
    "are sealed under each person's own key: destroy the person, or the company.",
}
"""Why the others can't."""


class OrderDesk:
    """`steward.order_*`, `steward.look_over` and `steward.certificate`."""

    def __init__(  # noqa: PLR0917 - whom it asks
        self,
        control: Control,
        orders: Orders,
        authority: AuthorityClient,
        vault: VaultClient,
        rows: OrderRows,
        clock: Clock,
    ) -> None:
        self._control = control
        self._orders = orders
        self._authority = authority
        self._vault = vault
        self._rows = rows
        self._clock = clock

    def methods(self) -> Methods:
        """Return the methods by name."""
        return {
            "order_make": (api.OrderMake, self.order_make),
            "order_list": (api.OrderAll, self.order_list),
            "order_show": (api.OrderShow, self.order_show),
            "order_resume": (api.OrderResume, self.order_resume),
            "look_over": (api.Look, self.look_over),
            "certificate": (api.CertificateGet, self.certificate),
        }

    async def order_make(self, operator: Operator, request: api.OrderMake) -> api.OrderInfo:
        """Destroy something."""
        if operator.again and await self._rows.order(operator.token) is not None:
            return order_info(await self._orders.resume(operator, operator.token))
        words = _words(request)
        meanwhile = await self._orders.answer(operator, words)
        if meanwhile is not None:
            return order_info(meanwhile)
        order = await self._named(operator, request)
        await self._control.record(
            operator, f"destroy_{order.unit.value}", tenant=order.tenant, principal=order.principal
        )
        return order_info(await self._orders.make(operator, order, words))

    async def order_list(self, _operator: Operator, request: api.OrderAll) -> api.OrderList:
        """List orders."""
        return api.OrderList([order_info(order) for order in await self._orders.newest(request.limit)])

    async def order_show(self, _operator: Operator, request: api.OrderShow) -> api.OrderInfo:
        """Show an order."""
        return order_info(await self._orders.find(request.order))

    async def order_resume(self, operator: Operator, request: api.OrderResume) -> api.OrderInfo:
        """Go on with an order."""
        found = await self._orders.find(request.order)
        await self._control.record(operator, "order_resume", tenant=found.tenant, principal=found.principal)
        return order_info(await self._orders.resume(operator, request.order))

    async def look_over(self, operator: Operator, request: api.Look) -> Outline:
        """Show what the vault can see of a person's mail."""
        info = await self._control.find(operator, request.address, kind="user")
        await self._control.record(operator, "look_over", tenant=info.tenant, principal=info.principal)
        mailbox = b""
        if request.mailbox:
            mailbox = (await find_mailbox(self._vault, operator, info, request.mailbox)).id
        wanted = LookOver(info.tenant, info.principal, mailbox, request.after_uid)
        return await self._vault.outline(wanted, ticket=operator.ticket)

    async def certificate(self, _operator: Operator, request: api.CertificateGet) -> api.CertificateData:
        """Return a certificate."""
        order = await self._orders.find(request.order)
        found = await self._rows.certificate(request.order)
        if found is None:
            raise ConflictError(
                code="conflict.certificate",
                public_text=f"The order is {order.step.value}, so there is no certificate yet: "
                f"postkeep order show {order.id.hex()}",
            )
        return api.CertificateData(found)

    async def _named(self, operator: Operator, request: api.OrderMake) -> Order:
        """Find what the order is about."""
        try:
            unit = Unit(request.unit)
        except ValueError as exc:
            raise InvalidInputError(public_text=f"The units are: {', '.join(Unit)}.") from exc
        known = Marks(request.salt, request.canaries, len(request.canaries)) if request.canaries else None
        order = Order(
            id=operator.new_id(),
            unit=unit,
            made_ms=self._clock.now_ms(),
            requester=operator.actor,
            reason=request.reason,
            category=request.category,
            backup=request.backup,
            canaries=known,
        )
        if unit is Unit.BACKUP:
            return order
        if unit in {Unit.TENANT, Unit.CATEGORY}:
            return await self._of_tenant(operator, order, request.domain)
        info = await self._control.find(operator, request.address, kind="user")
        order = msgspec.structs.replace(order, tenant=info.tenant, principal=info.principal)
        if unit is Unit.PERSON:
            return order
        box = await find_mailbox(self._vault, operator, info, request.mailbox)
        uids = request.uids if unit is Unit.MESSAGE else [(1, max(1, box.uid_next - 1))]
        return msgspec.structs.replace(order, mailbox=box.id, uids=uids)

    async def _of_tenant(self, operator: Operator, order: Order, domain: str) -> Order:
        if order.unit is Unit.CATEGORY:
            _check_category(order.category)
        found = directory.FindTenant(parse_domain(domain))
        info = await self._authority.find_tenant(found, ticket=operator.ticket)
        return msgspec.structs.replace(order, tenant=info.tenant)


def _check_category(name: str) -> None:
    """Raise InvalidInputError for a category that is not destroyed alone, with the reason."""
    if name in DESTROYABLE:
        return
    if name in WHY_NOT:
        raise InvalidInputError(code=f"invalid.category_{name}", public_text=WHY_NOT[Category(name)])
    raise InvalidInputError(
        code="invalid.category",
        public_text=f"A category that can be destroyed alone is one of: {', '.join(DESTROYABLE)}.",
    )


async def find_mailbox(
    vault: VaultClient, operator: Operator, info: directory.UserInfo, name: str
) -> MailboxOutline:
    """Find a person's mailbox by identifier or role: its name is sealed, and nobody here can read it."""
    seen = await vault.outline(LookOver(info.tenant, info.principal), ticket=operator.ticket)
    try:
        identifier = parse_id(name)
    except ValueError:
        identifier = NOBODY
    for box in seen.mailboxes:
        if box.id == identifier or (box.role and box.role == name.lower()):
            return box
    raise NotFoundError(
        code="not_found.mailbox",
        public_text="There is no such mailbox. Names are sealed: give an identifier or a role (inbox, sent, "
        "drafts, trash, junk, archive) from: postkeep destroy list ADDRESS",
    )


def _words(request: api.OrderMake) -> tuple[str, ...]:
    """Return what a command asks for, alike whenever it is given."""
    told = (request.unit, request.address, request.domain, request.mailbox, request.category, request.backup)
    return (*told, request.reason, *(f"{low}:{high}" for low, high in request.uids))


def order_info(order: Order) -> api.OrderInfo:
    """Show an order."""
    return api.OrderInfo(
        id=order.id,
        unit=order.unit.value,
        step=order.step.value,
        waiting=order.waiting,
        waiting_for=order.waiting_for,
        until_ms=order.until_ms,
        made_ms=order.made_ms,
        requester=order.requester,
        reason=order.reason,
        tenant=order.tenant,
        principal=order.principal,
        request=order.request,
        mailbox=order.mailbox,
        uids=order.uids,
        category=order.category,
        backup=order.backup,
        messages=order.messages,
        keys=order.keys,
        steps=order.times,
        files=order.scan.files if order.scan else 0,
        octets=order.scan.octets if order.scan else 0,
    )
