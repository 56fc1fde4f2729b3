"""A user's message on its way out: to the queue, to Sent, and straight to recipients here.

What stays in the sender's company (its mailboxes, Sent, its queue) is one transaction of the vault, under the
sender's own ticket. Recipients of other companies here are served before it, under the operation ticket: if
that fails for now nothing has gone out yet, and the sender is told to try again.
"""

from dataclasses import dataclass
from typing import Protocol

from postkeep.base.address import Address
from postkeep.base.errors import PostkeepError, RefusedError, UnavailableError
from postkeep.base.ids import NOBODY
from postkeep.protocols.smtp.parameters import RcptParameters
from postkeep.services.delivery.copies import Outbound, by_destination, group_outbound, local_copies
from postkeep.services.delivery.decide import decide
from postkeep.services.delivery.envelope import Envelope
from postkeep.services.delivery.findings import examine
from postkeep.services.delivery.pipeline import TEMPORARY, Outcome, Pipeline, needs_of
from postkeep.services.delivery.received import Received
from postkeep.services.delivery.seal import SealedDeposit, Target
from postkeep.services.kms.api import SignedPublicKey
from postkeep.services.vault.api import DepositResults, Submit

ABORTED = "aborted"
"""What the vault says of a deposit that was well, in a transaction that another one spoilt."""


class SubmitTarget(Protocol):
    """The vault, as far as this needs it."""

    async def submit(self, request: Submit, *, ticket: bytes) -> DepositResults:
        """Store everything or nothing."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who submits."""

    key: SignedPublicKey
    ticket: bytes
    """The user's ticket."""


class Submitter:
    """Accepts messages of users for one face."""

    def __init__(self, pipeline: Pipeline, vault: SubmitTarget) -> None:
        self._pipeline = pipeline
        self.full = pipeline.full
        """Who has no room, for RCPT to know."""
        self._vault = vault

    async def submit(self, envelope: Envelope, content: bytes, author: Author, *, save_sent: bool) -> None:
        """Send a prepared message on all its ways; return when it is durable.

        Raises PostkeepError, with the code of the reason, when the sender must be told so instead.
        """
        pipeline = self._pipeline
        received = pipeline.receive(envelope, content)
        verdict = decide(examine(received))
        if verdict.refusal:
            raise RefusedError(code=verdict.refusal)
        tenant = author.key.tenant
        outcome = Outcome()
        copies = local_copies(envelope)
        own = copies.pop(tenant, None)
        await pipeline.store(received, verdict, list(copies.values()), outcome)
        outcome.raise_temporary()
        away = [recipient for recipient in envelope.recipients if recipient.tenant not in (tenant, NOBODY)]
        await pipeline.forward(received, away, outcome)
        sealed = await self._seal_outbound(received, author, save_sent=save_sent)
        if own is not None:
            sealed.append(await pipeline.seal_local(received, verdict, tenant, list(own.keys.values())))
        if sealed:
            await self._store(sealed, author, received.announced_octets)
            outcome.stored += 1
        await pipeline.settle(received, outcome)

    async def _seal_outbound(
        self, received: Received, author: Author, *, save_sent: bool
    ) -> list[SealedDeposit]:
        """Seal what goes to the queue, and to Sent: the message without a Return-Path."""
        tenant = author.key.tenant
        targets = [Target(author.key, "sent", ("\\Seen",))] if save_sent else []
        outbound = outbound_of(received.envelope, tenant)
        if not outbound and not targets:
            return []
        needs = needs_of(received)
        return [await self._pipeline.seal_outbound(received, tenant, outbound, needs, targets)]

    async def _store(self, sealed: list[SealedDeposit], author: Author, octets: int) -> None:
        epochs = {
            epoch.writer.epoch: epoch
            for deposit in sealed
            for epoch in deposit.epochs
            if not epoch.acknowledged
        }
        request = Submit(
            [deposit.deposit for deposit in sealed], [epoch.announcement for epoch in epochs.values()]
        )
        try:
            answer = await self._vault.submit(request, ticket=author.ticket)
        except UnavailableError:
            # The connection broke: the same bodies once more, which the vault recognises.
            answer = await self._vault.submit(request, ticket=author.ticket)
        for result in answer.results:
            for principal in result.full:
                self.full.note(author.key.tenant, principal, octets)
        errors = [result.error for result in answer.results if result.error]
        if errors or len(answer.results) != len(sealed):
            code = next((error for error in errors if error != ABORTED), UnavailableError.code)
            raise PostkeepError(code=code, temporary=code in TEMPORARY)
        for epoch in epochs.values():
            epoch.acknowledged = True


def outbound_of(envelope: Envelope, tenant: bytes) -> list[Outbound]:
    """Return what the sender's company has to send to the outside: its own, and its groups' members."""
    foreign: list[tuple[Address, RcptParameters]] = []
    outbound: list[Outbound] = []
    for recipient in envelope.recipients:
        if recipient.route.status == "foreign":
            foreign.append((recipient.address, recipient.parameters))
        elif recipient.route.forwards and recipient.tenant in (tenant, NOBODY):
            outbound += group_outbound(recipient, null_sender=envelope.sender is None)
    return by_destination(str(envelope.sender or ""), foreign) + outbound
