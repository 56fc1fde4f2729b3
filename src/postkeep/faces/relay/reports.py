"""Reports to senders, delivered the way mail from outside is: sealed to their mailboxes, or queued."""

import hmac
from typing import Final, Protocol

import structlog

from postkeep.base.address import parse_address
from postkeep.base.clock import Clock
from postkeep.base.errors import InvalidInputError, UnavailableError
from postkeep.base.ids import ID_BYTES
from postkeep.crypto.context import context
from postkeep.faces.relay.opened import OpenItem
from postkeep.faces.relay.results import Result
from postkeep.faces.relay.settle import Settlement
from postkeep.model.categories import Label
from postkeep.protocols.dsn import Action, Original, Report, ReportedRecipient, build
from postkeep.protocols.smtp.parameters import NO_MAIL_PARAMETERS, RcptParameters
from postkeep.services.authority.api import QueueKey, Resolve, Route, Routes
from postkeep.services.delivery.copies import Copies, Outbound, by_destination, group_outbound, local_copies
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.envelope import Envelope, EnvelopeRecipient, Origin
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.delivery.seal import Needs, SealedParts, Target, enqueue, place, seal_parts
from postkeep.services.kms.api import SignedPublicKey

_TIME_BYTES: Final = 6
_TEMPORARY: Final = frozenset({"unavailable", "throttled", "conflict", "internal"})
_NOBODY_REPORTS: Final = RcptParameters(notify=("NEVER",))

_log = structlog.get_logger(__name__)


class Directory(Protocol):
    """The authority, as far as this needs it."""

    async def resolve(self, request: Resolve) -> Routes:
        """Say where mail for addresses goes."""

    async def queue_key(self, request: QueueKey) -> SignedPublicKey:
        """Return a queue's public key."""


class Reporter:
    """Makes reports and deposits them. Use it from one event loop."""

    def __init__(
        self, *, hostname: str, directory: Directory, book: EpochBook, depositor: Depositor, clock: Clock
    ) -> None:
        self._hostname = hostname
        self._directory = directory
        self._book = book
        self._depositor = depositor
        self._clock = clock

    async def send(self, opened: OpenItem, settlement: Settlement, content: bytes) -> None:
        """Deposit the reports that a settlement asks for; return when they are durable.

        Raises PostkeepError when one can't be deposited now. Sending the same ones again is harmless.
        """
        for action, results in (
            (Action.FAILED, settlement.failed),
            (Action.RELAYED, settlement.relayed),
            (Action.DELAYED, settlement.delayed),
        ):
            if results:
                until = settlement.retry_until_ms if action is Action.DELAYED else 0
                await self._report(opened, action, results, content, until)

    async def _report(
        self, opened: OpenItem, action: Action, results: tuple[Result, ...], content: bytes, until_ms: int
    ) -> None:
        envelope, item = opened.envelope, opened.item
        name = _name(opened, action, results)
        now_ms = self._clock.now_ms()
        report = Report(
            sender=envelope.reverse_path,
            reporting_mta=self._hostname,
            recipients=tuple(_recipient(result, action, now_ms, until_ms) for result in results),
            message_id=f"{name.hex()}@{self._hostname}",
            now_ms=now_ms,
        )
        original = Original(
            content=content, arrival_ms=item.created_ms, envid=envelope.envid, ret=envelope.ret
        )
        message = build(report, original)
        (route,) = (await self._directory.resolve(Resolve([envelope.reverse_path]))).routes
        await self._deposit(name, item.tenant, envelope.reverse_path, route, message)

    async def _deposit(self, name: bytes, tenant: bytes, sender: str, route: Route, message: bytes) -> None:
        try:
            address = parse_address(sender)
        except InvalidInputError:
            _log.warning("report_without_a_sender", tenant=tenant.hex())
            return
        if route.status == "foreign":
            await self._enqueue(name, tenant, by_destination("", [(address, _NOBODY_REPORTS)]), message)
            return
        recipient = EnvelopeRecipient(address, route)
        envelope = Envelope(
            id=name.hex(),
            origin=Origin(hello=self._hostname, network="", extended=True),
            sender=None,
            parameters=NO_MAIL_PARAMETERS,
            recipients=(recipient,),
        )
        for copies in local_copies(envelope).values():
            await self._place(name, copies, b"Return-Path: <>\r\n" + message)
        outbound = group_outbound(recipient, null_sender=True)
        if outbound:
            await self._enqueue(name, route.tenant or tenant, outbound, message)
        elif not route.recipients:
            _log.warning("report_undeliverable", tenant=tenant.hex(), status=route.status)

    async def _place(self, name: bytes, copies: Copies, message: bytes) -> None:
        targets = [Target(key) for key in copies.keys.values()]
        parts = _seal(name, b"mailbox", copies.tenant, message)
        sealed = place(parts, targets, self._book, Label.INTERNAL, self._clock.now_ms())
        _check((await self._depositor.put(sealed)).error, copies.tenant)

    async def _enqueue(self, name: bytes, tenant: bytes, outbound: list[Outbound], message: bytes) -> None:
        key = await self._directory.queue_key(QueueKey(tenant))
        parts = _seal(name, b"queue", tenant, message)
        sealed = place(parts, [], self._book, Label.INTERNAL, self._clock.now_ms())
        international = any(
            not recipient.address.isascii() for one in outbound for recipient in one.recipients
        )
        needs = Needs(
            body="" if message.isascii() else "8BITMIME",
            smtputf8=international or b"message/global" in message,
        )
        queued = enqueue(sealed, parts, outbound, needs, key, book=self._book)
        _check((await self._depositor.put(queued)).error, tenant)


def _name(opened: OpenItem, action: Action, results: tuple[Result, ...]) -> bytes:
    """Name a report, always alike for the same item, kind and recipients: 16 bytes.

    Under the item's own key, so that whoever sees the identifier learns nothing of the recipients.
    """
    item = opened.item
    addresses = sorted(result.recipient.address for result in results)
    digest = hmac.digest(
        opened.metadata_key, context("report", item.tenant, item.id, action.value, *addresses), "sha256"
    )
    return item.id[:_TIME_BYTES] + digest[: ID_BYTES - _TIME_BYTES]


def _seal(name: bytes, way: bytes, tenant: bytes, message: bytes) -> SealedParts:
    """Seal a report under fresh keys as a body of a derived name: the vault stores the first of that name."""
    digest = hmac.digest(name, context("report body", way, tenant), "sha256")
    body = name[:_TIME_BYTES] + digest[: ID_BYTES - _TIME_BYTES]
    return seal_parts(tenant, message, body)


def _recipient(result: Result, action: Action, now_ms: int, until_ms: int) -> ReportedRecipient:
    return ReportedRecipient(
        address=result.recipient.address,
        action=action,
        status=result.status,
        orcpt=result.recipient.orcpt,
        diagnostic=result.diagnostic,
        remote=result.remote,
        last_attempt_ms=now_ms,
        retry_until_ms=until_ms,
    )


def _check(error: str, tenant: bytes) -> None:
    if error in _TEMPORARY:
        raise UnavailableError(f"a report was not stored: {error}")
    if error:
        _log.warning("report_undeliverable", tenant=tenant.hex(), status=error)
