"""Decide where the messages of a group of deposits go. Pure: locked state in, rows and answers out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from postkeep.base.errors import ConflictError, NotFoundError, PostkeepError, QuotaError
from postkeep.base.ids import NOBODY
from postkeep.model.ticket import TicketKind
from postkeep.services.vault.api import Deposit, DepositResult, NewEpoch, Placed, Placement
from postkeep.services.vault.events import deposit_events
from postkeep.services.vault.flags import DELETED, SEEN, parse_flags
from postkeep.stores.packs import Location
from postkeep.stores.vault_deposits import (
    BodyInsert,
    DepositRows,
    DepositState,
    EpochInsert,
    MailboxState,
    MessageInsert,
    PrincipalState,
    QueueInsert,
)
from postkeep.tickets.clear import Grant

PLACEMENT_FAILED: Final = "aborted"
"""The code of a deposit that was well but belonged to a request that stands or falls as a whole."""

_ERRORS: Final = {error.code: error for error in (QuotaError, NotFoundError, ConflictError)}

_encoder = msgspec.msgpack.Encoder()
_placed_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, int, int, int]])


@dataclass(slots=True)
class DepositRequest:
    """One call that deposits, on its way through a group."""

    grant: Grant
    deposits: Sequence[Deposit]
    epochs: Sequence[NewEpoch]
    whole: bool
    """All or nothing (`append`, `submit`); otherwise each deposit succeeds or fails by itself."""
    locations: Sequence[Location] = ()
    """Where the bodies are, once they are durable."""
    slots: Sequence[int] = ()
    """Where the wraps are: each deposit's placements, then its queue items."""


class Durable(NamedTuple):
    """What is durable of a deposit before its rows are: its body and the wraps of each copy."""

    location: Location
    slots: Sequence[int]
    now_ms: int


@dataclass(slots=True)
class GroupPlan:
    """What a group stores and answers."""

    rows: DepositRows = field(default_factory=DepositRows)
    results: list[list[DepositResult]] = field(default_factory=list)
    """By request."""


def plan_group(requests: Sequence[DepositRequest], state: DepositState, now_ms: int) -> GroupPlan:
    """Give UIDs and modseqs in the order of the requests, changing `state` as it goes.

    A deposit that the vault knows gets its first answer again. One that does not fit in a quota or names a
    mailbox that is not there fails with that code, and takes its whole request with it where that is `whole`.
    """
    plan = GroupPlan()
    for request in requests:
        slots = iter(request.slots)
        own_slots = [
            [next(slots) for _ in range(len(deposit.placements) + len(deposit.queue))]
            for deposit in request.deposits
        ]
        results: list[DepositResult | None] = [None] * len(request.deposits)
        units = (
            [range(len(request.deposits))] if request.whole else [[n] for n in range(len(request.deposits))]
        )
        stored: list[tuple[bytes, bytes, bytes]] = []
        for unit in units:
            fresh: list[int] = []
            for number in unit:
                deposit = request.deposits[number]
                first_answer = state.known.get((deposit.tenant, deposit.body))
                if first_answer is None:
                    fresh.append(number)
                else:
                    results[number] = _repeat(request.grant, deposit, state, _decode_placed(first_answer))
            faults = _check_unit([request.deposits[number] for number in fresh], state)
            for number, fault in zip(fresh, faults, strict=True):
                if any(faults):
                    results[number] = fault or DepositResult([], PLACEMENT_FAILED)
                    continue
                deposit = request.deposits[number]
                durable = Durable(request.locations[number], own_slots[number], now_ms)
                results[number] = DepositResult(_place(deposit, durable, state, plan.rows))
                owners = dict.fromkeys(placement.principal for placement in deposit.placements)
                stored += [(deposit.tenant, owner, deposit.body) for owner in owners or (NOBODY,)]
        plan.rows.events += deposit_events(request.grant, stored)
        plan.rows.epochs += [EpochInsert(e.tenant, e.principal, e.epoch, e.sealed) for e in request.epochs]
        plan.results.append([result for result in results if result is not None])
    return plan


def check_results(results: Sequence[DepositResult]) -> None:
    """Raise the error of the first deposit of a whole request that fails."""
    for result in results:
        if result.error and result.error != PLACEMENT_FAILED:
            raise _ERRORS.get(result.error, PostkeepError)(f"a deposit failed: {result.error}")


def _repeat(grant: Grant, deposit: Deposit, state: DepositState, placed: list[Placed]) -> DepositResult:
    """Give a deposit its first answer again. A user who names another's body learns nothing from it."""
    if grant.kind is TicketKind.USER:
        targets = (_target(deposit.tenant, placement, state) for placement in deposit.placements)
        if {item.mailbox for item in placed} != {box.mailbox for box in targets if box is not None}:
            return DepositResult([], ConflictError.code)
    return DepositResult(placed)


def _check_unit(deposits: Sequence[Deposit], state: DepositState) -> list[DepositResult | None]:
    """Return what is wrong with each deposit, None for nothing, counting the ones before it as stored."""
    wanted: dict[tuple[bytes, bytes], int] = {}
    faults: list[DepositResult | None] = []
    for deposit in deposits:
        missing = False
        full: dict[bytes, None] = {}
        for placement in deposit.placements:
            key = deposit.tenant, placement.principal
            wanted[key] = wanted.get(key, 0) + deposit.size
            owner = state.principals.get(key)
            if owner is None or _target(deposit.tenant, placement, state) is None:
                missing = True
            elif not _fits(owner, wanted[key]):
                full[placement.principal] = None
        if missing:
            faults.append(DepositResult([], NotFoundError.code))
        else:
            faults.append(DepositResult([], QuotaError.code, list(full)) if full else None)
    return faults


def _fits(owner: PrincipalState, more_bytes: int) -> bool:
    return owner.limit_bytes is None or owner.used_bytes + owner.added_bytes + more_bytes <= owner.limit_bytes


def _target(tenant: bytes, placement: Placement, state: DepositState) -> MailboxState | None:
    """Find the mailbox of a placement; one of another principal is as good as none."""
    if not placement.mailbox:
        return state.by_role.get((tenant, placement.principal, placement.role))
    box = state.mailboxes.get((tenant, placement.mailbox))
    return box if box is not None and box.principal == placement.principal else None


def _place(deposit: Deposit, durable: Durable, state: DepositState, rows: DepositRows) -> list[Placed]:
    location, slots, now_ms = durable
    placed = []
    for placement, slot in zip(deposit.placements, slots, strict=False):
        box = _target(deposit.tenant, placement, state)
        assert box is not None
        owner = state.principals[deposit.tenant, placement.principal]
        bits, keywords = parse_flags(placement.flags)
        uid, modseq = box.uid_next, box.highest_modseq + 1
        box.uid_next, box.highest_modseq = uid + 1, modseq
        box.messages += 1
        box.unseen += not bits & SEEN
        box.deleted += bool(bits & DELETED)
        box.size += deposit.size
        box.keywords.update(keywords)
        owner.added_bytes += deposit.size
        owner.added_messages += 1
        rows.messages.append(
            MessageInsert(
                deposit.tenant,
                box.mailbox,
                uid,
                modseq,
                placement.internal_date_ms or now_ms,
                slot,
                deposit.size,
                placement.index,
                bits,
                deposit.label,
                deposit.body,
                placement.epoch,
                " ".join(keywords) or None,
                now_ms,
            )
        )
        placed.append(Placed(box.mailbox, box.uid_validity, uid, modseq))
    rows.bodies.append(
        BodyInsert(
            deposit.tenant,
            deposit.body,
            location.pack,
            location.offset,
            len(deposit.content),
            len(slots),
            _encode_placed(placed),
            deposit.summary,
            len(deposit.text),
        )
    )
    rows.queue += [
        QueueInsert(
            deposit.tenant,
            item.id,
            deposit.body,
            item.principal,
            item.epoch,
            item.index,
            slot,
            deposit.size,
            item.recipients,
            now_ms,
            item.not_before_ms or now_ms,
            item.destination,
            item.envelope,
        )
        for item, slot in zip(deposit.queue, slots[len(deposit.placements) :], strict=True)
    ]
    return placed


def _encode_placed(placed: Sequence[Placed]) -> bytes:
    return _encoder.encode([(item.mailbox, item.uid_validity, item.uid, item.modseq) for item in placed])


def _decode_placed(data: bytes) -> list[Placed]:
    return [Placed(*item) for item in _placed_decoder.decode(data)]
