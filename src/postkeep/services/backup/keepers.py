"""The keepers as the backup worker asks them: always with an operation ticket of purpose `backup`."""

from typing import Final, TypeVar

import msgspec

from postkeep.base.clock import Clock
from postkeep.services.authority.api import IssueOperation
from postkeep.services.authority.client import AuthorityClient
from postkeep.services.kms import backing_api as kms
from postkeep.services.ledger import backing_api as ledger
from postkeep.services.vault import backing_api as vault
from postkeep.tickets.channel import Link

T = TypeVar("T")

PURPOSE: Final = "backup"
RENEW_SECONDS: Final = 120
"""A ticket is replaced so long before its end."""
CALL_SECONDS_MAX: Final = 120.0
LEDGER_BATCH: Final = 100
"""Files of the ledger read with one call."""


class Keepers:
    """Calls to kms, vault and ledger."""

    def __init__(self, links: dict[str, Link], clock: Clock) -> None:
        self._links = links
        self._authority = AuthorityClient(links["authority"])
        self._clock = clock
        self._ticket = b""
        self._expires = 0

    async def open(self, *, new_week: bool = False) -> kms.BackupOpened:
        """Ask kms for the keys of a backup."""
        return await self._call("kms.backup_open", kms.BackupOpen(new_week), kms.BackupOpened)

    async def kms_slots(self, week: bytes, backup: str, part: int) -> kms.SealedSlots:
        """Have kms seal one part of its slots."""
        return await self._call("kms.backup_slots", kms.BackupSlots(week, backup, part), kms.SealedSlots)

    async def sign_manifest(self, backup: str, digest: bytes) -> kms.BackupSignature:
        """Have kms sign a manifest."""
        return await self._call("kms.backup_sign", kms.BackupSign(digest, backup), kms.BackupSignature)

    async def sign_tombstone(self, line: bytes, number: int, digest: bytes) -> kms.BackupSignature:
        """Have kms sign a tombstone."""
        request = kms.BackupSign(digest, "", line, number)
        return await self._call("kms.backup_sign", request, kms.BackupSignature)

    async def shredded_since(self, since_ms: int) -> list[tuple[bytes, bytes, int]]:
        """Return whose keys were destroyed at or after a moment."""
        found: list[tuple[bytes, bytes, int]] = []
        while True:
            page = await self._call("kms.backup_shredded", kms.BackupShredded(since_ms), kms.ShreddedKeys)
            known = set(found)
            fresh = [key for key in page.keys if key not in known]
            found += fresh
            if not page.more or not fresh:
                return found
            since_ms = page.keys[-1][2]

    async def expire(self, weeks: list[bytes]) -> list[tuple[bytes, int, int]]:
        """Have kms destroy weekly keys that are over, and these; return those that live."""
        return (await self._call("kms.backup_expire", kms.BackupExpire(weeks), kms.BackupWeeks)).weeks

    async def hold_packs(self, seconds: int) -> None:
        """Have the vault remove no pack for so long."""
        await self._call("vault.backup_hold", vault.BackupHold(seconds), vault.BackupOctets)

    async def packs(self) -> vault.PackList:
        """List the packs."""
        return await self._call("vault.backup_packs", vault.BackupPacks(), vault.PackList)

    async def read_vault(self, pack: int, offset: int, length: int) -> bytes:
        """Read octets of a pack, or of the wraps (pack 0)."""
        request = vault.BackupRead(pack, offset, length)
        return (await self._call("vault.backup_read", request, vault.BackupOctets)).octets

    async def erased(self, incarnation: bytes, position: int, begin: int) -> vault.ErasedSlots:
        """Ask which slots of wraps have been overwritten."""
        request = vault.BackupErased(incarnation, position, begin)
        return await self._call("vault.backup_erased", request, vault.ErasedSlots)

    async def ledger_files(self) -> ledger.LedgerFiles:
        """Return what changes in the ledger, and the list of what does not."""
        return await self._call("ledger.backup_files", ledger.BackupFiles(), ledger.LedgerFiles)

    async def read_ledger(self, paths: list[str]) -> list[bytes]:
        """Read files of the ledger."""
        return (
            await self._call("ledger.backup_read", ledger.BackupLedger(paths), ledger.LedgerOctets)
        ).contents

    async def _call(self, method: str, request: msgspec.Struct, reply: type[T]) -> T:
        if self._clock.now_seconds() >= self._expires - RENEW_SECONDS:
            issued = await self._authority.issue_operation(IssueOperation(PURPOSE))
            self._ticket, self._expires = issued.ticket, issued.expires
        link = self._links[method.partition(".")[0]]
        return await link.call(method, request, reply, ticket=self._ticket, timeout_seconds=CALL_SECONDS_MAX)
