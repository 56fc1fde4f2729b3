"""The stages in a row: from a message that has arrived to the answer its sender gets.

What can be told at RCPT is told there. What shows only later is settled so: nothing stored, the sender gets
the refusal; something stored and the rest failed for good, the sender gets a 250 and a report for the rest;
something stored and the rest failed for now, the sender is told to try again, and those who have the message
may get it twice, since losing one is worse.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, ParamSpec, TypeVar

from postkeep.base.clock import Clock
from postkeep.base.errors import PostkeepError, QuotaError, RefusedError
from postkeep.base.ids import NOBODY, new_id
from postkeep.protocols.smtp.parameters import MailParameters, RcptParameters
from postkeep.services.authority.api import Route
from postkeep.services.delivery.classify import classify
from postkeep.services.delivery.copies import Copies, Outbound, by_destination, group_outbound, local_copies
from postkeep.services.delivery.decide import Verdict, decide
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.findings import examine
from postkeep.services.delivery.full import FullMailboxes
from postkeep.services.delivery.received import Received, receive
from postkeep.services.delivery.reports import compose
from postkeep.services.delivery.seal import Needs, SealedDeposit, Target, enqueue, place, seal_parts
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.vault.api import DepositResult

P = ParamSpec("P")
R = TypeVar("R")

THREAD_OCTETS: Final = 1024 * 1024
"""Messages above this are summarised and sealed in a thread: on the loop they would hold up the others for
more than some 5 ms."""

TEMPORARY: Final = frozenset({"unavailable", "throttled", "conflict", "internal"})
"""Codes of deposit results after which trying again may help."""

QueueKeys = Callable[[bytes], Awaitable[SignedPublicKey]]
"""Gives the queue's public key for a tenant (NOBODY: the installation's)."""

Resolver = Callable[[list[str]], Awaitable[list[Route]]]
"""Says where mail for addresses goes."""


class Failed(NamedTuple):
    """A principal who did not get the message, and why."""

    principal: bytes
    code: str


@dataclass(slots=True)
class Outcome:
    """What became of the copies of one message."""

    stored: int = 0
    failed: list[Failed] = field(default_factory=list)

    def settle(self, keys: Sequence[SignedPublicKey], result: DepositResult) -> None:
        """Take in the result of one deposit."""
        if result.error:
            self.failed += [Failed(key.principal, result.error) for key in keys]
        else:
            self.stored += 1

    def raise_temporary(self) -> None:
        """Raise the first failure after which trying again may help, if there is one."""
        for failed in self.failed:
            if failed.code in TEMPORARY:
                raise PostkeepError(code=failed.code, temporary=True)


class Pipeline:
    """Delivers messages for one face."""

    def __init__(
        self,
        *,
        hostname: str,
        book: EpochBook,
        depositor: Depositor,
        queue_keys: QueueKeys,
        resolve: Resolver,
        clock: Clock,
    ) -> None:
        self.full = FullMailboxes()
        """Who has no room, for RCPT to know."""
        self._hostname = hostname
        self._book = book
        self._depositor = depositor
        self._queue_keys = queue_keys
        self._resolve = resolve
        self._clock = clock

    async def deliver(self, envelope: Envelope, content: bytes) -> None:
        """Deliver to every mailbox and queue that the envelope's routes name; return when it is durable.

        Raises PostkeepError, with the code of the reason, when the sender must be told so instead.
        """
        received = self.receive(envelope, content)
        verdict = decide(examine(received))
        if verdict.refusal:
            raise RefusedError(code=verdict.refusal)
        outcome = Outcome()
        await self.store(received, verdict, list(local_copies(envelope).values()), outcome)
        await self.forward(received, envelope.recipients, outcome)
        await self.settle(received, outcome)

    def receive(self, envelope: Envelope, content: bytes) -> Received:
        """Take in a message: our trace field, the time."""
        return receive(envelope, content, self._hostname, self._clock.now_ms())

    async def store(
        self, received: Received, verdict: Verdict, copies: Sequence[Copies], outcome: Outcome
    ) -> None:
        """Deposit the inbox copies, one body for each company."""

        async def put(tenant: bytes, keys: list[SignedPublicKey]) -> asyncio.Future[DepositResult]:
            return self._depositor.put(await self.seal_local(received, verdict, tenant, keys))

        octets = received.announced_octets
        waiting = []
        for company in copies:
            keys = []
            for key in company.keys.values():
                if self.full.has_no_room(key.tenant, key.principal, octets):
                    outcome.failed.append(Failed(key.principal, QuotaError.code))
                else:
                    keys.append(key)
            if keys:
                waiting.append((company.tenant, keys, await put(company.tenant, keys)))
        for tenant, keys, future in waiting:
            result = await self._noted(tenant, future, octets)
            if len(keys) == 1 or not result.error or result.error in TEMPORARY:
                outcome.settle(keys, result)
                continue
            # One recipient has spoilt the deposit of all: give each a body, so that only that one fails.
            for key in keys:
                alone = await put(tenant, [key])
                outcome.settle([key], await self._noted(tenant, alone, octets))

    async def _noted(
        self, tenant: bytes, future: "asyncio.Future[DepositResult]", octets: int
    ) -> DepositResult:
        """Wait for a deposit, and remember who had no room."""
        result = await _settled(future)
        for principal in result.full:
            self.full.note(tenant, principal, octets)
        return result

    async def seal_local(
        self, received: Received, verdict: Verdict, tenant: bytes, keys: Sequence[SignedPublicKey]
    ) -> SealedDeposit:
        """Seal one company's body, with a copy for each of the keys."""
        message = received.delivered
        parts = await self._heavy(message, seal_parts, tenant, message)
        targets = [Target(key, verdict.role) for key in keys]
        return place(parts, targets, self._book, classify(received), received.received_ms)

    async def forward(
        self, received: Received, recipients: Sequence[EnvelopeRecipient], outcome: Outcome
    ) -> None:
        """Queue what members of groups outside get."""
        envelope = received.envelope
        for recipient in recipients:
            if not recipient.route.forwards:
                continue
            outbound = group_outbound(recipient, null_sender=envelope.sender is None)
            sealed = await self.seal_outbound(received, recipient.tenant, outbound, needs_of(received), ())
            result = await _settled(self._depositor.put(sealed))
            if result.error:
                # Who is outside has no principal here; the sender is told, and tries again.
                raise PostkeepError(code=result.error, temporary=result.error in TEMPORARY)
            outcome.stored += 1

    async def seal_outbound(
        self,
        received: Received,
        tenant: bytes,
        outbound: Sequence[Outbound],
        needs: Needs,
        targets: Sequence[Target],
    ) -> SealedDeposit:
        """Seal one body for the queue and for `targets` (the sender's Sent mailbox)."""
        message = received.relayed
        parts = await self._heavy(message, seal_parts, tenant, message)
        sealed = place(parts, targets, self._book, classify(received), received.received_ms)
        if not outbound:
            return sealed
        queue_key = await self._queue_keys(tenant)
        return enqueue(sealed, parts, outbound, needs, queue_key, book=self._book)

    async def settle(self, received: Received, outcome: Outcome) -> None:
        """Raise what the sender must be told instead of a 250, or send the reports that go with the 250."""
        outcome.raise_temporary()
        if outcome.failed and not outcome.stored:
            raise PostkeepError(code=outcome.failed[0].code)
        asked = any("SUCCESS" in recipient.parameters.notify for recipient in received.envelope.recipients)
        if outcome.failed or asked:
            failed = {failed.principal: failed.code for failed in outcome.failed}
            report = compose(received, failed, self._hostname, self._clock.now_ms())
            if report is not None:
                await self._send_report(received.envelope, report)

    async def _send_report(self, about: Envelope, report: bytes) -> None:
        """Send a report as mail goes: to a mailbox here, or through the installation's queue."""
        assert about.sender is not None  # nothing that has the null reverse-path is reported on
        route = (await self._resolve([about.sender.key]))[0]
        origin = Origin(self._hostname, "", extended=True)
        recipient = EnvelopeRecipient(about.sender, route, RcptParameters(("NEVER",)))
        parameters = MailParameters(smtputf8=not about.sender.is_ascii)
        envelope = Envelope(new_id().hex(), origin, None, parameters, (recipient,))
        if route.status != "foreign":
            with contextlib.suppress(QuotaError, RefusedError):
                await self.deliver(envelope, report)
            return
        received = self.receive(envelope, report)
        outbound = by_destination("", [(about.sender, recipient.parameters)])
        sealed = await self.seal_outbound(received, NOBODY, outbound, needs_of(received), ())
        result = await _settled(self._depositor.put(sealed))
        if result.error:
            raise PostkeepError(code=result.error, temporary=result.error in TEMPORARY)

    async def _heavy(self, message: bytes, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do work whose cost grows with the message: in a thread when the message is large."""
        if len(message) > THREAD_OCTETS:
            return await asyncio.to_thread(work, *args, **kwargs)
        return work(*args, **kwargs)


def needs_of(received: Received) -> Needs:
    """Return what a message asks of the servers on its way; an address that needs SMTPUTF8 adds it later.

    A client may ask for SMTPUTF8 where nothing needs it: then no server on the way is asked for it.
    """
    parameters = received.envelope.parameters
    return Needs(
        ret=parameters.ret,
        envid=parameters.envid,
        body="" if received.message.isascii() else "8BITMIME",
        smtputf8=parameters.smtputf8 and not received.header.isascii(),
    )


async def _settled(future: "asyncio.Future[DepositResult]") -> DepositResult:
    """Wait for a deposit; an error that kept it from the vault becomes a result."""
    try:
        return await future
    except PostkeepError as error:
        return DepositResult([], "unavailable" if error.temporary else error.code)
