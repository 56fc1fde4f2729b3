"""What a deposit must look like before anything of it is stored. Everything raises; nothing is repaired."""

from collections.abc import Sequence
from typing import Final

from postkeep.base.address import DOMAIN_OCTETS_MAX
from postkeep.base.errors import InvalidInputError, LimitError, RefusedError
from postkeep.base.ids import ID_BYTES, NOBODY
from postkeep.services.vault.api import WRAPS_BYTES, Deposit, NewEpoch, Placement, QueueItem, SealedName
from postkeep.services.vault.flags import parse_flags
from postkeep.stores.vault_deposits import ROLES
from postkeep.tickets.clear import Grant

DEPOSITS_MAX: Final = 1000  # deposits in one request
PLACEMENTS_MAX: Final = 5000  # copies and queue items of one deposit: recipients of one message, expanded
EPOCHS_MAX: Final = 10_000  # new epochs in one request: two writers' for every placement
CONTENT_BYTES_MAX: Final = 160 * 1024 * 1024  # a sealed body: three times the largest message mx takes
TEXT_BYTES_MAX: Final = 2 * 1024 * 1024  # a sealed search text: twice its limit before it is compressed
SUMMARY_BYTES_MAX: Final = 4 * 1024 * 1024  # a sealed summary of a message with very many parts
EPOCH_SEALED_BYTES_MAX: Final = 8192  # a sealed epoch secret: HPKE's hybrid encapsulation is 1,136 octets
NAME_SEALED_BYTES_MAX: Final = 4096  # a sealed mailbox name
ENVELOPE_BYTES_MAX: Final = 1024 * 1024  # a sealed queue envelope: 1,000 recipients with their parameters
INDEX_MAX: Final = 2**20  # steps of an epoch's chain
TIME_MS_MAX: Final = 2**53  # far beyond any date, and exact in every number format

_WRAPS_GONE: Final = bytes(WRAPS_BYTES)


def check_id(value: bytes) -> None:
    """Accept a made identifier."""
    if len(value) != ID_BYTES or value == NOBODY:
        raise InvalidInputError("an identifier has 16 octets and is not all zeros")


def check_epochs(epochs: Sequence[NewEpoch]) -> None:
    """Accept new epochs."""
    if len(epochs) > EPOCHS_MAX:
        raise LimitError(f"{len(epochs)} epochs in one request")
    for item in epochs:
        check_id(item.epoch)
        _check_tenant(item.tenant)
        _check_sealed_to(item.tenant, item.principal)
        if not 0 < len(item.sealed) <= EPOCH_SEALED_BYTES_MAX:
            raise InvalidInputError("a sealed epoch of an impossible size")


def check_name(name: SealedName) -> None:
    """Accept a sealed mailbox name."""
    check_id(name.epoch)
    check_index(name.index)
    if not 0 < len(name.sealed) <= NAME_SEALED_BYTES_MAX:
        raise InvalidInputError("a sealed name of an impossible size")


def check_deposits(grant: Grant, deposits: Sequence[Deposit]) -> None:
    """Accept deposits, all of them well formed, of the tenant that the ticket is for."""
    if not 0 < len(deposits) <= DEPOSITS_MAX:
        raise LimitError(f"{len(deposits)} deposits in one request")
    if len({(deposit.tenant, deposit.body) for deposit in deposits}) != len(deposits):
        raise InvalidInputError("a body is deposited twice in one request")
    for deposit in deposits:
        if grant.tenant not in (NOBODY, deposit.tenant):
            raise RefusedError("a deposit for another tenant than the ticket's")
        _check_deposit(deposit)


def check_owned(grant: Grant, deposits: Sequence[Deposit], epochs: Sequence[NewEpoch]) -> None:
    """Accept deposits into mailboxes, with epochs of those whose they are; whether they may be another's has
    been judged by then."""
    owners = {placement.principal for deposit in deposits for placement in deposit.placements}
    if any(epoch.principal not in owners or epoch.tenant != grant.tenant for epoch in epochs):
        raise RefusedError("an epoch of another principal")
    if any(deposit.queue for deposit in deposits):
        raise RefusedError("only into mailboxes")


def check_submitted(grant: Grant, deposits: Sequence[Deposit], epochs: Sequence[NewEpoch]) -> None:
    """Accept what a user may submit: to the own mailboxes, to others' inboxes as it would arrive there."""
    if any(epoch.tenant != grant.tenant for epoch in epochs):
        raise RefusedError("an epoch of another tenant")
    for deposit in deposits:
        for placement in deposit.placements:
            if placement.principal != grant.principal and (
                placement.mailbox or placement.role not in ("inbox", "junk") or placement.flags
            ):
                raise RefusedError("into another's inbox only, and unread")


def check_wraps(wraps: bytes) -> None:
    """Accept wrapped keys; all zeros would read as overwritten."""
    if len(wraps) != WRAPS_BYTES or wraps == _WRAPS_GONE:
        raise InvalidInputError("wraps of the wrong size")


def _check_tenant(tenant: bytes) -> None:
    if len(tenant) != ID_BYTES:
        raise InvalidInputError("a tenant's identifier has 16 octets")


def _check_sealed_to(tenant: bytes, principal: bytes) -> None:
    """Accept whoever keys are wrapped for; NOBODY is the installation's queue, by which mx reports to
    strangers about mail that no single company answers for."""
    if principal != NOBODY or tenant != NOBODY:
        check_id(principal)


def check_index(index: int) -> None:
    """Accept a step of an epoch's chain."""
    if not 0 <= index <= INDEX_MAX:
        raise InvalidInputError("an index beyond the epoch's chain")


def _check_deposit(deposit: Deposit) -> None:
    _check_tenant(deposit.tenant)
    check_id(deposit.body)
    if not 0 < len(deposit.placements) + len(deposit.queue) <= PLACEMENTS_MAX:
        raise LimitError(f"{len(deposit.placements)} placements and {len(deposit.queue)} queue items")
    if not 0 < len(deposit.content) <= CONTENT_BYTES_MAX or not 0 <= deposit.size <= len(deposit.content):
        raise InvalidInputError("a sealed body of an impossible size")
    if len(deposit.text) > TEXT_BYTES_MAX:
        raise LimitError(f"a search text of {len(deposit.text)} octets")
    if len(deposit.summary) > SUMMARY_BYTES_MAX:
        raise LimitError(f"a summary of {len(deposit.summary)} octets")
    keyed: list[Placement | QueueItem] = [*deposit.placements, *deposit.queue]
    for item in keyed:
        check_id(item.epoch)
        check_index(item.index)
        check_wraps(item.wraps)
    for placement in deposit.placements:
        check_id(placement.principal)
        _check_placement(placement)
    for queued in deposit.queue:
        _check_sealed_to(deposit.tenant, queued.principal)
        _check_queued(queued)


def _check_placement(placement: Placement) -> None:
    if placement.mailbox:
        check_id(placement.mailbox)
    elif placement.role not in ROLES:
        raise InvalidInputError(f"no mailbox has the role {placement.role[:20]!r}")
    if not 0 <= placement.internal_date_ms <= TIME_MS_MAX:
        raise InvalidInputError("a date before 1970 or after everything")
    if placement.flags:
        parse_flags(placement.flags)


def _check_queued(item: QueueItem) -> None:
    check_id(item.id)
    if not 0 < len(item.destination) <= DOMAIN_OCTETS_MAX or "\x00" in item.destination:
        raise InvalidInputError("a destination that is no domain")
    if not 0 < len(item.envelope) <= ENVELOPE_BYTES_MAX or item.recipients < 1:
        raise InvalidInputError("an envelope of an impossible size")
    if not 0 <= item.not_before_ms <= TIME_MS_MAX:
        raise InvalidInputError("a date before 1970 or after everything")
