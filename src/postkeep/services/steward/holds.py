"""Legal holds: the register, and telling the keepers that enforce them.

A hold is placed in vault and kms before it is called active, and released there before it is called released.
What a crash cuts off protects meanwhile, and is finished by the same command again.
"""

import msgspec

from postkeep.base.address import parse_domain
from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, NotFoundError
from postkeep.model.audit import EventName
from postkeep.services.authority import api as directory
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.destruction.hold import REASON_CHARS_MAX, Hold, HoldState, Kind
from postkeep.services.kms import api as kms_api
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.steward import orders_api as api
from postkeep.services.steward.control import Control, Operator
from postkeep.services.steward.desk import Methods
from postkeep.services.steward.orders import Orders
from postkeep.services.steward.orders_desk import find_mailbox
from postkeep.services.vault import destruction_api
from postkeep.services.vault.client import VaultClient
from postkeep.stores.steward_orders import LISTED_MAX, OrderRows


class HoldDesk:
    """`steward.hold_*`."""

    def __init__(  # noqa: PLR0917 - whom it asks
        self,
        control: Control,
        orders: Orders,
        authority: AuthorityClient,
        kms: KmsClient,
        vault: VaultClient,
        rows: OrderRows,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._control = control
        self._orders = orders
        self._authority = authority
        self._kms = kms
        self._vault = vault
        self._rows = rows
        self._trail = trail
        self._clock = clock

    def methods(self) -> Methods:
        """Return the methods by name."""
        return {
            "hold_place": (api.HoldPlace, self.hold_place),
            "hold_list": (api.HoldAll, self.hold_list),
            "hold_show": (api.HoldShow, self.hold_show),
            "hold_release": (api.HoldRelease, self.hold_release),
        }

    async def hold_place(self, operator: Operator, request: api.HoldPlace) -> api.HoldInfo:
        """Place a hold."""
        identifier = operator.new_id()
        known = await self._rows.hold(identifier)
        hold = _decode(known) if known is not None else await self._named(operator, request, identifier)
        await self._save(hold)
        await self._trail.record(EventName.HOLD, note="place", digest=hold.id.hex(), actor=operator.actor)
        kind = hold.kind.value
        placed = destruction_api.Hold(hold.tenant, hold.id, kind, hold.principal, hold.mailbox, hold.until_ms)
        await self._vault.hold(placed, ticket=operator.ticket)
        keys = kms_api.Hold(hold.tenant, hold.id, kind, hold.principal, hold.until_ms)
        await self._kms.hold(keys, ticket=operator.ticket)
        return await self._save(msgspec.structs.replace(hold, state=HoldState.ACTIVE))

    async def hold_list(self, _operator: Operator, request: api.HoldAll) -> api.HoldList:
        """List holds."""
        holds = [_decode(body) for body in await self._rows.holds(LISTED_MAX)]
        now_ms = self._clock.now_ms()
        return api.HoldList([_info(one) for one in holds if request.released or one.standing(now_ms)])

    async def hold_show(self, _operator: Operator, request: api.HoldShow) -> api.HoldInfo:
        """Show a hold."""
        return _info(await self._find(request.hold))

    async def hold_release(self, operator: Operator, request: api.HoldRelease) -> api.HoldInfo:
        """Release a hold, then go on with what it kept back."""
        hold = await self._find(request.hold)
        if hold.state is not HoldState.RELEASED:
            hold = msgspec.structs.replace(hold, state=HoldState.RELEASING, released_by=operator.actor)
            await self._save(hold)
            await self._trail.record(
                EventName.HOLD, note="release", digest=hold.id.hex(), actor=operator.actor
            )
            gone = destruction_api.ReleaseHold(hold.tenant, hold.id)
            await self._vault.release_hold(gone, ticket=operator.ticket)
            released = kms_api.ReleaseHold(hold.tenant, hold.id)
            await self._kms.release_hold(released, ticket=operator.ticket)
            now_ms = self._clock.now_ms()
            hold = msgspec.structs.replace(hold, state=HoldState.RELEASED, released_ms=now_ms)
            await self._save(hold)
        await self._orders.release(operator, hold)
        return _info(hold)

    async def _named(self, operator: Operator, request: api.HoldPlace, identifier: bytes) -> Hold:
        try:
            kind = Kind(request.kind)
        except ValueError as exc:
            raise InvalidInputError(
                code="invalid.hold_class", public_text=f"The classes of reasons are: {', '.join(Kind)}."
            ) from exc
        if not request.reason or len(request.reason) > REASON_CHARS_MAX:
            raise InvalidInputError(
                code="invalid.hold_reason",
                public_text=f"A hold has a reason of at most {REASON_CHARS_MAX} characters.",
            )
        principal = mailbox = b""
        if request.address:
            info = await self._control.find(operator, request.address, kind="user")
            tenant, principal = info.tenant, info.principal
            if request.mailbox:
                mailbox = (await find_mailbox(self._vault, operator, info, request.mailbox)).id
        else:
            found = directory.FindTenant(parse_domain(request.domain))
            tenant = (await self._authority.find_tenant(found, ticket=operator.ticket)).tenant
        return Hold(
            id=identifier,
            tenant=tenant,
            principal=principal,
            mailbox=mailbox,
            kind=kind,
            reason=request.reason,
            placed_by=operator.actor,
            made_ms=self._clock.now_ms(),
            until_ms=request.until_ms,
        )

    async def _find(self, hold: bytes) -> Hold:
        body = await self._rows.hold(hold)
        if body is None:
            raise NotFoundError(code="not_found.hold", public_text="There is no such hold.")
        return _decode(body)

    async def _save(self, hold: Hold) -> api.HoldInfo:
        standing = hold.state is not HoldState.RELEASED
        await self._rows.save_hold(hold.id, hold.made_ms, msgspec.msgpack.encode(hold), standing=standing)
        return _info(hold)


def _decode(body: bytes) -> Hold:
    return msgspec.msgpack.decode(body, type=Hold)


def _info(hold: Hold) -> api.HoldInfo:
    return api.HoldInfo(**msgspec.structs.asdict(hold))
