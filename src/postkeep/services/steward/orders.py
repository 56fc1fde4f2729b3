"""Taking a destruction order through its steps. What is known is durable before each act, each act may be
done again, and a step is taken only when its act has answered: so a crash at any point is gone on from.

Until the keys are destroyed the operator waits; the rest (room given back, backups, the search, the
certificate) is done in the background, by a steward that has started anew too. So is everything of an order
that had to wait for approvals, once they are there.
"""

import asyncio
import base64
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from postkeep.base.clock import Clock
from postkeep.base.errors import (
    ApprovalNeededError,
    NotFoundError,
    PostkeepError,
    RefusedError,
    UnavailableError,
)
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.model.warrant import Unit
from postkeep.services.authority.api import IssueOperation
from postkeep.services.destruction import certificate
from postkeep.services.destruction.hold import HELD_CODE, Hold, held_error, standing_on
from postkeep.services.destruction.order import (
    Order,
    Step,
    advance,
    check,
    mark,
    next_step,
    refuse,
    wait,
)
from postkeep.services.destruction.scan import Scan
from postkeep.services.kms.api import Certify
from postkeep.services.ledger.api import Entries, Inclusion
from postkeep.services.ledger.trail import EventFields, Trail
from postkeep.services.steward import acts
from postkeep.services.steward.api import Gone
from postkeep.services.steward.approvals import Approvals, GrantToken
from postkeep.services.steward.control import Operator
from postkeep.services.vault.destruction_api import Purge
from postkeep.stores.steward_orders import OrderRows

ORDERS_SEARCHED_MAX: Final = 4
"""Orders in one search: each has at most some fifty fingerprints, and each of those costs a pass."""
SEARCH_WAIT_MS_MAX: Final = 3600 * 1000
"""How long an order that is not urgent waits for others: a search reads every byte of the node."""
EVERY_SECONDS: Final = 60.0
"""Between looks at orders that wait: for backups, or for a keeper that was away."""
APPROVALS_SECONDS: Final = 2.0
"""Between looks at whether approvals have come; nobody is asked while no order waits for any."""
ENDED_CODE: Final = "refused.request_ended"
"""What the authority says of a request that was declined or withdrawn, or whose time has run out."""
ASKED_MAX: Final = 1000
"""Commands remembered that were told to wait for approvals: as many as requests may be open."""
CHECKPOINT_SECONDS_MAX: Final = 30.0
"""How long a checkpoint over a new entry is waited for; kms signs one about every second."""
CHECKPOINT_PAUSE_SECONDS: Final = 0.25
FOREGROUND: Final = Step.DESTROYED
"""How far an operator's command goes."""

_log = structlog.get_logger(__name__)


class Orders:
    """All orders of the node."""

    def __init__(
        self,
        keepers: acts.Keepers,
        approvals: Approvals,
        rows: OrderRows,
        *,
        search: Callable[[bytes], Awaitable[bytes]] | None,
        state: Path,
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._keepers = keepers
        self._approvals = approvals
        self._rows = rows
        self._search = search
        self._state = state
        self._trail = trail
        self._clock = clock
        self._turns: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wake = asyncio.Event()
        self._awaited: dict[bytes, bytes] = {}
        """Requests that orders wait for, with the order."""
        self._asked: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        """Commands that were told to wait, by who gave them and their words: given again, they are told what
        came of their order, which has gone on meanwhile."""

    async def find(self, order: bytes) -> Order:
        """Return an order; NotFoundError if there is none."""
        body = await self._rows.order(order)
        if body is None:
            raise NotFoundError(code="not_found.order", public_text="There is no such order.")
        return _decode(body)

    async def newest(self, limit: int) -> list[Order]:
        """Return the newest orders."""
        return [_decode(body) for body in await self._rows.orders(limit)]

    async def make(
        self, operator: Operator, wanted: Order, words: tuple[str, ...] = (), *, wait_for_release: bool = True
    ) -> Order:
        """Make an order, or go on with the open one for the same, until the keys are destroyed.

        It comes back earlier if it has to wait. ApprovalNeededError while others must approve it: it goes on
        by itself then, and `answer` knows the `words` of the command. Under a legal hold: the order waits, or
        (not `wait_for_release`) RefusedError and there is none.
        """
        check(wanted)
        same = [order for order in await self._open() if order.digest() == wanted.digest()]
        if wanted.unit is Unit.BACKUP and not same:
            await self._keepers.backups.find_backup(wanted.backup)
        order = same[0] if same else wanted
        if not wait_for_release:
            await self._check_free(order)
        async with self._turns[order.id]:
            order = await self._latest(order)
            try:
                order = await self._until(order, operator, FOREGROUND)
            except ApprovalNeededError:
                self._asked[operator.actor, *words] = order.id
                while len(self._asked) > ASKED_MAX:
                    self._asked.popitem(last=False)
                raise
        self._asked.pop((operator.actor, *words), None)
        return order

    async def answer(self, operator: Operator, words: tuple[str, ...]) -> Order | None:
        """Return the order that a command was told to wait for, if it has gone on by itself since; the same
        command given once more is a new one."""
        known = self._asked.get((operator.actor, *words))
        if known is None:
            return None
        async with self._turns[known]:
            order = await self.find(known)
        if order.waiting == "approval":
            return None
        del self._asked[operator.actor, *words]
        return await self.resume(operator, known) if order.reached(Step.APPROVED) else None

    async def remove(
        self, operator: Operator, tenant: bytes, principal: bytes, words: tuple[str, ...] = ()
    ) -> Gone:
        """Destroy a person, or (NOBODY) a company, at once; RefusedError under a legal hold."""
        order = Order(
            id=operator.new_id(),
            unit=Unit.TENANT if principal == NOBODY else Unit.PERSON,
            made_ms=self._clock.now_ms(),
            requester=operator.actor,
            tenant=tenant,
            principal=principal,
            thorough=False,
        )
        return await self._gone(await self.make(operator, order, words, wait_for_release=False))

    async def removed_meanwhile(self, operator: Operator, words: tuple[str, ...]) -> Gone | None:
        """Say what a removal has destroyed that was told to wait for approvals; None if there is none."""
        order = await self.answer(operator, words)
        return None if order is None else await self._gone(order)

    async def removed(self, operator: Operator) -> Gone:
        """Say what this very command, sent before, has destroyed; nothing if it is not known."""
        body = await self._rows.order(operator.token) if operator.token else None
        if body is None:
            return Gone(0, 0)
        return await self._gone(await self.resume(operator, operator.token))

    async def _gone(self, order: Order) -> Gone:
        if order.waiting == "held":
            await self._check_free(order)
        return Gone(order.messages, order.keys)

    async def resume(self, operator: Operator, order: bytes) -> Order:
        """Try now what an order waits for."""
        found = await self.find(order)
        async with self._turns[order]:
            found = await self._latest(found)
            if found.waiting and found.reached(FOREGROUND):
                found = await self._save(wait(found, ""))
                self._wake.set()
            return await self._until(found, operator, FOREGROUND)

    async def release(self, operator: Operator, hold: Hold) -> None:
        """Go on with the orders that a hold has kept back."""
        for order in await self._open():
            if order.waiting == "held" and hold.id.hex() in order.waiting_for:
                try:
                    await self.resume(operator, order.id)
                except PostkeepError as error:  # one that has to wait for something else keeps no other back
                    _log.info("order_waits", order=order.id.hex(), code=error.code)

    async def work(self) -> None:
        """Take the steps that need nobody, again and again, until cancelled."""
        while True:
            try:
                await self.round()
            except PostkeepError as error:
                _log.warning("orders_wait", code=error.code)
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def watch(self) -> None:
        """Go on with orders as their approvals come, until cancelled."""
        known = False
        while True:
            try:
                if not known:
                    await self.look_out()
                    known = True
                await self.take_up()
            except PostkeepError as error:
                _log.warning("approvals_wait", code=error.code)
            await asyncio.sleep(APPROVALS_SECONDS)

    async def look_out(self) -> None:
        """Wait for the approvals that orders of an earlier start wait for."""
        for order in await self._open():
            self._await(order)

    async def take_up(self) -> None:
        """Go on with the orders whose requests are approved, or over."""
        if not self._awaited:
            return
        for request in await self._approvals.settled(list(self._awaited)):
            order = await self.find(self._awaited.pop(request))
            await self._quietly(order, Step.UNBACKED)
            self._await(await self.find(order.id))  # a keeper was away: soon again

    async def round(self) -> None:
        """Take every step that can be taken now without an operator."""
        for order in await self._open():
            if order.waiting != "approval":
                await self._quietly(order, Step.UNBACKED)
        ready = [one for one in await self._open() if one.step is Step.UNBACKED and not one.waiting]
        await self._search_for(ready)
        for order in await self._open():
            if order.reached(Step.VERIFIED):
                await self._quietly(order, Step.CERTIFIED)

    # --- going on ---

    async def _quietly(self, order: Order, last: Step) -> None:
        async with self._turns[order.id]:
            try:
                order = await self._latest(order)
                if order.request:
                    await self._until(order, None, last)
                elif order.waiting == "held" and not await self._held(order):
                    await self._save(wait(order, "operator"))
            except PostkeepError as error:
                _log.warning("order_waits", order=order.id.hex(), step=order.step.value, code=error.code)

    async def _search_for(self, ready: list[Order]) -> None:
        """Search once for all orders that are ready, if one of them is urgent or has waited long enough."""
        now_ms = self._clock.now_ms()
        due = any(one.thorough or now_ms - one.times[Step.UNBACKED] > SEARCH_WAIT_MS_MAX for one in ready)
        if not due:
            return
        chosen = ready[:ORDERS_SEARCHED_MAX]
        kept = [one for one in chosen if one.unit is not Unit.BACKUP]
        scans = await acts.search(kept, self._search, self._state) if kept else []
        found = {order.id: scan for order, scan in zip(kept, scans, strict=True)}
        for order in chosen:
            await self._verified(order, found.get(order.id))

    async def _verified(self, order: Order, scan: Scan | None) -> None:
        """Take note of a search: only one that found nothing, and could have, makes an order verified."""
        async with self._turns[order.id]:
            order = await self._latest(order)
            if order.step is not Step.UNBACKED:
                return
            if scan is not None and not scan.clean:
                _log.error("destroyed_key_found", order=order.id.hex(), places=len(scan.found))
                await self._save(msgspec.structs.replace(wait(order, "found", scan.found), scan=scan))
                return
            self._note(await self._save(advance(order, Step.VERIFIED, self._clock.now_ms(), scan=scan)))

    async def _until(self, order: Order, operator: Operator | None, last: Step) -> Order:
        """Take steps until `last` is taken or the order waits; what it then stands at is durable."""
        grant: GrantToken | None = None
        while (step := next_step(order)) is not None and not order.reached(last):
            try:
                if not order.reached(Step.DELETED) and (held := await self._held(order)):
                    return await self._save(wait(order, "held", held))
                if step is Step.CLEARED:
                    order = advance(order, step, self._clock.now_ms())
                    continue
                if not order.reached(Step.DESTROYED) and grant is None:
                    order, grant = await self._grant(order, operator)
                order = await self._step(order, step, grant)
            except ApprovalNeededError:
                self._await(await self._save(wait(await self._latest(order), "approval")))
                raise
            except PostkeepError as error:
                order = await self._stopped(await self._latest(order), error)
                if operator is not None and order.waiting != "held":
                    raise
                return order
            await self._save(order)
            if order.waiting:
                return order
            self._note(order)
        self._wake.set()
        return order

    async def _stopped(self, order: Order, error: PostkeepError) -> Order:
        """Have an order say why it does not go on. One of which nothing was done yet is not kept for that."""
        if isinstance(error, NotFoundError) and not order.reached(Step.DELETED):
            return await self._save(refuse(order, self._clock.now_ms(), error.code))
        if error.code == ENDED_CODE and not order.reached(Step.APPROVED):
            return await self._save(refuse(order, self._clock.now_ms(), "request_ended"))
        if error.code == HELD_CODE:
            return await self._save(wait(order, "held", await self._held(order)))
        if order.reached(Step.APPROVED):
            return await self._save(wait(order, "unavailable" if error.temporary else error.code))
        return order

    async def _step(self, order: Order, step: Step, grant: GrantToken | None) -> Order:
        now_ms = self._clock.now_ms()
        ticket = grant.token if grant is not None else b""
        match step:
            case Step.APPROVED:
                assert grant is not None
                await self._trail.record(EventName.ORDER, **self._fields(order, step))
                return advance(order, step, now_ms, request=grant.request.hex())
            case Step.DELETED:
                if order.marks is None:
                    order = await self._save(mark(order, await acts.take_marks(self._keepers, order, ticket)))
                messages = await acts.delete(self._keepers, order, ticket)
                return advance(order, step, now_ms, messages=order.messages + messages)
            case Step.DESTROYED:
                messages, keys = await acts.destroy(self._keepers, order, ticket)
                known = order.marks.keys if order.marks else 0  # where a crash has lost the count
                return advance(order, step, now_ms, messages=order.messages + messages, keys=max(keys, known))
            case Step.PURGED:
                await self._close(order)
                if order.thorough and order.unit is not Unit.BACKUP:
                    await self._keepers.vault.purge(Purge(), ticket=await self._operation())
                return advance(order, step, now_ms)
            case Step.UNBACKED:
                return await self._unback(order)
            case _:
                return await self._certify(order)

    async def _unback(self, order: Order) -> Order:
        if order.unit is not Unit.BACKUP:
            principal, before = order.principal, order.times[Step.DESTROYED]
            left = await self._keepers.backups.still_holding(order.tenant, principal, before)
            if left.ids:
                return wait(order, "backups", left.ids, left.until_ms)
        return advance(order, Step.UNBACKED, self._clock.now_ms())

    async def _certify(self, order: Order) -> Order:
        """Write the certificate: its hash into the ledger first, so that it can't be later than it says."""
        if await self._rows.certificate(order.id) is None:
            ticket = await self._operation()
            note = (await self._keepers.ledger.checkpoint(ticket=ticket)).note
            body = certificate.body_of(order, note.decode().partition("\n")[0])
            digest = certificate.digest_of(body)
            fields = self._fields(order, Step.CERTIFIED)
            fields["digest"] = digest.hex()
            index = await self._trail.record(EventName.ORDER, **fields)
            shredded = order.unit in {Unit.PERSON, Unit.TENANT}
            principal = order.principal if order.unit is Unit.PERSON else b""
            request = Certify(certificate.canonical(body), order.tenant if shredded else NOBODY, principal)
            signed = await self._keepers.kms.certify(request, ticket=ticket)
            proof = await self._prove(index, ticket)
            made = certificate.assemble(body, (signed.ed25519, signed.mldsa44), proof)
            order = await self._save(msgspec.structs.replace(order, index=index))
            await self._rows.save_certificate(order.id, made)
        return advance(order, Step.CERTIFIED, self._clock.now_ms(), index=max(order.index, 0))

    async def _prove(self, index: int, ticket: bytes) -> certificate.LedgerProof:
        """Wait for a checkpoint over an entry, and prove the entry in it."""
        ledger = self._keepers.ledger
        try:
            async with asyncio.timeout(CHECKPOINT_SECONDS_MAX):
                while True:
                    note = (await ledger.checkpoint(ticket=ticket)).note
                    origin, size = note.decode().split("\n", 2)[:2]
                    if int(size) > index:
                        break
                    await asyncio.sleep(CHECKPOINT_PAUSE_SECONDS)
        except TimeoutError:
            raise UnavailableError("no checkpoint over the order's entry yet") from None
        entries = await ledger.entries(Entries(index, 1), ticket=ticket)
        proof = await ledger.inclusion(Inclusion(index, int(size)), ticket=ticket)
        return certificate.LedgerProof(
            index,
            base64.b64encode(entries.entries[0]).decode("ascii"),
            [base64.b64encode(value).decode("ascii") for value in proof.hashes],
            certificate.own_lines(note, origin).decode(),
        )

    # --- what it stands on ---

    async def _grant(self, order: Order, operator: Operator | None) -> tuple[Order, GrantToken]:
        """Return a grant, and the order with the request that it stands on. An operator who comes back to a
        request that is over asks anew."""
        if order.request:
            try:
                return order, await self._approvals.renew(bytes.fromhex(order.request))
            except RefusedError as error:
                if error.code != ENDED_CODE or operator is None or order.reached(Step.APPROVED):
                    raise
        if operator is None:
            raise UnavailableError("the order waits for its operator")
        request = await self._approvals.ask_for(operator, order.warrant)
        order = await self._save(msgspec.structs.replace(order, request=request.hex()))
        return order, await self._approvals.renew(request)

    def _await(self, order: Order) -> None:
        """Look out for the approvals of an order that waits for some."""
        if order.waiting == "approval" and order.request:
            self._awaited[bytes.fromhex(order.request)] = order.id

    async def _close(self, order: Order) -> None:
        """Close the request: what was approved is done, and the same again needs a new yes."""
        await self._approvals.done(GrantToken(b"", 0, bytes.fromhex(order.request)))

    async def _operation(self) -> bytes:
        return (await self._keepers.authority.issue_operation(IssueOperation("certify"))).ticket

    async def _held(self, order: Order) -> list[str]:
        holds = await self._standing()
        return [hold.id.hex() for hold in standing_on(order, holds, self._clock.now_ms())]

    async def _check_free(self, order: Order) -> None:
        held = standing_on(order, await self._standing(), self._clock.now_ms())
        if held:
            raise held_error([(hold.id, hold.kind) for hold in held])

    async def _standing(self) -> list[Hold]:
        return [msgspec.msgpack.decode(body, type=Hold) for body in await self._rows.standing_holds()]

    async def _open(self) -> list[Order]:
        return [_decode(body) for body in await self._rows.open_orders()]

    async def _latest(self, order: Order) -> Order:
        body = await self._rows.order(order.id)
        return order if body is None else _decode(body)

    async def _save(self, order: Order) -> Order:
        body = msgspec.msgpack.encode(order)
        await self._rows.save_order(order.id, order.made_ms, body, is_open=order.open)
        return order

    def _note(self, order: Order) -> None:
        self._trail.note(EventName.ORDER, **self._fields(order, order.step))

    @staticmethod
    def _fields(order: Order, step: Step) -> EventFields:
        """Name the order and its step. Without the tenant: the entry is in the installation's own log."""
        return {
            "note": f"{order.id.hex()} {step.value}",
            "digest": order.digest().hex(),
            "actor": order.requester,
        }


def _decode(body: bytes) -> Order:
    return msgspec.msgpack.decode(body, type=Order)
