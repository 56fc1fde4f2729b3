"""The acts behind an order's steps: which keeper does what, for which unit. Each may be done again."""

import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from postkeep.base.errors import NotFoundError, UnavailableError
from postkeep.crypto.fingerprint import SALT_BYTES, fingerprint
from postkeep.model.warrant import Unit, Warrant
from postkeep.services.authority.api import DeletePrincipal, DeleteTenant
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.backup.api import BackupsLeft
from postkeep.services.destruction.order import Marks, Order
from postkeep.services.destruction.scan import Scan, ScanRequest, Subject
from postkeep.services.kms import api as kms_api
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.client import LedgerClient
from postkeep.services.vault import api as vault_api
from postkeep.services.vault import destruction_api
from postkeep.services.vault.client import VaultClient

CONTROL_BYTES: Final = 32
CONTROL_FILE: Final = "control"
"""Where the control lies during a search; one search is under way at a time."""


class Backups(Protocol):
    """What orders ask of backups; `services.backup.client.BackupClient` is one."""

    async def still_holding(self, tenant: bytes, principal: bytes, before_ms: int) -> BackupsLeft:
        """Say which backups made before a moment still hold keys."""

    async def find_backup(self, backup: str) -> None:
        """Raise NotFoundError if there is no such backup."""

    async def destroy_backup(self, warrant: Warrant, *, ticket: bytes) -> None:
        """Remove a backup."""


class Keepers(NamedTuple):
    """Everyone whom an order needs."""

    authority: AuthorityClient
    kms: KmsClient
    vault: VaultClient
    ledger: LedgerClient
    backups: Backups


async def take_marks(keepers: Keepers, order: Order, ticket: bytes) -> Marks:
    """Take fingerprints of what the order will destroy; NotFoundError where there is nothing."""
    if order.unit is Unit.BACKUP:
        await keepers.backups.find_backup(order.backup)
        return Marks(b"", [], 0)  # its keys are not here: nothing can be looked for
    salt = order.canaries.salt if order.canaries else os.urandom(SALT_BYTES)
    prints, total, held = [], 0, 0
    if order.unit in {Unit.PERSON, Unit.TENANT}:
        keys = await keepers.kms.mark(kms_api.Mark(order.warrant, salt), ticket=ticket)
        prints, total, held = list(keys.prints), keys.total, keys.total
    wraps = await keepers.vault.mark(destruction_api.Mark(order.warrant, salt), ticket=ticket)
    prints += wraps.prints
    total += wraps.total
    if not prints:
        raise NotFoundError(code="not_found.nothing", public_text="There is nothing of it to destroy.")
    return Marks(salt, prints, total, held)


async def delete(keepers: Keepers, order: Order, ticket: bytes) -> int:
    """Take it out of everyone's sight, so that nothing is added to it; return how many messages went."""
    try:
        if order.unit is Unit.TENANT:
            await keepers.authority.delete_tenant(DeleteTenant(order.warrant), ticket=ticket)
        elif order.unit is Unit.PERSON:
            await keepers.authority.delete_principal(DeletePrincipal(order.warrant), ticket=ticket)
        elif order.unit is Unit.BACKUP:
            await keepers.backups.destroy_backup(order.warrant, ticket=ticket)
    except NotFoundError:
        pass  # it was there when the marks were taken: an earlier attempt has done it
    if order.unit in {Unit.MESSAGE, Unit.MAILBOX}:
        return await _destroy_messages(keepers, order, ticket)
    return 0


async def destroy(keepers: Keepers, order: Order, ticket: bytes) -> tuple[int, int]:
    """Destroy the keys; return how many messages and how many keys went."""
    if order.unit in {Unit.MESSAGE, Unit.MAILBOX}:  # done with the deletion; this finds nothing left
        return await _destroy_messages(keepers, order, ticket), 0
    if order.unit is Unit.CATEGORY:
        request = destruction_api.DestroyCategory(order.warrant)
        return (await keepers.vault.destroy_category(request, ticket=ticket)).messages, 0
    if order.unit is Unit.BACKUP:
        return 0, 0
    shredded = await keepers.kms.shred(kms_api.Shred(order.warrant), ticket=ticket)
    if order.unit is Unit.TENANT:
        tenant = vault_api.RemoveTenant(order.warrant)
        removed = await keepers.vault.remove_tenant(tenant, ticket=ticket)
    else:
        person = vault_api.RemovePrincipal(order.warrant, queued=order.thorough)
        removed = await keepers.vault.remove_principal(person, ticket=ticket)
    return removed.messages, shredded.keys


async def search(
    orders: Sequence[Order], find: Callable[[bytes], Awaitable[bytes]] | None, state: Path
) -> list[Scan]:
    """Have the raw files searched, once, for what these orders have destroyed, and for a control that must be
    found; return a report for each order."""
    if find is None:
        raise UnavailableError("nobody searches here")
    secret, salt = secrets.token_bytes(CONTROL_BYTES), os.urandom(SALT_BYTES)
    control = state / CONTROL_FILE
    descriptor = os.open(control, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
        subjects = [Subject(marks.salt, marks.prints) for marks in map(_sought, orders)]
        request = ScanRequest(Subject(salt, [fingerprint(secret, salt)]), subjects)
        report = await find(msgspec.msgpack.encode(request))
    finally:
        os.close(descriptor)
        control.unlink(missing_ok=True)
    if not report:
        raise UnavailableError("the search of the raw files has failed")
    return msgspec.msgpack.decode(report, type=list[Scan])


def _sought(order: Order) -> Marks:
    """Return what is looked for on behalf of an order: what it destroyed, and known texts."""
    assert order.marks is not None
    canaries = order.canaries.prints if order.canaries else []
    return msgspec.structs.replace(order.marks, prints=[*order.marks.prints, *canaries])


async def _destroy_messages(keepers: Keepers, order: Order, ticket: bytes) -> int:
    return (await keepers.vault.destroy(destruction_api.Destroy(order.warrant), ticket=ticket)).messages
